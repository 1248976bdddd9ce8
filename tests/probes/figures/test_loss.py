"""Runs, bursts and intervals, by hand and by simulation."""

from __future__ import annotations

import random
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.figures.loss import (
    BurstsAndGaps,
    Run,
    bursts_and_gaps,
    effective_sample,
    longest_loss_ms,
    runs_of,
    wilson,
    worst_ratio,
)

FLAGS = st.lists(st.booleans(), max_size=200)


def flags(text: str) -> list[bool]:
    """'x' is lost, '.' came."""
    return [mark == "x" for mark in text]


def times(count: int, spacing: float = 20.0) -> list[float]:
    return [i * spacing for i in range(count)]


def gilbert(packets: int, p: float, r: float, rng: random.Random) -> list[bool]:
    """A two-state chain: p = P(lost | came before), r = P(came | lost before)."""
    lost, out = False, []
    for _ in range(packets):
        lost = rng.random() >= r if lost else rng.random() < p
        out.append(lost)
    return out


def test_runs_are_found_where_they_are() -> None:
    assert runs_of(flags("x..xx.xxx")) == [Run(0, 1), Run(3, 2), Run(6, 3)]


@given(FLAGS)
def test_runs_hold_every_loss_once(lost: list[bool]) -> None:
    runs = runs_of(lost)
    assert sum(run.length for run in runs) == sum(lost)
    assert all(all(lost[run.start : run.start + run.length]) for run in runs)


def test_the_longest_loss_ends_with_the_packet_that_came_through() -> None:
    assert longest_loss_ms(times(8), flags("..xx.x.."), 20) == 40
    assert longest_loss_ms(times(4), flags("..xx"), 20) == 40
    assert longest_loss_ms(times(4), flags("...."), 20) == 0
    assert longest_loss_ms([], [], 20) == 0


def test_the_worst_200_ms_may_lie_anywhere() -> None:
    lost = flags("." * 13 + "x" * 3 + "." * 4 + "x" + "." * 30)
    assert worst_ratio(times(len(lost)), lost) == 4 / 10
    assert worst_ratio(times(len(lost)), flags("." * len(lost))) == 0


@given(FLAGS)
def test_the_worst_200_ms_is_that_of_a_search_by_brute_force(lost: list[bool]) -> None:
    brute = [sum(lost[i : i + 10]) / 10 for i in range(max(0, len(lost) - 10))]
    found = worst_ratio(times(len(lost)), lost)
    assert found == max(brute) if brute else found is None


def test_a_window_shorter_than_200_ms_has_no_worst_200_ms() -> None:
    assert worst_ratio(times(5), flags(".x...")) is None


def test_a_loss_alone_belongs_to_the_gap() -> None:
    lost = flags("." * 20 + "x" + "." * 20)
    assert bursts_and_gaps(lost, 20) == BurstsAndGaps(None, 1 / 41, None)


def test_losses_with_fewer_than_16_received_between_them_make_a_burst() -> None:
    near, far = flags("x" + "." * 15 + "x"), flags("x" + "." * 16 + "x")
    assert bursts_and_gaps(near, 20) == BurstsAndGaps(2 / 17, None, 17 * 20)
    assert bursts_and_gaps(far, 20) == BurstsAndGaps(None, 2 / 18, None)


def test_bursts_and_gaps_of_a_window_with_both() -> None:
    lost = flags("xx.x" + "." * 40 + "x" + "." * 40 + "xx")
    assert bursts_and_gaps(lost, 20) == BurstsAndGaps(5 / 6, 1 / 81, 60)


@given(FLAGS)
def test_bursts_and_gaps_share_out_all_losses(lost: list[bool]) -> None:
    parts = bursts_and_gaps(lost, 1)
    for density in (parts.burst_density, parts.gap_density):
        assert density is None or 0 <= density <= 1


def test_no_loss_in_n_packets_still_allows_three_in_n() -> None:
    interval = wilson(1000, 0, 0)
    assert interval.low == 0
    assert 0.003 < interval.high < 0.004


@pytest.mark.parametrize(("burst", "factor"), [(2, 3.0), (4, 6.9), (10, 19)])
def test_runs_of_loss_make_the_sample_smaller_as_theory_says(burst: float, factor: float) -> None:
    packets = 1_000_000
    lost = packets // 100
    assert packets / effective_sample(packets, lost, round(lost / burst)) == pytest.approx(factor, rel=0.02)


def test_random_losses_keep_the_whole_sample() -> None:
    lost = gilbert(200_000, 0.05, 0.95, random.Random(1))
    effective = effective_sample(len(lost), sum(lost), len(runs_of(lost)))
    assert effective == pytest.approx(len(lost), rel=0.03)


@pytest.mark.parametrize("burst", [1.02, 2, 4])
def test_the_interval_holds_the_true_ratio_nineteen_times_in_twenty(burst: float) -> None:
    share, packets, trials = 0.05, 3000, 400
    r = 1 / burst
    p = r * share / (1 - share)
    rng = random.Random(7)
    held = 0
    for _ in range(trials):
        lost = gilbert(packets, p, r, rng)
        interval = wilson(packets, sum(lost), len(runs_of(lost)))
        held += interval.low <= share <= interval.high
    assert 0.90 <= held / trials <= 0.99


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_interval_holds_the_ratio_seen(packets: int, lost: int, runs: int) -> None:
    lost = min(lost, packets)
    runs = min(runs, lost)
    interval = wilson(packets, lost, runs)
    assert 0 <= interval.low <= interval.high <= 1
    assert interval.low <= lost / packets or isclose(interval.low, lost / packets)
    assert interval.high >= lost / packets or isclose(interval.high, lost / packets)


def test_without_packets_there_is_no_interval() -> None:
    with pytest.raises(ValueError, match="nothing was sent"):
        wilson(0, 0, 0)
