"""Ranges of sequences, held against a plain set."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.store.ranges import Ranges

small = st.integers(1, 60)
steps = st.lists(st.one_of(small, st.tuples(small, small).map(lambda pair: (min(pair), max(pair)))), max_size=60)


def build(steps: list[int | tuple[int, int]]) -> tuple[Ranges, set[int], list[bool]]:
    ranges, plain, news = Ranges(), set[int](), []
    for step in steps:
        if isinstance(step, int):
            news.append(ranges.add(step) == (step not in plain))
            plain.add(step)
        else:
            ranges.add_range(*step)
            plain |= set(range(step[0], step[1] + 1))
    return ranges, plain, news


@given(steps)
def test_ranges_hold_what_a_set_would_hold(steps: list[int | tuple[int, int]]) -> None:
    ranges, plain, news = build(steps)
    assert {number for low, high in ranges for number in range(low, high + 1)} == plain
    assert all(news), "add says whether the number is new"
    assert ranges.size == len(plain)
    assert ranges.last == max(plain, default=0)
    assert all((number in ranges) == (number in plain) for number in range(1, 63))


@given(steps)
def test_ranges_stay_apart_and_in_order(steps: list[int | tuple[int, int]]) -> None:
    pairs = list(build(steps)[0])
    assert all(low <= high for low, high in pairs)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(pairs))


@given(steps, st.integers(0, 70))
def test_holes_are_what_is_not_there(steps: list[int | tuple[int, int]], up_to: int) -> None:
    ranges, plain, _ = build(steps)
    holes = [number for low, high in ranges.holes(up_to) for number in range(low, high + 1)]
    assert holes == [number for number in range(1, up_to + 1) if number not in plain]


@given(steps, small)
def test_a_number_splits_when_it_makes_one_range_more(steps: list[int | tuple[int, int]], number: int) -> None:
    ranges = build(steps)[0]
    before, splits = len(ranges), ranges.would_split(number)
    ranges.add(number)
    assert (len(ranges) == before + 1) == splits


@given(st.permutations(range(1, 30)))
def test_any_order_ends_in_one_range(order: list[int]) -> None:
    ranges = Ranges()
    assert all(ranges.add(number) for number in order)
    assert list(ranges) == [(1, 29)]
