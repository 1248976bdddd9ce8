"""From a probe's hand to the centre: emit stores at once, what is stored is pushed.

`emit` never blocks: a thread writes to disk, and what arrives while it writes is stored in the next commit together.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from probes.report import Report
from probes.spool import Spool

MOST_WAITING = 5000
"""Reports in memory while a disk hangs; then the oldest are lost, and that is told."""

log = logging.getLogger(__name__)


class Delivery:
    """Takes reports and stores them. `wake` is told how many were just stored."""

    def __init__(self, spool: Spool, wake: Callable[[int], None]) -> None:
        self._spool = spool
        self._wake = wake
        self._waiting: deque[Report] = deque()
        self._lost = 0
        self._closing = False
        self._came = asyncio.Event()

    def emit(self, report: Report) -> None:
        """Take a report, at once. To be called in the event loop."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(report)
        self._came.set()

    def close(self) -> None:
        """Let `run` return once it has stored what waits. It must not be cancelled: a write may be under way."""
        self._closing = True
        self._came.set()

    async def run(self) -> None:
        """Store whatever comes, until closed."""
        while self._waiting or not self._closing:
            await self._came.wait()
            self._came.clear()
            if self._waiting:
                await self._store()

    async def _store(self) -> None:
        group, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        if lost:
            log.error("%d reports were lost while the disk of the spool hung; the centre is told.", lost)
            await asyncio.to_thread(self._spool.lose, lost)
        await asyncio.to_thread(self._spool.add_all, group)
        self._wake(len(group))
