"""What is due now here, pure: the time is handed in, and each site has its own moment, the same each day.

Durations are monotonic, so a step of the wall clock neither repeats nor skips a periodic run. A daily run follows the
wall clock, but once a day only: a clock set back does not run it again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SITE_TIME = timedelta(hours=7)
"""Viet Nam, all year."""
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Every:
    """A run each `every_s`; the first within `first_within_s` of the start, each site at its own moment."""

    name: str
    every_s: float
    first_within_s: float


@dataclass(frozen=True, slots=True)
class Daily:
    """A run once a day: at the site's own moment from `opens_minute` on (of the site's day) for `spread_minutes`.

    A device that was off at its moment runs it when it has been on for up to `settle_s`, again at its own moment:
    when mains come back a whole district starts in the same second.
    """

    name: str
    opens_minute: int
    spread_minutes: int
    settle_s: float


def share(site: str, name: str) -> float:
    """The site's own place in any span, 0 ≤ share < 1: even over sites, fixed for a site, another for each name."""
    digest = hashlib.sha256(f"{site}|{name}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def first_ns(job: Every, site: str, start_ns: int) -> int:
    """When, on the monotonic clock, a periodic run is first due after a start."""
    return start_ns + int(share(site, job.name) * job.first_within_s * NS)


def next_ns(job: Every, due_ns: int, now_ns: int) -> int:
    """When it is due after the run that was due at `due_ns`: on the same beat; beats slept through are not made up."""
    every_ns = int(job.every_s * NS)
    missed = max(0, now_ns - due_ns) // every_ns
    return due_ns + (missed + 1) * every_ns


def site_day(wall_ms: int) -> int:
    """The number of the site's day."""
    return (datetime.fromtimestamp(wall_ms / 1000, UTC) + SITE_TIME).date().toordinal()


def is_daily_due(job: Daily, site: str, wall_ms: int, on_for_s: float, last_day: int | None) -> bool:
    """Whether the daily run is due. `last_day`: the site's day it last ran on, None if never.

    A clock that says an earlier day than the last run's is not believed: the run is not due.
    """
    here = datetime.fromtimestamp(wall_ms / 1000, UTC) + SITE_TIME
    if last_day is not None and here.date().toordinal() <= last_day:
        return False
    minute = here.hour * 60 + here.minute + here.second / 60
    own = share(site, job.name)
    return minute >= job.opens_minute + own * job.spread_minutes and on_for_s >= own * job.settle_s
