"""Derived files are committed, complete, and known to be stale when they are."""

from pathlib import Path

from monitor.derive.files import DERIVED, stale, write

ROOT = Path(__file__).parents[3]


def test_every_derived_file_equals_a_fresh_derivation() -> None:
    assert stale(ROOT) == [], "run: diemcau-monitor derive"


def test_files_that_are_missing_are_stale_until_written(tmp_path: Path) -> None:
    assert stale(tmp_path) == list(DERIVED)
    assert write(tmp_path) == list(DERIVED)
    assert stale(tmp_path) == []
    assert write(tmp_path) == []


def test_one_changed_letter_makes_a_file_stale(tmp_path: Path) -> None:
    write(tmp_path)
    page = tmp_path / "dashboards" / "METRICS.vi.md"
    page.write_text(page.read_text(encoding="utf-8").replace("Đạt", "Đat", 1), encoding="utf-8")
    assert stale(tmp_path) == ["dashboards/METRICS.vi.md"]
