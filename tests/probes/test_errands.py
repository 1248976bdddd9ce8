"""What the centre asks is done once, at its time, and never too near a meeting."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from probes.clock import wall_ms
from probes.config import CentreTarget, HubTarget, SiteConfig, SpoolConfig
from probes.errands import Errands, daily_path_id
from probes.limits import keep_limits, read_limits
from probes.metric import Limits, Span
from probes.probe import Ask
from probes.report import Failure, Report
from probes.schedule import site_day
from probes.spool import LEAST_BYTES, Spool
from tests.probes.fakes import HandClock, running, until

HOUR = 3_600_000
MORNING_S = 1_800_000_000.0
"""15:00 of a site's day."""


class Room:
    """One device whose hub has a name that no server knows: a path run ends at once, as a report of that failure."""

    def __init__(self, folder: Path, has_centre: bool = True) -> None:
        self.clock = HandClock(MORNING_S)
        self.reports: list[Report] = []
        self.link: asyncio.Queue[Ask] = asyncio.Queue()
        self.host: asyncio.Queue[Ask] = asyncio.Queue()
        self.spool = Spool(folder / "spool.db", LEAST_BYTES, self.clock)
        centre = CentreTarget("http://127.0.0.1:9", "d-1", "t") if has_centre else None
        hubs = [HubTarget("hp", "no-such-host.invalid"), HubTarget("hd", "no-such-host.invalid")]
        self.config = SiteConfig("a", centre, hubs, spool=SpoolConfig(str(folder)))
        self.errands = self.start()

    def start(self) -> Errands:
        asks = {"link": self.link, "host": self.host}
        return Errands(self.config, self.clock, self.spool, self.reports.append, asks)

    def item(self, do: str, id: str = "a-1", **args: Any) -> dict[str, Any]:
        at = wall_ms(self.clock)
        return {"id": id, "do": do, "at": at, "until": at + HOUR, "args": args}

    def no_daily_today(self) -> None:
        day = daily_path_id(site_day(wall_ms(self.clock)))
        self.spool.remember_asked(day, wall_ms(self.clock) + 24 * HOUR)
        self.errands = self.start()


