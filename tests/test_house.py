"""The rules of the house, kept by a test: who may import whom, and what must stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("probes", "monitor")
WIRE = {"probes.metric", "probes.catalog", "probes.report", "probes.verdict"}
HEAVY = ("numpy", "aiortc", "fastapi", "pydantic", "av", "sounddevice")


def modules() -> dict[str, Path]:
    found = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, top_only: bool = False) -> Iterator[str]:
    """Modules named by import statements of a file; those under TYPE_CHECKING do not run and do not count."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {each for each in imports_of(path) if each in known} - {name} for name, path in known.items()}


def test_there_is_a_house_to_look_at() -> None:
    assert set(modules()) >= WIRE


def test_no_module_imports_itself_through_others() -> None:
    edges = graph()
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name in done:
            return
        for each in sorted(edges[name]):
            visit(each, (*way, name))
        done.add(name)

    for name in edges:
        visit(name, ())


def test_a_probe_never_knows_the_centre() -> None:
    for name, path in modules().items():
        if name.startswith("probes"):
            assert not [each for each in imports_of(path) if each.split(".")[0] == "monitor"], name


def test_the_centre_takes_only_the_wire_from_the_probes() -> None:
    allowed = WIRE | {"probes"}
    for name, path in modules().items():
        if not name.startswith("monitor"):
            continue
        for each in imports_of(path):
            if each.split(".")[0] == "probes":
                assert (
                    any(each == one or each.startswith(one + ".") for one in allowed - {"probes"}) or each in allowed
                ), f"{name} imports {each}"


def loaded_by(statement: str) -> set[str]:
    """Top-level names of all modules that a fresh interpreter holds after the statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", sorted(WIRE))
def test_the_wire_needs_nothing_heavy(module: str) -> None:
    assert not loaded_by(f"import {module}") & {*HEAVY, "httpx", "rich", "typer"}


def test_the_agent_stays_light() -> None:
    assert not loaded_by("import probes.agent") & set(HEAVY)


def test_the_agent_knows_of_call_sound_and_light_only_their_metrics() -> None:
    reached, waiting = set(), ["probes.agent"]
    edges = graph()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(edges[name])
    for room in ("call", "sound", "light"):
        inside = {each for each in reached if each.startswith(f"probes.{room}.")}
        assert inside <= {f"probes.{room}.metrics"}, inside


def test_imports_stand_at_the_top_but_inside_a_command() -> None:
    for name, path in modules().items():
        if name.endswith(".cli"):
            continue
        late = set(imports_of(path)) - set(imports_of(path, top_only=True))
        guarded = {
            each
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.If | ast.Try)
            for inner in ast.walk(node)
            if isinstance(inner, ast.Import | ast.ImportFrom)
            for each in ([inner.module] if isinstance(inner, ast.ImportFrom) else [alias.name for alias in inner.names])
            if each
        }
        late = {each for each in late if not any(each == one or each.startswith(f"{one}.") for one in guarded)}
        assert not late, f"{name} imports late: {sorted(late)}"


def test_metrics_are_declarations_only() -> None:
    for name, path in modules().items():
        if name.endswith(".metrics"):
            outside = {each.split(".")[0] for each in imports_of(path)} - {
                "__future__",
                "collections",
                "typing",
                "probes",
            }
            assert not outside, f"{name} imports {outside}"


def test_nothing_names_the_shared_folder() -> None:
    me = Path(__file__)
    for path in ROOT.rglob("*"):
        if path.suffix in {".py", ".md", ".toml", ".sh", ".c"} and path != me:
            if any(
                part.startswith(".") or part in {"build", "data", "node_modules"}
                for part in path.relative_to(ROOT).parts
            ):
                continue
            text = path.read_text(errors="replace")
            assert "../shared" not in text, path
            assert "/work/" not in text, path
