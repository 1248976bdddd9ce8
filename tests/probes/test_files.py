"""Small files: complete or not there, and nobody else's to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.files import write_whole


def test_a_file_is_replaced_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "kept.json"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "kept.json.new").write_bytes(b"half")
    write_whole(tmp_path / "kept.json", b"whole")
    assert (tmp_path / "kept.json").read_bytes() == b"whole"
    assert not (tmp_path / "kept.json.new").exists()


def test_what_was_there_stays_when_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_bytes(b"before")
    (tmp_path / "kept.json.new").mkdir()
    with pytest.raises(OSError, match=r"kept\.json\.new"):
        write_whole(tmp_path / "kept.json", b"after")
    assert (tmp_path / "kept.json").read_bytes() == b"before"