async def test_a_burst_is_passed_to_the_link_once_even_after_a_restart(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    asked = room.item("burst", seconds=60)
    room.errands.take([asked])
    async with running(room.errands.run()):
        await until(lambda: not room.link.empty())
        room.errands.take([asked])
        start = room.clock.monotonic_ns()
        await until(lambda: room.clock.monotonic_ns() > start + 10e9)
    assert room.link.get_nowait() == Ask("burst", "a-1", {"seconds": 60})
    again = room.start()
    again.take([asked])
    async with running(again.run()):
        start = room.clock.monotonic_ns()
        await until(lambda: room.clock.monotonic_ns() > start + 10e9)
    assert room.link.empty()


async def test_a_path_run_says_what_asked_for_it_and_of_which_hub(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    room.errands.take([room.item("path", hub="hd")])
    async with running(room.errands.run()):
        await until(lambda: room.reports)
    assert [(report.probe, report.target, report.labels["agenda"]) for report in room.reports] == [
        ("link", "hd", "a-1")
    ]


async def test_a_path_run_waits_until_the_meeting_is_over(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    meeting = {**room.item("meeting", "m"), "until": wall_ms(room.clock) + HOUR // 2}
    room.errands.take([meeting, room.item("path")])
    assert not room.errands.may("path")
    async with running(room.errands.run()):
        await until(lambda: len(room.reports) == 2)
    assert all(report.at >= meeting["until"] for report in room.reports)


async def test_the_daily_path_run_waits_for_the_centres_word_on_meetings_and_is_done_once_a_day(
    tmp_path: Path,
) -> None:
    room = Room(tmp_path)
    room.clock.pass_s(3600)
    async with running(room.errands.run()):
        start = room.clock.monotonic_ns()
        await until(lambda: room.clock.monotonic_ns() > start + 3 * 3600e9)
        assert room.reports == []
        room.errands.take([])
        await until(lambda: len(room.reports) == 2)
        start = room.clock.monotonic_ns()
        await until(lambda: room.clock.monotonic_ns() > start + 600e9)
    assert [report.target for report in room.reports] == ["hp", "hd"]
    again = room.start()
    again.take([])
    room.clock.pass_s(1900)
    async with running(again.run()):
        start = room.clock.monotonic_ns()
        await until(lambda: room.clock.monotonic_ns() > start + 600e9)
    assert len(room.reports) == 2, "a restart is no new day"


def link_report(at: int, hub: str = "hp", failed: bool = False, **values: float) -> Report:
    failure = Failure("hub_unreachable") if failed else None
    return Report("link", at, target=hub, line="main", values=values, failure=failure)


async def test_a_line_whose_ttl_has_changed_is_traced_in_a_meeting_too_and_only_that_line(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    room.errands.take([room.item("meeting", "m")])
    async with running(room.errands.run()):
        for ttl in (58, 58, 57):
            room.errands.look_at(link_report(wall_ms(room.clock), ttl_up=ttl, rtt_min_ms=5))
            room.errands.look_at(link_report(wall_ms(room.clock), "hd", ttl_up=60, rtt_min_ms=5))
        await until(lambda: room.reports)
    (report,) = room.reports
    assert (report.target, report.labels["run"], report.labels["why"]) == ("hp", "path", "shift")
    assert report.failure != Failure("meeting")


async def test_a_path_that_flaps_is_traced_once_in_ten_minutes(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    async with running(room.errands.run()):
        for minute in range(21):
            room.errands.look_at(link_report(wall_ms(room.clock), ttl_up=58 + minute % 2))
            start = room.clock.monotonic_ns()
            room.clock.pass_s(60)
            await until(lambda start=start: room.clock.monotonic_ns() >= start + 60e9)
        await until(lambda: len(room.reports) >= 2)
    assert len(room.reports) <= 3


async def test_reports_that_measured_nothing_and_path_runs_shift_nothing(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    room.errands.look_at(link_report(0, ttl_up=58))
    room.errands.look_at(link_report(0, failed=True, ttl_up=50))
    path = msgspec.structs.replace(link_report(0, ttl_up=40), labels={"run": "path"})
    room.errands.look_at(path)
    async with running(room.errands.run()):
        start = room.clock.monotonic_ns()
        await until(lambda: room.clock.monotonic_ns() > start + 10e9)
    assert room.reports == []


async def test_new_limits_are_kept_for_the_devices_own_verdicts(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    limits = {"link.rtt_p50_ms": {"good": [None, 80], "fair": [None, 200], "margin": 8}}
    assert read_limits(tmp_path) == {}
    room.errands.take([room.item("limits", "limits-3f", version="3f", limits=limits)])
    async with running(room.errands.run()):
        await until(lambda: read_limits(tmp_path))
    assert read_limits(tmp_path) == {"link.rtt_p50_ms": Limits(Span(high=80), Span(high=200), 8)}


async def test_limits_that_are_none_leave_the_old_ones_in_force(tmp_path: Path, caplog: Any) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    keep_limits(tmp_path, {"limits": {"link.rtt_p50_ms": {"good": [None, 80], "fair": [None, 200]}}})
    room.errands.take([room.item("limits", "limits-4a", limits={"link.rtt_p50_ms": "good"})])
    async with running(room.errands.run()):
        await until(lambda: "The limits limits-4a cannot be kept" in caplog.text)
    assert list(read_limits(tmp_path)) == ["link.rtt_p50_ms"]


async def test_what_no_probe_here_can_do_is_said(tmp_path: Path, caplog: Any) -> None:
    room = Room(tmp_path)
    room.no_daily_today()
    room.errands.take([room.item("call")])
    async with running(room.errands.run()):
        await until(lambda: "asks call (a-1), which this device has nothing for" in caplog.text)
