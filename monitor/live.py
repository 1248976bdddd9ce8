"""The latest reading and the held verdict of every site, in memory; rebuilt from the store at start.

What a run does here depends on the run alone, and runs are taken in the order in which they became durable: the state
after a restart is the state before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from monitor.devices import Device, Devices, Role
from monitor.events import Events
from monitor.marks import SiteShown, show_site
from monitor.segment import Crowds, blame
from monitor.site_state import SiteState
from monitor.sites import Site
from monitor.store.runs import Run
from monitor.streams import Stream, key_from_kept, key_of
from monitor.views import reading_view, site_view
from probes.metric import Limits, Metric
from probes.verdict import effective_limits

SNAPSHOT_VERSION = "1"
STREAMS_PER_SITE = 200
"""Targets and rooms are named by the device; a broken one must not fill the memory."""

SiteLimits = Mapping[str, Mapping[str, Limits]]

log = logging.getLogger(__name__)


class Live:
    """All sites now. Everything runs on the event loop's thread."""

    def __init__(self, devices: Devices, events: Events, site_limits: SiteLimits) -> None:
        self.sites: dict[str, Site] = {}
        self.entry = 0
        self.too_many_streams = 0
        self._states: dict[str, SiteState] = {}
        self._devices = devices
        self._events = events
        self._site_limits = site_limits
        self._crowds = Crowds()

    def state(self, site: str) -> SiteState:
        return self._states.setdefault(site, SiteState())

    def set_sites(self, sites: dict[str, Site]) -> None:
        """Take new sites or changed classes; limits follow."""
        self.sites = sites
        self._crowds = Crowds()
        for site_id, state in self._states.items():
            for stream in state.streams.values():
                stream.set_limits(site_id, self.limits_of)

    def limits_of(self, site: str, metric: Metric) -> Limits | None:
        known = self.sites.get(site)
        return effective_limits(metric, known.site_class if known else "", self._site_limits.get(site))

    def fitted_ms(self, site: str) -> int | None:
        """Since when the site has a device of its own; None: it has none."""
        own = [device.created_at for device in self._devices.of_site(site) if device.role is not Role.CENTRAL]
        return min(own, default=None)

    # --- taking runs --------------------------------------------------------------------------------------------

    def take(self, runs: Iterable[Run], now: int) -> None:
        """Take what has just become durable and tell the pages."""
        changed = self._apply(runs)
        for site in changed:
            self._show(site, now)

    def replay(self, runs: Iterable[Run]) -> None:
        """Take runs again at start, telling nobody."""
        self._apply(runs)

    def _apply(self, runs: Iterable[Run]) -> set[str]:
        changed: set[str] = set()
        for run in runs:
            device = self._devices.by_id.get(run.device)
            try:
                if device is not None and self._take(run, device):
                    changed.add(run.site)
            except (
                Exception
            ):  # it is stored for ever: one run that cannot be shown must not stop every start from now on
                log.exception("Run %d of %s cannot be shown.", run.entry, run.device)
            self.entry = run.entry
        return changed

    def _take(self, run: Run, device: Device) -> bool:
        """One run; True when the site may look different."""
        report = run.report
        at = live_at(run)
        state = self.state(run.site)
        key = key_of(report, device.grade, report.target or _implied_target(device, run))
        changed = state.hear(run, device, at)
        stream = state.streams.get(key)
        if stream is None:
            if len(state.streams) >= STREAMS_PER_SITE:
                self.too_many_streams += 1
                return changed
            stream = state.streams[key] = Stream(key, run.site, self.limits_of)
        if at < stream.at:
            return changed
        state.said[key] = at
        return stream.take(report, run.device, at, run.received_at) or changed

    # --- what is shown ------------------------------------------------------------------------------------------

    def sweep(self, now: int) -> None:
        """Show anew every site where something has gone stale by time alone."""
        turned = self._crowds.turned()
        for site in self.sites:
            state = self.state(site)
            blamed_anew = state.segment is not None and self.sites[site].bridge in turned
            if state.shown is None or now > state.shown.expires_ms or blamed_anew:
                self._show(site, now)

    def show_all(self, now: int) -> None:
        """Show every site anew: sites, devices or limits have changed, or the centre starts."""
        for site in self.sites:
            self._show(site, now)

    def shown(self, site: str, now: int) -> SiteShown:
        state = self.state(site)
        if state.shown is None or now > state.shown.expires_ms:
            self._show(site, now)
        assert state.shown is not None
        return state.shown

    def _show(self, site_id: str, now: int) -> None:
        site = self.sites.get(site_id)
        if site is None:
            return
        state = self.state(site_id)
        before, told = state.shown, state.told
        state.shown = show_site(site, self.fitted_ms(site_id), state.streams, state.off, now)
        others = self._crowds.take(site, state.shown)
        state.segment = blame(site, state.shown, state.streams, others, now)
        state.told = (state.shown.look, state.segment, frozenset(state.silence), state.answers(now))
        if before is not None and state.told != told:
            was = before.site.shown.verdict if before.site else "not_fitted"
            self._events.publish(
                "verdict", {**site_view(site, state, state.shown, now), "was": was}, frozenset((site.id,))
            )

    def tell_readings(self, now: int) -> None:
        """Tell the pages what has come since the last time, in one event."""
        whole: list[Any] = []
        wall = self._events.wants_readings(None)
        for site_id, state in self._states.items():
            if not state.said:
                continue
            of_site = self._events.wants_readings(site_id)
            streams = [state.streams[key] for key in state.said]
            state.said.clear()
            if wall:
                whole += [reading_view(site_id, stream, marked_only=True) for stream in streams]
            if of_site:
                readings = [reading_view(site_id, stream, marked_only=False) for stream in streams]
                self._events.publish_readings({"now": now, "readings": readings}, site_id)
        if whole:
            self._events.publish_readings({"now": now, "readings": whole}, None)

    # --- kept over a restart ------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """All that the runs up to `entry` have made."""
        return msgspec.json.encode(
            {
                site: {
                    "off": state.off,
                    "silence": state.silence,
                    "streams": [stream.to_kept() for stream in state.streams.values()],
                }
                for site, state in self._states.items()
                if state.streams or state.off or state.silence
            }
        )

    def restore(self, snapshot: bytes, entry: int) -> None:
        """Go on from a snapshot taken at `entry`."""
        self.entry = entry
        for site, kept in msgspec.json.decode(snapshot).items():
            state = self.state(site)
            state.off, state.silence = kept["off"], kept["silence"]
            for each in kept["streams"]:
                key = key_from_kept(each["key"])
                stream = state.streams[key] = Stream(key, site, self.limits_of)
                stream.from_kept(each)


def live_at(run: Run) -> int:
    """When the run was, by the centre's clock, and never in the future: a clock that ran ahead may not block what
    comes after it is set right."""
    return min(run.report.at + (run.skew_ms or 0), run.received_at)


def _implied_target(device: Device, run: Run) -> str | None:
    """What a hub says of another site is said of the line between them."""
    return device.site if device.role is Role.HUB and device.site != run.site else None
