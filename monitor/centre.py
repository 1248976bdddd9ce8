"""The centre without its HTTP: store, sites, devices, live state, and the clockwork that keeps them agreeing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from monitor.access.registry import Access
from monitor.access.tries import Tries
from monitor.agenda import Agendas, limits_table, mark_done
from monitor.clock import Clock
from monitor.collect import Collector
from monitor.devices import Device, Devices
from monitor.events import Events
from monitor.live import SNAPSHOT_VERSION, Live
from monitor.meetings.schedule import HANDED_AHEAD_MS, Meeting, agenda_item, coming, one
from monitor.settings import Settings, networks_of
from monitor.sites import load_sites
from monitor.store.hot import HotStore
from monitor.store.protocol import StoreUnavailable
from monitor.store.reads import (
    access_revision,
    keep_snapshot,
    last_entry,
    load_snapshot,
    revisions,
    runs_after,
    unknown_metrics,
)
from monitor.store.runs import Run

HOUR_MS = 3_600_000
SWEEP_S = 1.0
TELL_S = 0.5
SNAPSHOT_S = 60.0
REPLAY_WITHOUT_SNAPSHOT = 100_000
"""Runs taken again when no snapshot can be read: more than an hour of a city, some seconds of work."""
LIVE = "live"

log = logging.getLogger(__name__)


class Centre:
    """All rooms of the centre, open. Make it with `open_centre`, end it with `close`."""

    def __init__(self, settings: Settings, clock: Clock, data: Path) -> None:
        self.settings = settings
        self.clock = clock
        self.devices = Devices()
        self.access = Access()
        self.tries = Tries()
        self.trusted = networks_of(settings.access)
        self.events = Events()
        self.agendas = Agendas()
        self.meetings: list[Meeting] = []
        site_limits = {
            site: {name: setting.limits() for name, setting in limits.items()}
            for site, limits in settings.limits.items()
        }
        self.live = Live(self.devices, self.events, site_limits)
        self.store = HotStore(data, self._on_stored)
        self.collector = Collector(self.store, clock, {})
        self._revisions = (-1, -1)
        self._access_revision = -1
        self._limits: dict[str, dict[str, Any]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._asked: set[asyncio.Task[None]] = set()

    @property
    def idle_ms(self) -> int:
        """A browser's session ends after so long without a request."""
        return int(self.settings.access.idle_hours * HOUR_MS)

    # --- start and end ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read what is kept, rebuild the live state, start the clockwork."""
        unknown = await self.store.read(unknown_metrics)
        self.collector = Collector(self.store, self.clock, unknown)
        await self.store.read(self.tries.load)
        await self._load_access()
        await self._load()
        await self._rebuild()
        self.live.show_all(self.clock.wall_ms())
        self._tasks = [
            asyncio.create_task(_every(SWEEP_S, self._sweep)),
            asyncio.create_task(_every(TELL_S, self._tell)),
            asyncio.create_task(_every(SNAPSHOT_S, self.keep_live)),
        ]

    async def close(self) -> None:
        """Keep the live state, commit what waits, stop."""
        self.let_go()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._asked, return_exceptions=True)
        await self.keep_live()
        self.store.close()

    def let_go(self) -> None:
        """Answer everybody who is kept waiting, so that the server can stop."""
        self.events.close()
        self.agendas.wake()

    async def _rebuild(self) -> None:
        kept = await self.store.read(lambda connection: load_snapshot(connection, LIVE, SNAPSHOT_VERSION))
        if kept is not None:
            self.live.restore(*kept)
            after = kept[1]
        else:
            after = await self.store.read(last_entry) - REPLAY_WITHOUT_SNAPSHOT
        self.live.replay(await self.store.read(lambda connection: list(runs_after(connection, after))))

    def limits_of(self, site: str) -> dict[str, Any]:
        """The limits that rule at a site, with their version, as devices are handed them."""
        if site not in self._limits:
            self._limits[site] = limits_table(site, self.live.limits_of)
        return self._limits[site]

    # --- while it runs ------------------------------------------------------------------------------------------

    def _on_stored(self, runs: list[Run]) -> None:
        self.live.take(runs, self.clock.wall_ms())
        done = [run for run in runs if "agenda" in run.report.labels]
        if done:
            task = asyncio.create_task(self._mark_done(done))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

    async def _mark_done(self, runs: list[Run]) -> None:
        try:
            await self.store.change(lambda connection: mark_done(connection, runs))
        except StoreUnavailable as error:  # asked again until it is over: the device does it once all the same
            log.warning("Agenda items are done but not marked so: %s", error)

    async def reload(self) -> None:
        """Take over what a command or another route has changed in sites, devices, tokens and agenda."""
        await self._load_access()
        if await self._load():
            self.live.show_all(self.clock.wall_ms())
            self.agendas.wake()

    async def _load_access(self) -> None:
        """Read people, sessions and tokens when any of them has changed since the last time."""
        found = await self.store.read(access_revision)
        if found != self._access_revision:
            await self.store.read(self.access.load)
            self._access_revision = found

    async def _load(self) -> bool:
        """Read what has changed since the last time; False when nothing has."""
        found = await self.store.read(revisions)
        if found == self._revisions:
            return False
        sites_before, _ = self._revisions
        await self.store.read(self.devices.load)
        await self.store.read(self.agendas.load)
        await self._load_meetings()
        if found[0] != sites_before:
            sites = await self.store.read(load_sites)
            self.live.set_sites(sites)
            self._limits = {}
            self.collector.sites = sites
        self._revisions = found
        return True

    async def _load_meetings(self) -> None:
        """Take over the meetings, and tell the pages of each that is new, changed or called off."""
        now = self.clock.wall_ms()
        before = {meeting.id: meeting for meeting in self.meetings}
        self.meetings = await self.store.read(lambda connection: coming(connection, now))
        if self._revisions == (-1, -1):
            return
        changed = [meeting for meeting in self.meetings if before.pop(meeting.id, None) != meeting]
        gone = [meeting.id for meeting in before.values() if not meeting.is_over(now)]
        for meeting in changed:
            self._tell_meeting(meeting)
        for id in gone:
            self._tell_meeting(await self.store.read(partial(one, id=id)))

    def _tell_meeting(self, meeting: Meeting) -> None:
        self.events.publish("meeting", meeting, None if meeting.sites is None else frozenset(meeting.sites))

    def asked_of(self, device: Device) -> list[dict[str, Any]]:
        """What is asked of a device now: its own items, and the meetings its site takes part in."""
        now = self.clock.wall_ms()
        items = self.agendas.open_items(device.id, now)
        site = self.live.sites.get(device.site)
        if site is None or not self.meetings:
            return items
        near = [
            agenda_item(meeting)
            for meeting in self.meetings
            if now < meeting.end and meeting.start <= now + HANDED_AHEAD_MS and meeting.takes_part(site)
        ]
        return items + near

    async def _sweep(self) -> None:
        await self.reload()
        self.live.sweep(self.clock.wall_ms())
        if self.store.fault() is not None:
            # Only a commit that writes shows that the disk is back.
            await self.store.change(
                lambda connection: connection.execute("UPDATE counters SET value = value WHERE name = 'agenda'")
            )

    async def _tell(self) -> None:
        self.live.tell_readings(self.clock.wall_ms())

    async def keep_live(self) -> None:
        """Keep the live state in the store, so that a start takes few runs again."""
        entry, body = self.live.entry, self.live.snapshot()
        await self.store.change(lambda connection: keep_snapshot(connection, LIVE, SNAPSHOT_VERSION, entry, body))


async def _every(seconds: float, do: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again; a store that takes nothing now may take it next time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await do()
        except StoreUnavailable as error:
            log.debug("Put off: %s", error)
        except Exception:
            log.exception("Part of the clockwork failed; it goes on.")
