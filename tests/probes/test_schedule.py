"""Every site has its own moment, and no step of the clock repeats or skips a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from probes.schedule import NS, Daily, Every, first_ns, is_daily_due, next_ns, share, site_day

HOST = Every("host", every_s=30, first_within_s=5)
PATH = Daily("path", opens_minute=5 * 60, spread_minutes=90, settle_s=1800)
SITES = [f"31-{11300 + index}" for index in range(114)]


def at(hour: int, minute: int = 0, day: int = 3) -> int:
    """ms UTC of a moment in the site's time."""
    return int(datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp() * 1000) - 7 * 3_600_000


def test_114_sites_that_start_together_do_not_knock_together() -> None:
    moments = sorted(first_ns(HOST, site, 0) for site in SITES)
    assert moments[-1] <= HOST.first_within_s * NS
    busiest = max(sum(1 for other in moments if moment <= other < moment + 0.1 * NS) for moment in moments)
    assert busiest <= 114 / 50 * 4, "about as even as chance makes it"


def test_a_site_keeps_its_moment_and_has_another_for_each_run() -> None:
    assert share("31-11329", "path") == share("31-11329", "path")
    assert share("31-11329", "path") != share("31-11329", "host")


@given(st.integers(0, 10**15), st.integers(0, 10**13))
def test_a_periodic_run_stays_on_its_beat_and_makes_nothing_up(due_ns: int, late_ns: int) -> None:
    following = next_ns(HOST, due_ns, due_ns + late_ns)
    assert due_ns + late_ns < following <= due_ns + late_ns + 30 * NS
    assert (following - due_ns) % (30 * NS) == 0


def test_the_daily_run_comes_once_a_day_at_the_sites_own_moment() -> None:
    for site in SITES:
        due = [
            minute
            for minute in range(24 * 60)
            if is_daily_due(PATH, site, at(minute // 60, minute % 60), 1e9, last_day=site_day(at(12)) - 1)
        ]
        assert due[0] - 5 * 60 == -(-share(site, "path") * 90 // 1)
        assert due == list(range(due[0], 24 * 60)), "a device that was off then still runs it that day"


def test_after_power_comes_back_each_site_waits_for_its_own_moment() -> None:
    on_for_s = [
        next(second for second in range(1801) if is_daily_due(PATH, site, at(14), second, None)) for site in SITES
    ]
    assert max(on_for_s) <= 1800
    assert len({second // 60 for second in on_for_s}) > 20


def test_a_clock_set_back_does_not_run_the_day_again() -> None:
    today = site_day(at(10))
    assert not is_daily_due(PATH, "a", at(10), 1e9, last_day=today)
    assert not is_daily_due(PATH, "a", at(9), 1e9, last_day=today)
    assert not is_daily_due(PATH, "a", at(23, day=2), 1e9, last_day=today)
    assert is_daily_due(PATH, "a", at(10, day=4), 1e9, last_day=today)


def test_the_day_is_the_sites_not_utc() -> None:
    assert site_day(at(0, 30)) == site_day(at(23, 30))
    assert site_day(at(0, 30)) == site_day(int(timedelta(milliseconds=at(0, 30)).total_seconds() * 1000))
    assert site_day(at(0)) == site_day(at(0) - 1) + 1
