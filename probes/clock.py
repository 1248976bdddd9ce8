"""The one clock of a program, handed in: durations are monotonic, only stamps are wall time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a program may ask of time. Tests hand in one that they move themselves."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC: may step at any moment, so it never measures a duration."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that only ever grow, from an arbitrary start."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of monotonic time."""


class SystemClock:
    """The machine's own clock."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def wall_ms(clock: Clock) -> int:
    """Milliseconds since 1970 UTC, as every stamp on the wire."""
    return clock.wall_ns() // 1_000_000
