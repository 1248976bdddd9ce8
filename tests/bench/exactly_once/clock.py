"""A clock that another process may step: the machine's own, plus an offset that a small file holds."""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path

OFFSET_NS = struct.Struct("!q")


class SteppedClock:
    """What a probe is handed in place of the machine's clock. Durations never see the offset."""

    def __init__(self, file: Path) -> None:
        self._offset = os.open(file, os.O_RDONLY)

    def wall_ns(self) -> int:
        (offset_ns,) = OFFSET_NS.unpack(os.pread(self._offset, OFFSET_NS.size, 0))
        return time.time_ns() + int(offset_ns)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def step(file: Path, seconds: float) -> None:
    """Set the offset of every clock that reads `file`; made with offset 0 when it is not there."""
    offset = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(offset, OFFSET_NS.pack(int(seconds * 1e9)), 0)
    finally:
        os.close(offset)
