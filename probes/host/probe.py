"""Asks the kernel how the device is: its clock, load, memory and disk, and what waits to be sent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from probes.clock import Clock, wall_ms
from probes.config import SiteConfig
from probes.host.measure import (
    CpuTime,
    clock_values,
    cpu_ratio,
    cpu_time,
    memory_ratio,
    spool_values,
    step_ms,
)
from probes.host.metrics import PROBE
from probes.probe import Ask, Context
from probes.report import Report
from probes.schedule import Every, first_ns, next_ns
from probes.shelf import Held
from probes.timex import read_clock_state

EVERY = Every(PROBE, every_s=30.0, first_within_s=5.0)
LOOK_S = 1.0
"""How often the clock is looked at: a step is told within this time."""


def read_text(path: str) -> str:
    """A file of /proc; "" where it cannot be read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def disk_free_ratio(folder: Path) -> float | None:
    """Share of the disk under the spool that this program may still write."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return None
    return disk.f_bavail / disk.f_blocks if disk.f_blocks else None


class Host:
    """One device; keeps what the next report is counted from."""

    def __init__(self, folder: Path, clock: Clock, held: Callable[[], Held] | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._held = held
        self._cpu: CpuTime | None = None
        self._ahead_ns = self._ahead()
        self.report()  # from here on the processors' time is counted

    def report(self, agenda: str = "") -> Report:
        """How the device is now. Reads the disk."""
        at, start = wall_ms(self._clock), self._clock.monotonic_ns()
        cpu = cpu_time(read_text("/proc/stat"))
        ratios = {
            "cpu_ratio": cpu_ratio(self._cpu, cpu),
            "memory_ratio": memory_ratio(read_text("/proc/meminfo")),
            "disk_free_ratio": disk_free_ratio(self._folder),
        }
        self._cpu = cpu
        values = {name: value for name, value in ratios.items() if value is not None}
        values |= clock_values(read_clock_state())
        values |= spool_values(self._held() if self._held else None, at)
        took_ms = (self._clock.monotonic_ns() - start) // 1_000_000
        return Report(PROBE, at, took_ms, values=values, labels={"agenda": agenda} if agenda else {})

    def step(self) -> Report | None:
        """A report of the step that the wall clock made since the last look; None when it made none."""
        before, self._ahead_ns = self._ahead_ns, self._ahead()
        stepped_ms = step_ms(before, self._ahead_ns)
        if stepped_ms is None:
            return None
        return Report(PROBE, wall_ms(self._clock), values={"clock_step_ms": stepped_ms})

    def _ahead(self) -> int:
        return self._clock.wall_ns() - self._clock.monotonic_ns()


async def run(ctx: Context) -> None:
    """Report every 30 s, at once when asked, and within a second when the clock steps; until cancelled."""
    host = Host(Path(ctx.config.spool.dir), ctx.clock, ctx.held)
    due_ns = first_ns(EVERY, ctx.config.site, ctx.clock.monotonic_ns())
    while True:
        await ctx.clock.sleep(LOOK_S)
        if (stepped := host.step()) is not None:
            ctx.emit(stepped)
        now_ns = ctx.clock.monotonic_ns()
        if now_ns >= due_ns:
            due_ns = next_ns(EVERY, due_ns, now_ns)
            ctx.emit(await asyncio.to_thread(host.report))
        for ask in _asked(ctx):
            ctx.emit(await asyncio.to_thread(host.report, ask.id))


def _asked(ctx: Context) -> list[Ask]:
    return [ctx.asks.get_nowait() for _ in range(ctx.asks.qsize())]


async def once(config: SiteConfig, clock: Clock, seconds: float = 1.0) -> list[Report]:
    """One report, its load counted over `seconds`."""
    host = Host(Path(config.spool.dir), clock)
    await clock.sleep(seconds)
    return [host.report()]
