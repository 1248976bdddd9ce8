"""The verdict: one reading judged, and what is believed of many."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.catalog import METRICS
from probes.figures.interval import share_interval, variance_factor, wilson
from probes.metric import AT_ONCE, EACH_RUN, SAMPLED, Limits, Meaning, Pool, Span
from probes.verdict import (
    NOTHING,
    Counted,
    Held,
    Raw,
    Shown,
    Verdict,
    Why,
    after_silence,
    applies,
    as_of,
    counted,
    effective_limits,
    hold,
    inwards,
    judge,
    judge_baseline,
    judge_run,
    judge_share,
    pooled,
    worst,
)

GOOD, FAIR, POOR, UNKNOWN = Verdict.GOOD, Verdict.FAIR, Verdict.POOR, Verdict.UNKNOWN
LOSS = Limits.at_most(0.01, 0.03)


def after(readings: list[Verdict], held: Held = NOTHING, rule=SAMPLED) -> Held:
    """What is believed after these readings, ten seconds apart."""
    for step, verdict in enumerate(readings):
        held = hold(held, Raw(verdict, verdict), (step + 1) * 10_000, rule)
    return held


def test_a_value_on_the_limit_is_still_within_it() -> None:
    assert judge(0.01, LOSS).verdict is GOOD
    assert judge(0.0100001, LOSS).verdict is FAIR
    assert judge(0.03, LOSS).verdict is FAIR
    assert judge(0.0300001, LOSS).verdict is POOR


def test_higher_is_better_and_a_band_are_judged_at_both_ends() -> None:
    assert [judge(x, Limits.at_least(4, 2)).verdict for x in (5, 4, 3, 2, 1)] == [GOOD, GOOD, FAIR, FAIR, POOR]
    band = Limits(Span(90, 170), Span(60, 200))
    assert [judge(x, band).verdict for x in (59, 60, 90, 170, 200, 201)] == [POOR, FAIR, GOOD, GOOD, FAIR, POOR]


def test_clearing_asks_for_a_tenth_more_than_the_limit() -> None:
    assert inwards(LOSS).good.high == pytest.approx(0.009)
    assert inwards(LOSS).fair.high == pytest.approx(0.027)
    assert judge(0.0095, LOSS).verdict is GOOD
    assert judge(0.0095, LOSS).cleared is FAIR
    assert inwards(Limits.at_least(0.6, 0.45, margin=0.03)).good.low == 0.63


def test_one_bad_reading_changes_nothing_and_three_of_five_do() -> None:
    good = after([GOOD] * 5)
    assert after([POOR], good).verdict is GOOD
    assert after([POOR, GOOD, POOR, GOOD], good).verdict is GOOD
    assert after([POOR, GOOD, POOR, GOOD, POOR], good).verdict is POOR


def test_poor_readings_count_towards_fair() -> None:
    assert after([POOR, FAIR, POOR], after([GOOD] * 5)).verdict is FAIR


def test_a_hard_loss_is_believed_at_once_and_clears_after_six() -> None:
    poor = after([POOR], after([GOOD] * 5, rule=AT_ONCE), AT_ONCE)
    assert poor.verdict is POOR
    assert after([GOOD] * 5, poor, AT_ONCE).verdict is POOR
    assert after([GOOD] * 6, poor, AT_ONCE).verdict is GOOD


def test_a_run_made_a_few_times_a_day_is_believed_each_time() -> None:
    poor = after([POOR], rule=EACH_RUN)
    assert poor.verdict is POOR
    assert after([GOOD], poor, EACH_RUN).verdict is GOOD


def test_better_needs_six_in_a_row_and_one_bad_one_starts_the_count_again() -> None:
    poor = after([POOR] * 3)
    assert after([GOOD] * 5 + [POOR] + [GOOD] * 5, poor).verdict is POOR
    assert after([GOOD] * 6, poor).verdict is GOOD


def test_better_is_only_as_good_as_the_worst_of_the_six() -> None:
    poor = after([POOR] * 3)
    assert after([GOOD, GOOD, FAIR, GOOD, GOOD, GOOD], poor).verdict is FAIR


def test_a_reading_inside_the_limit_but_not_past_the_margin_does_not_clear() -> None:
    fair = after([FAIR] * 3)
    held = fair
    for step in range(20):
        held = hold(held, judge(0.0095, LOSS), 1_000_000 + step, SAMPLED)
    assert held.verdict is FAIR


def test_from_unknown_a_good_reading_counts_at_once_and_a_bad_one_waits_for_its_like() -> None:
    assert after([GOOD]).verdict is GOOD
    assert after([POOR]).verdict is UNKNOWN
    assert after([POOR, POOR]).verdict is UNKNOWN
    assert after([POOR, POOR, POOR]).verdict is POOR


def test_a_quiet_line_costs_no_new_object() -> None:
    good = after([GOOD] * 6)
    assert hold(good, Raw(GOOD, GOOD), 99, SAMPLED) is good


def test_since_is_the_moment_of_change_and_stays() -> None:
    poor = after([POOR] * 3)
    assert poor.since_ms == 30_000
    assert after([POOR] * 9, poor).since_ms == 30_000


def test_a_failure_that_accuses_is_poor_and_any_other_is_unknown_with_its_reason() -> None:
    assert judge_run(None).verdict is GOOD
    assert judge_run(Meaning.POOR).verdict is POOR
    busy = hold(after([GOOD] * 6), judge_run(Meaning.HUB_BUSY), 5, AT_ONCE)
    assert (busy.verdict, busy.why) == (UNKNOWN, Why.HUB_BUSY)


def test_every_meaning_of_a_failure_but_poor_is_a_reason_to_be_unknown() -> None:
    for meaning in Meaning:
        assert (judge_run(meaning).why is None) == (meaning is Meaning.POOR)


def test_a_stale_verdict_is_unknown_and_says_since_when_nothing_was_heard() -> None:
    good = after([GOOD] * 3)
    assert as_of(good, 30_000, 60_000, 30).verdict is GOOD
    assert as_of(good, 30_000, 60_001, 30) == Shown(UNKNOWN, 30_000, Why.STALE)


def test_switched_off_in_order_stays_off_and_never_turns_into_lost() -> None:
    off = hold(after([GOOD]), judge_run(Meaning.OFF), 20_000, AT_ONCE)
    assert as_of(off, 20_000, 10**9, 30) == Shown(UNKNOWN, 20_000, Why.OFF)


def test_a_short_silence_drops_the_evidence_and_a_long_one_the_verdict() -> None:
    poor = after([POOR] * 4)
    assert after_silence(poor, 30_000, 30) is poor
    assert after_silence(poor, 31_000, 30) == Held(POOR, poor.since_ms, None)
    assert after_silence(poor, 301_000, 30) == NOTHING


def test_the_worst_metric_speaks_for_the_mark_and_unknown_is_worse_than_good() -> None:
    at = {each: Shown(each, 5) for each in Verdict}
    assert worst([at[GOOD], at[UNKNOWN]], 9).verdict is UNKNOWN
    assert worst([at[UNKNOWN], at[FAIR]], 9).verdict is FAIR
    assert worst([at[FAIR], at[POOR]], 9).verdict is POOR
    assert worst([], 9) == Shown(UNKNOWN, 9, Why.NEVER)


def test_among_equals_the_longest_standing_speaks() -> None:
    assert worst([Shown(POOR, 7, metric="b"), Shown(POOR, 3, metric="a")], 9).metric == "a"


def test_loss_is_judged_on_the_lower_bound_of_the_last_minute() -> None:
    few = [Counted(at, 2, 100, 2) for at in range(0, 60_000, 10_000)]
    raw = judge_share(few, LOSS)
    assert raw is not None
    assert raw.value == 12 / 600
    low, _ = share_interval(12, 600, 12)
    assert raw.verdict is judge(low, LOSS).verdict is FAIR


def test_one_loss_in_a_hundred_packets_accuses_nobody() -> None:
    raw = judge_share([Counted(0, 2, 100, 2)], LOSS)
    assert raw is not None
    assert raw.value == 0.02
    assert raw.verdict is GOOD


def test_the_same_losses_in_one_burst_weigh_less() -> None:
    apart = judge_share([Counted(0, 30, 600, 30)], LOSS)
    together = judge_share([Counted(0, 30, 600, 1)], LOSS)
    assert apart is not None
    assert together is not None
    assert apart.verdict is POOR
    assert together.verdict is GOOD


def test_only_the_last_minute_is_pooled_and_uncounted_reports_add_nothing() -> None:
    assert pooled([Counted(0, 1, 9, 1), Counted(1, 1, 9, 1)], 60_000) == [Counted(1, 1, 9, 1)]
    pool = METRICS["link.loss_up_ratio"].pool
    assert pool is not None
    assert counted(pool, 5, {"sent_packets": 100.0}) is None
    assert counted(pool, 5, {"sent_packets": 100.0, "lost_up_packets": 3.0, "loss_runs_up_count": 2.0}) == Counted(
        5, 3, 100, 2
    )
    assert judge_share([], LOSS) is None


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False), st.floats(-9, 9)
)
def test_counts_that_cannot_be_are_not_judged_and_stop_nobody(events: float, of: float, runs: float) -> None:
    pool = Pool("lost_up_packets", "sent_packets", "loss_runs_up_count")
    values = {"lost_up_packets": events, "sent_packets": of, "loss_runs_up_count": runs}
    found = counted(pool, 5, values)
    assert found is None if not 0 <= events <= of else found is None or found.events == events
    raw = judge_share([found] if found else [], LOSS)
    assert raw is None or 0 <= (raw.value or 0) <= 1


def test_the_worst_200_ms_is_judged_only_at_fifty_packets_a_second() -> None:
    metric = METRICS["link.worst_200ms_up_ratio"]
    assert not applies(metric, {"rate_pps": 10.0})
    assert applies(metric, {"rate_pps": 49.9})


def test_a_line_at_three_times_its_own_median_is_poor_where_the_absolute_limit_is_blind() -> None:
    metric = METRICS["link.rtt_p50_ms"]
    assert metric.limits is not None
    raw = judge(40, metric.limits)
    assert raw.verdict is GOOD
    assert judge_baseline(metric, raw, 6).verdict is POOR
    assert judge_baseline(metric, raw, 30).verdict is GOOD
    assert judge_baseline(metric, judge(9, metric.limits), 2).verdict is GOOD, "7 ms more is nothing, at any ratio"
    assert judge_baseline(metric, raw, None) == raw


def test_limits_of_the_site_rule_over_class_and_declaration_and_the_platform_over_all() -> None:
    metric = METRICS["link.rtt_p50_ms"]
    assert effective_limits(metric, "fibre") == metric.limits
    assert effective_limits(metric, "satellite") == Limits.at_most(700, 900)
    mine, theirs = Limits.at_most(5, 6), Limits.at_most(7, 8)
    assert effective_limits(metric, "satellite", {"link.rtt_p50_ms": mine}) == mine
    assert effective_limits(metric, "fibre", {"link.rtt_p50_ms": mine}, {"link.rtt_p50_ms": theirs}) == theirs


def test_every_declared_limit_is_in_order_and_has_words() -> None:
    for metric in METRICS.values():
        assert all(metric.label), metric.full_name
        assert all(metric.meaning), metric.full_name
        for limits in (metric.limits, *metric.by_class.values()):
            if limits is not None:
                assert metric.source, f"{metric.full_name} has limits but no source"
                for inner, outer in ((limits.good.low, limits.fair.low), (limits.fair.high, limits.good.high)):
                    assert inner is None or outer is None or inner >= outer, metric.full_name


# --- properties -------------------------------------------------------------------------------------------------

readings = st.lists(st.sampled_from([GOOD, FAIR, POOR]), max_size=60)


@given(readings)
def test_the_held_verdict_is_never_better_than_all_recent_readings_nor_worse_than_all(history: list[Verdict]) -> None:
    held = after(history)
    if held.verdict is not UNKNOWN:
        assert held.verdict in history


@given(readings)
def test_the_held_verdict_never_changes_twice_within_three_readings_from_good(history: list[Verdict]) -> None:
    held, changes = after([GOOD] * 6), []
    for step, verdict in enumerate(history):
        new = hold(held, Raw(verdict, verdict), step, SAMPLED)
        if new.verdict is not held.verdict:
            changes.append((step, held.verdict, new.verdict))
        held = new
    for (first, _, middle), (second, _, last) in pairwise(changes):
        if last is GOOD or middle is POOR:
            assert second - first >= SAMPLED.clear_after


@given(st.integers(1, 5000), st.data())
def test_the_interval_holds_the_share_and_bursts_only_widen_it(n: int, data: st.DataObject) -> None:
    events = data.draw(st.integers(0, n))
    runs = data.draw(st.integers(1, events)) if events else 0
    low, high = share_interval(events, n, runs)
    assert 0 <= low <= events / n + 1e-12
    assert events / n - 1e-12 <= high <= 1
    tight_low, tight_high = wilson(events, n)
    assert low <= tight_low + 1e-12
    assert high >= tight_high - 1e-12


def test_the_variance_factor_of_a_mean_burst_of_four_is_about_seven() -> None:
    assert abs(variance_factor(40, 4000, 10) - 6.9) < 0.2
    assert variance_factor(10, 1000, 10) == 1.0
    assert variance_factor(0, 1000, 0) == 1.0


def test_none_lost_in_n_means_fewer_than_about_three_in_n() -> None:
    low, high = wilson(0, 1000)
    assert low == 0.0
    assert 0.003 < high < 0.004
