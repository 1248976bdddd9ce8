"""The centre itself, on a clock that the harness steps.

python -m tests.bench.exactly_once.centre FOLDER PORT
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from monitor.app import serve
from monitor.clock import Clock
from monitor.settings import Settings
from tests.bench.exactly_once.clock import SteppedClock


class SteppedCentreClock(Clock):
    """The centre's clock, with the offset that a file holds."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._stepped = SteppedClock(file)

    def wall_ms(self) -> int:
        return self._stepped.wall_ns() // 1_000_000


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    folder, port = Path(sys.argv[1]), sys.argv[2]
    asyncio.run(serve(Settings(listen=f"127.0.0.1:{port}"), SteppedCentreClock(folder / "clock"), folder / "disk"))
