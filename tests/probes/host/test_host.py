"""The device's own figures: counted from the kernel's texts, and a clock's step is a reading."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from probes.config import SiteConfig, SpoolConfig
from probes.host.measure import (
    CpuTime,
    clock_values,
    cpu_ratio,
    cpu_time,
    memory_ratio,
    spool_values,
    step_ms,
)
from probes.host.probe import EVERY, run
from probes.probe import Ask, Context
from probes.report import Report, fault_of
from probes.shelf import Held
from probes.timex import ClockState, read_clock_state
from tests.probes.fakes import HandClock, running, until


def test_the_load_is_what_the_processors_did_in_between() -> None:
    before = cpu_time("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3 4")
    now = cpu_time("cpu  150 0 125 750 175 0 0 0 60 0\ncpu0 1 2 3 4")
    assert before == CpuTime(busy=200, total=1000)
    assert cpu_ratio(before, now) == pytest.approx(75 / 200)


def test_no_load_without_time_between() -> None:
    assert cpu_ratio(CpuTime(5, 10), CpuTime(5, 10)) is None
    assert cpu_ratio(None, CpuTime(5, 10)) is None
    assert cpu_time("") is None


def test_memory_that_can_be_had_counts_as_free() -> None:
    assert memory_ratio("MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable: 600 kB\n") == pytest.approx(0.4)
    assert memory_ratio("MemTotal: 1000 kB\n") is None


def test_a_clock_nobody_steers_has_no_error_to_state() -> None:
    assert clock_values(ClockState(synchronised=False, max_error_us=16_000_000)) == {"clock_synchronised": 0}
    assert clock_values(ClockState(synchronised=True, max_error_us=2500)) == {
        "clock_synchronised": 1,
        "clock_error_ms": 2.5,
    }
    assert clock_values(None) == {}


def test_an_empty_spool_has_no_age() -> None:
    assert spool_values(Held(0, None, 0, 0), 10_000) == {"spool_reports": 0}
    assert spool_values(Held(3, 4_000, 0, 0), 10_000) == {"spool_reports": 3, "spool_age_s": 6}
    assert spool_values(None, 10_000) == {}


def test_slewing_is_no_step() -> None:
    assert step_ms(0, 500_000) is None
    assert step_ms(0, -3_600_000_000_000) == -3_600_000


def test_the_kernel_is_asked_for_its_clock() -> None:
    state = read_clock_state()
    assert state is not None
    assert state.max_error_us >= 0


class Room:
    """A host runner over a clock moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.clock = HandClock()
        self.reports: list[Report] = []
        config = SiteConfig("a", spool=SpoolConfig(str(folder)))
        self.context = Context(config, self.clock, self.reports.append, held=lambda: Held(2, None, 0, 0))


async def test_the_first_report_comes_within_seconds_and_keeps_the_wire(tmp_path: Path) -> None:
    room = Room(tmp_path)
    start = room.clock.monotonic_ns()
    async with running(run(room.context)):
        await until(lambda: room.reports)
    assert (room.clock.monotonic_ns() - start) / 1e9 <= EVERY.first_within_s + 2 * EVERY.every_s
    report = room.reports[0]
    assert {"memory_ratio", "disk_free_ratio", "clock_synchronised", "spool_reports"} <= report.values.keys()
    assert all(0 <= value <= 1 for name, value in report.values.items() if name.endswith("_ratio"))
    assert fault_of(msgspec.structs.replace(report, boot="b", seq=1)) is None


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_steps_an_hour_is_told_and_the_beat_goes_on(tmp_path: Path, hours: int) -> None:
    room = Room(tmp_path)

    def steps() -> list[float]:
        return [report.values["clock_step_ms"] for report in room.reports if "clock_step_ms" in report.values]

    async with running(run(room.context)):
        await until(lambda: len(room.reports) >= 2)
        room.clock.step_s(hours * 3600)
        await until(lambda: len(room.reports) >= 6)
    assert steps() == [pytest.approx(hours * 3_600_000)]
    assert len(room.reports) - len(steps()) >= 5, "neither a pause of an hour nor an hour made up"


async def test_a_report_that_was_asked_for_says_by_what(tmp_path: Path) -> None:
    room = Room(tmp_path)
    async with running(run(room.context)):
        room.context.asks.put_nowait(Ask("check", "a-7"))
        await until(lambda: any(report.labels == {"agenda": "a-7"} for report in room.reports))
