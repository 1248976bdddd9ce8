"""Both languages say the same things, and the pages say nothing that is not in a catalogue."""

import json
import re
from pathlib import Path

import pytest

from monitor.web.pages import STATIC, WORDS
from probes.catalog import METRICS
from probes.metric import Mark
from probes.verdict import Verdict, Why

MODULES = sorted(STATIC.glob("*.js"))
LITERAL_KEY = re.compile(
    r"""\bt\(\s*"([a-z][\w.]+)"|\?\s*"((?:limit|feed|wall|app|theme|site|time|span|answer)\.[\w.]+)"\s*:\s*"([\w.]+)\""""
)
MADE_KEY = re.compile(r"\bt\(`([a-z]+\.)\$\{")


@pytest.fixture(scope="module")
def vi() -> dict[str, str]:
    return _catalogue("vi")


@pytest.fixture(scope="module")
def en() -> dict[str, str]:
    return _catalogue("en")


def _catalogue(lang: str) -> dict[str, str]:
    words: dict[str, str] = json.loads((WORDS / f"{lang}.json").read_text(encoding="utf-8"))
    return words


def test_both_languages_have_the_same_keys_in_the_same_order(vi: dict[str, str], en: dict[str, str]) -> None:
    assert list(vi) == list(en)


def test_both_languages_fill_in_the_same_names(vi: dict[str, str], en: dict[str, str]) -> None:
    for key in vi:
        assert set(re.findall(r"\{(\w+)\}", vi[key])) == set(re.findall(r"\{(\w+)\}", en[key])), key


def test_what_is_empty_is_empty_in_both(vi: dict[str, str], en: dict[str, str]) -> None:
    assert {key for key in vi if not vi[key]} == {key for key in en if not en[key]}


def test_every_verdict_reason_and_mark_has_words(vi: dict[str, str]) -> None:
    wanted = {f"verdict.{verdict}" for verdict in (*Verdict, "not_fitted")}
    wanted |= {f"why.{why}" for why in Why} | {f"mark.{mark}" for mark in Mark if mark is not Mark.NONE}
    assert not wanted - set(vi)


def test_every_unit_on_the_wire_has_words(vi: dict[str, str]) -> None:
    units = {metric.unit.value for metric in METRICS.values()} - {"yes_no"}
    assert not {f"unit.{unit}" for unit in units} - set(vi)


def test_short_words_are_of_figures_that_colour_a_tile(vi: dict[str, str]) -> None:
    marked = {f"short.{name}" for name, metric in METRICS.items() if metric.mark is not Mark.NONE and metric.limits}
    assert not {key for key in vi if key.startswith("short.")} - marked


def test_every_key_a_page_asks_for_is_there_and_every_key_is_asked_for(vi: dict[str, str]) -> None:
    source = "\n".join(module.read_text(encoding="utf-8") for module in MODULES)
    asked = {key for match in LITERAL_KEY.findall(source) for key in match if key}
    asked |= set(re.findall(r'words: "([\w.]+)"', source))
    families = tuple(MADE_KEY.findall(source))
    assert not asked - set(vi)
    assert not {key for key in vi if key not in asked and not key.startswith(families)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_no_page_speaks_past_the_catalogues(module: Path) -> None:
    """Between tags stand figures and words from the catalogue only; so do the attributes people hear or see."""
    source = module.read_text(encoding="utf-8")
    for template in _templates(source):
        bare = re.sub(r"<[^>]*>", " ", _without_holes(template))
        assert not re.search(r"[^\W\d_]", bare), f"{module.name}: {bare.strip()[:80]!r}"
        spoken = re.findall(r"(?:aria-label|title|alt|placeholder)=(\"[^\"]*\"|\w+)", _without_holes(template))
        assert not spoken, f"{module.name}: {spoken}"


def _templates(source: str) -> list[str]:
    """The text of every html`…`, without those nested inside its holes (they are found by themselves)."""
    found = []
    for start in (match.end() for match in re.finditer(r"html`", source)):
        end, depth = start, 0
        while depth or source[end] != "`":
            if source[end] == "{" and (depth or source[end - 1] == "$"):
                depth += 1
            elif source[end] == "}" and depth:
                depth -= 1
            end += 1
        found.append(source[start:end])
    return found


def _without_holes(template: str) -> str:
    """The template with each `${…}` gone, whatever is nested in it."""
    out, depth, place = [], 0, 0
    while place < len(template):
        if template.startswith("${", place):
            depth, place = depth + 1, place + 2
            continue
        if depth:
            depth += {"{": 1, "}": -1}.get(template[place], 0)
        else:
            out.append(template[place])
        place += 1
    return "".join(out)
