"""Runs, bursts and the worst moment, by hand and by brute force."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.figures.loss import (
    BurstsAndGaps,
    Run,
    bursts_and_gaps,
    longest_loss_ms,
    runs_of,
    worst_ratio,
)

FLAGS = st.lists(st.booleans(), max_size=200)


def flags(text: str) -> list[bool]:
    """'x' is lost, '.' came."""
    return [mark == "x" for mark in text]


def times(count: int, spacing: float = 20.0) -> list[float]:
    return [i * spacing for i in range(count)]


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
