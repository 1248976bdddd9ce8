"""Small files that a program keeps for its next start."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, octets: bytes) -> None:
    """Put `octets` in the file, complete or not at all, through a power cut too; nobody else may read it for a moment.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    fresh = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
