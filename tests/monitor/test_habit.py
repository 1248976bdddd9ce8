"""A link is also held against what it is used to: its own median of seven days."""

from __future__ import annotations

from random import Random

from monitor.habit import HOUR_MS, Habit
from monitor.judges import Judge
from probes.catalog import METRICS
from probes.metric import Limits
from probes.verdict import Verdict

RTT = METRICS["link.rtt_p50_ms"]
LIMITS = RTT.limits or Limits.at_most(0, 0)


def a_week(judge: Judge, usual_ms: float, hours: int = 7 * 24, start_hour: int = 500_000) -> int:
    """Readings each minute around what is usual; returns when it ends."""
    random = Random(1)
    at = start_hour * HOUR_MS
    for _ in range(hours * 60):
        at += 60_000
        judge.take({"rtt_p50_ms": usual_ms * random.uniform(0.9, 1.1), "rate_pps": 10}, at)
    return at


def test_a_line_used_to_three_milliseconds_is_noticed_at_thirty() -> None:
    judge = Judge(RTT, LIMITS)
    at = a_week(judge, 3)
    assert judge.held.verdict is Verdict.GOOD
    for step in range(1, 6):
        judge.take({"rtt_p50_ms": 30, "rate_pps": 10}, at + step * 10_000)
    assert judge.held.verdict is Verdict.POOR


def test_an_island_used_to_thirty_milliseconds_is_good_at_thirty_five() -> None:
    judge = Judge(RTT, LIMITS)
    at = a_week(judge, 30)
    for step in range(1, 20):
        judge.take({"rtt_p50_ms": 35, "rate_pps": 10}, at + step * 10_000)
    assert judge.held.verdict is Verdict.GOOD


def test_nothing_is_a_habit_before_a_day_is_known() -> None:
    judge = Judge(RTT, LIMITS)
    at = a_week(judge, 3, hours=20)
    for step in range(1, 6):
        judge.take({"rtt_p50_ms": 30, "rate_pps": 10}, at + step * 10_000)
    assert judge.held.verdict is Verdict.GOOD


def test_a_bad_day_does_not_become_the_habit_and_an_old_one_is_forgotten() -> None:
    habit = Habit()
    for hour in range(7 * 24):
        habit.take(50.0 if hour >= 6 * 24 else 5.0, hour * HOUR_MS)
    habit.take(5.0, 7 * 24 * HOUR_MS)
    assert habit.usual == 5.0
    for hour in range(7 * 24 + 1, 15 * 24):
        habit.take(20.0, hour * HOUR_MS)
    assert habit.usual == 20.0
    assert len(habit.to_kept()) <= 7 * 24 + 1


def test_the_habit_outlives_a_restart() -> None:
    before = Judge(RTT, LIMITS)
    at = a_week(before, 3)
    after = Judge(RTT, LIMITS)
    after.from_kept(before.to_kept())
    for step in range(1, 6):
        after.take({"rtt_p50_ms": 30, "rate_pps": 10}, at + step * 10_000)
    assert after.held.verdict is Verdict.POOR
