"""What a probe is to the rest of the house: something that runs, and whose every run becomes a report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from probes.clock import Clock, wall_ms
from probes.config import SiteConfig
from probes.report import MAX_TEXT_CHARS, Failure, Report
from probes.shelf import Held

Emit = Callable[[Report], None]
"""Takes a finished report, at once and without blocking; the spool gives it its identity."""

Measure = Callable[[], Awaitable[Report]]
"""One run: returns its report or raises `ProbeFailure`."""


class ProbeFailure(Exception):
    """The run could not measure: `code` is declared beside the probe's metrics, the sentence is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = Failure(code, sentence[:MAX_TEXT_CHARS])


@dataclass(frozen=True)
class Ask:
    """Something to do now: `do` and `args` as in the agenda (probes/agenda.py), checked and allowed at this moment."""

    do: str
    id: str = ""
    """The agenda's id, to be the label `agenda` of the report it causes; "" when nobody asked but the device itself."""
    args: Mapping[str, Any] = field(default_factory=dict)


def _allow(do: str) -> bool:
    return True


@dataclass(frozen=True)
class Context:
    """All that a runner of the agent is handed."""

    config: SiteConfig
    clock: Clock
    emit: Emit
    asks: asyncio.Queue[Ask] = field(default_factory=asyncio.Queue)
    """What this runner is asked, to be taken with `await ctx.asks.get()`: link gets `burst`, host gets `check`."""
    may: Callable[[str], bool] = _allow
    """Whether the room allows a verb of the agenda now; asked before a runner does by itself what may disturb."""
    held: Callable[[], Held] | None = None
    """How much waits to be sent; may read the disk, so not to be called in the event loop. None without a spool."""


Runner = Callable[[Context], Awaitable[None]]
"""A light probe that lives inside the agent and emits reports until it is cancelled."""


async def run_once(probe: str, measure: Measure, clock: Clock, limit_s: float, target: str | None = None) -> Report:
    """Run `measure` within `limit_s` seconds; a failed run is still a report."""
    at, start = wall_ms(clock), clock.monotonic_ns()
    try:
        async with asyncio.timeout(limit_s):
            return await measure()
    except ProbeFailure as error:
        failure = error.failure
    except TimeoutError:
        failure = Failure("time_limit", f"The {probe} run was not done after {limit_s:g} s.")
    took_ms = (clock.monotonic_ns() - start) // 1_000_000
    return Report(probe, at, took_ms, target=target, failure=failure)
