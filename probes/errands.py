"""Does what the centre asks and what the day brings: bursts, path runs, new limits; each once, and never too near a
meeting. What is asked is judged in agenda.py; here it is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from probes.agenda import Agenda, Item, due, forbids, over, take, without
from probes.clock import Clock, wall_ms
from probes.config import HubTarget, Line, SiteConfig
from probes.limits import keep_limits
from probes.link.path import ALL, Part, measure_path
from probes.link.shift import PathWatch
from probes.probe import Ask, Emit
from probes.report import MAX_LABEL_CHARS, Report
from probes.schedule import Daily, is_daily_due, site_day
from probes.spool import Spool

DAILY_PATH = Daily("path", opens_minute=5 * 60, spread_minutes=90, settle_s=1800.0)
"""Early, before the day's first meetings are near; a device that is off at night does it within half an hour."""
DAY_MS = 86_400_000
LOOK_S = 1.0
TRACE_EVERY_NS = 600_000_000_000
"""A path that flaps is looked at no more often than this, per line and hub."""

ASKED: Mapping[str, Sequence[str]] = {"burst": ("link",), "check": ("host", "link")}
"""Which runners an action is passed on to."""

log = logging.getLogger(__name__)


def daily_path_id(day: int) -> str:
    """What the spool remembers a day's path run by, beside the ids of the agenda."""
    return f"path-{day}"


class _PathRun(NamedTuple):
    """What is to be measured of which paths, and who asked."""

    ask: Ask
    parts: Sequence[Part] = ALL
    why: str = ""


class Errands:
    """What one device has to do beside its light runners."""

    def __init__(
        self, config: SiteConfig, clock: Clock, spool: Spool, emit: Emit, asks: Mapping[str, asyncio.Queue[Ask]]
    ) -> None:
        self._config = config
        self._clock = clock
        self._spool = spool
        self._emit = emit
        self._asks = asks
        self._agenda = Agenda()
        self._has_heard = config.centre is None
        self._done = spool.asked()
        self._last_day: int | None = None
        self._paths: asyncio.Queue[_PathRun] = asyncio.Queue()
        self._hops: dict[tuple[str, str], list[str]] = {}
        self._watches: dict[tuple[str, str], PathWatch] = {}
        self._traced_ns: dict[tuple[str, str], int] = {}
        self._complained: set[str] = set()
        self._started_ns = clock.monotonic_ns()

    def take(self, listed: Sequence[Any]) -> None:
        """The agenda as the centre now lists it."""
        self._agenda, faults = take(listed, wall_ms(self._clock), self._done)
        self._has_heard = True
        for sentence in set(faults) - self._complained:
            log.warning("%s", sentence)
        self._complained = set(faults)

    def look_at(self, report: Report) -> None:
        """Take note of a report of this device: a line whose delay or TTL has shifted is traced, in a meeting too."""
        if report.probe != "link" or report.failure is not None or "run" in report.labels:
            return
        way = report.target or "", report.line or Line().id
        if not self._watches.setdefault(way, PathWatch()).has_shifted(report.values):
            return
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._traced_ns.get(way, now_ns - TRACE_EVERY_NS) < TRACE_EVERY_NS:
            return
        self._traced_ns[way] = now_ns
        self._paths.put_nowait(_PathRun(Ask("path", args={"hub": way[0], "line": way[1]}), (Part.TRACE,), "shift"))

    def may(self, do: str) -> bool:
        """Whether the room allows this now."""
        return forbids(self._agenda, do, wall_ms(self._clock)) is None

    async def run(self) -> None:
        """Do each thing when it is due, until cancelled; path runs one after the other, and nothing waits for them."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            group.create_task(self._measure_paths())

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(LOOK_S)
            now_ms = wall_ms(self._clock)
            for item in over(self._agenda, now_ms):
                log.warning("%s (%s) was not done: its time passed before it was allowed.", item.do, item.id)
                self._agenda = without(self._agenda, item.id)
            for item in due(self._agenda, now_ms):
                await self._begin(item)
            await self._daily(now_ms)

    async def _begin(self, item: Item) -> None:
        """Remember it as done, then do it: after a crash in between it is not done twice."""
        self._done.add(item.id)
        self._agenda = without(self._agenda, item.id)
        await asyncio.to_thread(self._spool.remember_asked, item.id, item.until)
        ask = Ask(item.do, item.id, item.args)
        match item.do:
            case "path":
                self._paths.put_nowait(_PathRun(ask))
            case "limits":
                await asyncio.to_thread(self._keep_limits, item)
            case _:
                self._pass_on(ask)

    def _pass_on(self, ask: Ask) -> None:
        runners = [self._asks[name] for name in ASKED.get(ask.do, ()) if name in self._asks]
        if not runners:
            log.warning("The centre asks %s (%s), which this device has nothing for.", ask.do, ask.id)
        for runner in runners:
            runner.put_nowait(ask)

    def _keep_limits(self, item: Item) -> None:
        """The limits in force at this site, for the device's own verdicts."""
        try:
            keep_limits(Path(self._config.spool.dir), item.args)
        except (OSError, ValueError) as error:
            log.warning("The limits %s cannot be kept: %s.", item.id, error)

    async def _daily(self, now_ms: int) -> None:
        """The day's path run; only once the centre has said which meetings there are."""
        on_for_s = (self._clock.monotonic_ns() - self._started_ns) / 1e9
        if not self._has_heard or not is_daily_due(DAILY_PATH, self._config.site, now_ms, on_for_s, self._last_day):
            return
        id = daily_path_id(site_day(now_ms))
        if id not in self._done and self.may("path"):
            self._done.add(id)
            await asyncio.to_thread(self._spool.remember_asked, id, now_ms + 2 * DAY_MS)
            self._paths.put_nowait(_PathRun(Ask("path")))
        if id in self._done:
            self._last_day = site_day(now_ms)

    async def _measure_paths(self) -> None:
        while True:
            run = await self._paths.get()
            for line in self._config.lines:
                for hub in self._config.hubs:
                    if run.ask.args.get("hub", hub.id) == hub.id and run.ask.args.get("line", line.id) == line.id:
                        self._emit(await self._measure_path(run, hub, line))

    async def _measure_path(self, run: _PathRun, hub: HubTarget, line: Line) -> Report:
        hops = self._hops.get((hub.id, line.id), [])
        ran = await measure_path(hub, line, self._clock, run.parts, lambda: self.may("path"), hops)
        self._hops[hub.id, line.id] = ran.hops or hops
        why = {"agenda": run.ask.id[:MAX_LABEL_CHARS], "why": run.why}
        labels = {**ran.report.labels, **{name: value for name, value in why.items() if value}}
        return msgspec.structs.replace(ran.report, labels=labels)
