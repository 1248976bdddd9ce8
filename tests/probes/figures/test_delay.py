"""Delay figures by hand, and free of the clocks they were read on."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.figures import delay
from probes.figures.delay import ClockPoint

NS = st.integers(-(10**12), 10**12)
STEP = st.integers(0, 10**9)


@given(NS, STEP, STEP, STEP, NS)
def test_a_round_trip_needs_no_common_clock(t1: int, up: int, inside: int, down: int, offset: int) -> None:
    t2, t3 = t1 + up + offset, t1 + up + inside + offset
    assert delay.round_trip_ns(t1, t2, t3, t1 + up + inside + down) == up + down


@given(NS, STEP, STEP, STEP, NS)
def test_the_clocks_difference_is_known_to_half_the_round_trip(
    t1: int, up: int, inside: int, down: int, by: int
) -> None:
    seen = delay.offset_ns(t1, t1 + up + by, t1 + up + inside + by, t1 + up + inside + down)
    assert abs(seen - by) <= (up + down) / 2 + 1


def test_percentiles_lie_between_their_neighbours() -> None:
    assert delay.percentile([10], 0.99) == 10
    assert delay.percentile([0, 10], 0.5) == 5
    assert delay.percentile(range(101), 0.95) == 95
    assert delay.percentile([1, 2, 3, 4], 0.99) == pytest.approx(3.97)


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        delay.percentile([], 0.5)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_percentiles_rise_with_the_share_and_stay_inside(values: list[float], share: float, other: float) -> None:
    ordered = sorted(values)
    low, high = (delay.percentile(ordered, s) for s in sorted((share, other)))
    assert ordered[0] - 1e-6 <= low <= high + 1e-6 <= ordered[-1] + 2e-6


def test_jitter_of_rfc_3550_is_a_moving_value() -> None:
    assert delay.rfc3550_jitter([20, 25, 20, 25, 20, 25, 20, 25, 20]) == pytest.approx(2.0164, abs=5e-5)


def test_mean_variation_is_the_mean_of_the_differences() -> None:
    assert delay.mean_variation([20, 25, 20, 25, 20]) == 5
    assert delay.mean_variation([20]) is None
    assert delay.packet_delay_variation([20]) is None
    assert delay.rfc3550_jitter([]) is None


@given(st.lists(st.integers(0, 10**9), min_size=2), NS)
def test_no_variation_depends_on_the_difference_of_the_clocks(transits: list[int], offset: int) -> None:
    shifted = [transit + offset for transit in transits]
    for figure in (delay.mean_variation, delay.packet_delay_variation, delay.rfc3550_jitter):
        assert figure(shifted) == pytest.approx(figure(transits), abs=1e-3)


def test_a_skewed_clock_is_found_through_queues() -> None:
    rng = random.Random(3)
    points = [ClockPoint(i * 10**10, round(i * 10**10 * 50e-6) + round(rng.expovariate(1 / 50_000))) for i in range(18)]
    assert delay.skew(points) == pytest.approx(50e-6, abs=2e-6)


def test_too_few_windows_say_nothing_of_skew() -> None:
    assert delay.skew([ClockPoint(i, i * 1000) for i in range(delay.LEAST_FOR_SKEW - 1)]) == 0


def test_a_clock_that_was_set_divides_the_window() -> None:
    before = [(0, 20_000_000)] * 40
    after = [(3_600_000_000_000, 20_000_000)] * 60
    assert delay.longest_without_step(before + after) == slice(40, 100)


def test_a_queue_is_not_taken_for_a_clock_that_was_set() -> None:
    # 200 ms of queue on one way move the offset by 100 ms: half of what the round trip grew.
    quiet, queued = (0, 20_000_000), (100_000_000, 220_000_000)
    assert delay.longest_without_step([quiet] * 10 + [queued] * 10) == slice(0, 20)
