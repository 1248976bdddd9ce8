"""The centre's clock: the machine's, or one that runs from elsewhere and says so."""

from __future__ import annotations

import time

import pytest

from monitor.clock import Clock, parse_clock, site_time


def test_the_usual_clock_is_the_machines() -> None:
    before = time.time_ns() // 1_000_000
    assert before <= Clock().wall_ms() <= time.time_ns() // 1_000_000
    assert not Clock().simulated


def test_a_simulated_clock_starts_where_it_is_told_in_the_time_of_the_sites_and_runs_at_its_rate() -> None:
    clock = parse_clock("2026-11-20T07:30,1000")
    assert clock.simulated
    assert site_time(clock.wall_ms()).startswith("2026-11-20 07:")
    start, first = time.monotonic(), clock.wall_ms()
    while (now := clock.wall_ms()) < first + 20_000:
        assert time.monotonic() - start < 5
    assert now - first <= (time.monotonic() - start) * 1_000_000 + 1000


def test_a_clock_from_now_that_runs_faster_is_simulated() -> None:
    assert parse_clock("now,10").simulated


@pytest.mark.parametrize("text", ["yesterday,1", "now,fast", "now,0", "now,1e9", ",nan"])
def test_a_clock_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="clock"):
        parse_clock(text)
