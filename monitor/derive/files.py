"""What is derived is committed: `write` makes every derived file anew, `stale` names those that no longer agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor.derive.declared import declared
from monitor.derive.pages import metrics_page
from monitor.derive.schema import wire_schema

DERIVED: dict[str, Callable[[], str]] = {
    "dashboards/wire-v1.schema.json": lambda: _json(wire_schema()),
    "dashboards/METRICS.vi.md": lambda: metrics_page("vi"),
    "dashboards/METRICS.en.md": lambda: metrics_page("en"),
    "monitor/web/static/declared.json": lambda: _json(declared()),
}
"""Path below the project's own folder to the text that belongs there."""


def write(root: Path) -> list[str]:
    """Derive every file below `root`, the project's own folder; returns the paths that were changed."""
    changed = stale(root)
    for path in changed:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(DERIVED[path](), encoding="utf-8")
    return changed


def stale(root: Path) -> list[str]:
    """The derived files below `root` that are missing or differ from a fresh derivation."""
    return [path for path, derive in DERIVED.items() if _read(root / path) != derive()]


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
