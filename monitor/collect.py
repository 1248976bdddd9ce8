"""POST reports: who → bound → decode → check → store. Answered only when everything taken is durable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from monitor.clock import Clock
from monitor.devices import SPEAKS_FOR_OTHERS, Device
from monitor.sites import Site
from monitor.store.protocol import Intake, Store
from monitor.store.runs import TABLES
from probes.report import Answer, Decoded, Refused, Report, decode

EARLIEST_MS = 1_735_689_600_000
"""2025-01-01 UTC: no device of ours measured before."""
DAY_MS = 86_400_000
SKEW_MS = 30_000
"""A device's clock that is further off than this is set right by `sent_at`; less may be the line."""
UNKNOWN_PER_DEVICE = 50


class NotYours(Exception):
    """The device speaks for another device, or for a site that is not its own."""


class Counts:
    """What the collector has seen since the start; the centre's own metrics read it."""

    def __init__(self) -> None:
        self.batches = self.stored = self.known = self.refused = self.gone = 0
        self.ignored_keys = self.wrong_clocks = self.left_out_values = 0


class Collector:
    """Takes what devices send.

    Args:
        unknown: the undeclared metrics already seen, by device.
    """

    def __init__(self, store: Store, clock: Clock, unknown: Mapping[str, set[str]]) -> None:
        self.counts = Counts()
        self.sites: Mapping[str, Site] = {}
        self._store = store
        self._clock = clock
        self._unknown = {device: set(names) for device, names in unknown.items()}

    async def take(self, device: Device, body: bytes, encoding: str | None, agenda: list[Any]) -> Answer:
        """Store a POST of an authenticated device.

        Raises:
            ReportError: the batch as a whole cannot be read.
            NotYours: it speaks for others.
            StoreUnavailable: nothing was stored.
        """
        received_at = self._clock.wall_ms()
        decoded = decode(body, encoding)
        batch = decoded.batch
        if batch.device != device.id:
            raise NotYours(f"The token is of device {device.id!r}, the batch of {batch.device!r}.")
        reports, refused = self._check(device, decoded, received_at)
        new_names: list[str] = []
        reports = [(site, self._known_values(device, report, new_names)) for site, report in reports]
        skew_ms = received_at - batch.sent_at
        taken = await self._store.take(
            Intake(device.id, received_at, skew_ms if abs(skew_ms) > SKEW_MS else None, reports, batch.gone, new_names)
        )
        refused += taken.refused
        self._count(len(taken.runs), taken.known, len(refused), len(batch.gone), decoded.ignored_keys)
        return Answer(len(taken.runs), taken.known, refused, agenda)

    def _check(
        self, device: Device, decoded: Decoded, received_at: int
    ) -> tuple[list[tuple[str, Report]], list[Refused]]:
        """The reports with the sites they speak for, and those refused alone."""
        refused = list(decoded.refused)
        reports: list[tuple[str, Report]] = []
        for report in decoded.batch.reports:
            site = report.site or device.site
            if site != device.site and device.role not in SPEAKS_FOR_OTHERS:
                raise NotYours(
                    f"Report {report.boot}/{report.seq} is for site {site!r}; device {device.id!r} may only speak "
                    f"for its own, {device.site!r}."
                )
            if site not in self.sites:
                refused.append(Refused(report.boot, report.seq, f"site {site!r} is not known here; import it first."))
                continue
            if not EARLIEST_MS <= report.at <= received_at + DAY_MS:
                self.counts.wrong_clocks += 1
                report = msgspec.structs.replace(report, at=received_at, labels={**report.labels, "clock": "wrong"})
            reports.append((site, report))
        # A device sends its newest first; the live state takes what it can only in the order of time.
        reports.sort(key=_time_of)
        return reports, refused

    def _known_values(self, device: Device, report: Report, new_names: list[str]) -> Report:
        """The report without those undeclared metrics that are beyond what one device may bring."""
        table = TABLES.get(report.probe)
        if table is not None and report.values.keys() <= table.known:
            return report
        seen = self._unknown.setdefault(device.id, set())
        over: list[str] = []
        for name in report.values:
            full_name = f"{report.probe}.{name}"
            if (table is not None and name in table.known) or full_name in seen:
                continue
            if len(seen) >= UNKNOWN_PER_DEVICE:
                over.append(name)
                continue
            seen.add(full_name)
            new_names.append(full_name)
        if not over:
            return report
        self.counts.left_out_values += len(over)
        kept = {name: value for name, value in report.values.items() if name not in over}
        return msgspec.structs.replace(report, values=kept)

    def _count(self, stored: int, known: int, refused: int, gone: int, ignored_keys: int) -> None:
        counts = self.counts
        counts.batches += 1
        counts.stored += stored
        counts.known += known
        counts.refused += refused
        counts.gone += gone
        counts.ignored_keys += ignored_keys


def _time_of(report: tuple[str, Report]) -> int:
    return report[1].at
