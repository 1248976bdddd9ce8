"""A small disk of its own for one program, which can be filled to the last octet and emptied again."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

PIECE = bytes(64 * 1024)


class SmallDisk:
    """A tmpfs. It goes with the mount namespace it was made in."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        folder.mkdir(parents=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "diemcau-test", str(folder)], check=True
        )
        self.folder = folder
        self._filler = folder / "filled-by-others"

    def fill(self) -> None:
        """Take every octet that is free; again and again while it is to stay full: others give theirs back."""
        filler = os.open(self._filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        size = len(PIECE)
        try:
            while size >= 512:
                try:
                    os.write(filler, PIECE[:size])
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        finally:
            os.close(filler)

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)
