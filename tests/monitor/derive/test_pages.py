"""The metric pages say everything a declaration says, in both languages."""

import pytest

from monitor.derive.numbers import figure, limits_row
from monitor.derive.pages import PROBE_WORDS, metrics_page
from probes.catalog import FAILURES, METRICS, PROBES
from probes.metric import Limits, Unit


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_metric_and_failure_is_on_the_page_with_its_words(lang: str) -> None:
    page = metrics_page(lang)
    for metric in METRICS.values():
        assert f"**{getattr(metric.label, lang)}**. {getattr(metric.meaning, lang)}" in page
        if metric.advice:
            assert getattr(metric.advice, lang) in page
        if metric.limits:
            assert f"`{metric.full_name}` |" in page
            assert metric.source in page
    for failure in FAILURES.values():
        assert f"| `{failure.code}` | {getattr(failure.label, lang)} |" in page


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_row_has_as_many_cells_as_its_head(lang: str) -> None:
    width = 0
    for line in metrics_page(lang).splitlines():
        cells = line.count(" | ") if line.startswith("|") else 0
        if line.startswith("| ---"):
            continue
        width = cells if width == 0 else width
        assert cells in (0, width), line
        width = width if cells else 0


def test_every_probe_has_a_heading() -> None:
    assert set(PROBE_WORDS) >= set(PROBES)


@pytest.mark.parametrize(
    ("value", "unit", "vietnamese", "english"),
    [
        (0.0005, Unit.RATIO, "0,05\u202f%", "0.05\u202f%"),
        (0.01, Unit.RATIO, "1\u202f%", "1\u202f%"),
        (4.02, Unit.MOS, "4,02", "4.02"),
        (100, Unit.MS, "100\u202fms", "100\u202fms"),
        (1400, Unit.BYTES, "1400\u202fbyte", "1400\u202fbyte"),
    ],
)
def test_figures_are_written_as_people_read_them(value: float, unit: Unit, vietnamese: str, english: str) -> None:
    assert figure(value, unit, "vi") == vietnamese
    assert figure(value, unit, "en") == english


def test_limits_read_as_good_fair_and_poor() -> None:
    assert limits_row(Limits.at_most(30, 50), Unit.MS, "vi") == ("≤ 30\u202fms", "≤ 50\u202fms", "> 50\u202fms")
    assert limits_row(Limits.at_least(4.02, 3.6), Unit.MOS, "en") == ("≥ 4.02", "≥ 3.6", "< 3.6")
    assert limits_row(Limits.at_most(0, 0), Unit.COUNT, "en") == ("≤ 0", "–", "> 0")
