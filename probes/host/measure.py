"""The device's own figures out of what its kernel says: texts and counters in, values out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from probes.shelf import Held
from probes.timex import ClockState

STEP_MS = 50.0
"""A time server slews at most 0.5 ms a second (adjtimex(2)); what moves the clock further within one look is a step."""


class CpuTime(NamedTuple):
    """Ticks since the machine started, all processors together."""

    busy: int
    total: int


def cpu_time(stat: str) -> CpuTime | None:
    """The first line of /proc/stat (proc(5)): user nice system idle iowait irq softirq steal ..."""
    fields = stat.split("\n", 1)[0].split()
    if len(fields) < 6 or fields[0] != "cpu":
        return None
    ticks = [int(field) for field in fields[1:9]]  # guest time, after these, is within user time already
    return CpuTime(busy=sum(ticks) - ticks[3] - ticks[4], total=sum(ticks))


def cpu_ratio(before: CpuTime | None, now: CpuTime | None) -> float | None:
    """Share of the time between that the processors were busy; None when no tick has passed."""
    if before is None or now is None or now.total <= before.total:
        return None
    return min(1.0, max(0.0, (now.busy - before.busy) / (now.total - before.total)))


def memory_ratio(meminfo: str) -> float | None:
    """Share of memory that a new program could not have, from /proc/meminfo."""
    kib = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in meminfo.splitlines())
        if name in ("MemTotal", "MemAvailable")
    }
    if len(kib) < 2 or kib["MemTotal"] <= 0:
        return None
    return 1 - kib["MemAvailable"] / kib["MemTotal"]


def clock_values(state: ClockState | None) -> dict[str, float]:
    """Whether the clock is synchronised and, only then, how far it may be off."""
    if state is None:
        return {}
    if not state.synchronised:
        return {"clock_synchronised": 0.0}
    return {"clock_synchronised": 1.0, "clock_error_ms": state.max_error_us / 1000}


def spool_values(held: Held | None, now_ms: int) -> dict[str, float]:
    """What waits to be sent; no age when nothing does."""
    if held is None:
        return {}
    values = {"spool_reports": float(held.reports)}
    if held.oldest_at is not None:
        values["spool_age_s"] = max(0.0, (now_ms - held.oldest_at) / 1000)
    return values


def step_ms(ahead_before_ns: int, ahead_now_ns: int) -> float | None:
    """How far the wall clock jumped between two looks at `wall - monotonic`; None when it did not.

    A machine that slept jumps forward too: its monotonic clock stood still meanwhile.
    """
    step = (ahead_now_ns - ahead_before_ns) / 1e6
    return step if abs(step) >= STEP_MS else None
