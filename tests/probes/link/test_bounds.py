"""Rates, tables and windows: each holds its bound for any traffic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from probes.link.bounds import REPLAY_WINDOW, Bucket, ReplayWindow, Table

SECOND = 1_000_000_000


@given(st.lists(st.integers(0, 50_000_000), min_size=1, max_size=400), st.integers(1, 200), st.integers(1, 50))
def test_no_traffic_gets_more_than_rate_and_depth_through_a_bucket(gaps_ns: list[int], rate: int, depth: int) -> None:
    bucket, now_ns, passed = Bucket(rate, depth), SECOND, 0
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        passed += bucket.take(now_ns)
    assert passed <= depth + (now_ns - SECOND) * rate / SECOND + 1


def test_a_bucket_lets_exactly_its_depth_through_at_once_and_its_rate_afterwards() -> None:
    bucket = Bucket(100, 20)
    assert sum(bucket.take(SECOND) for _ in range(100)) == 20
    assert sum(bucket.take(SECOND + each * 1_000_000) for each in range(1, 1001)) == 100


def test_who_may_only_take_the_upper_half_leaves_the_lower_to_others() -> None:
    bucket = Bucket(100, 21)
    assert sum(bucket.take_below_half(SECOND) for _ in range(100)) == 11
    assert sum(bucket.take(SECOND) for _ in range(100)) == 10


@given(st.lists(st.integers(0, 3 * REPLAY_WINDOW), max_size=300))
def test_a_window_takes_each_sequence_once_and_none_from_before_it(sequences: list[int]) -> None:
    window, taken = ReplayWindow(), set[int]()
    for seq in sequences:
        highest = max(taken, default=-1)
        expected = seq not in taken and (seq > highest or highest - seq < REPLAY_WINDOW)
        assert window.is_fresh(seq) == expected
        if expected:
            window.mark(seq)
            taken.add(seq)


class Entry:
    heard_ns = kept_ns = 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=300), st.integers(1, 20))
def test_a_table_never_has_more_entries_than_places(steps: list[tuple[bool, int]], places: int) -> None:
    table: Table[int, Entry] = Table(places, 30 * SECOND)
    for now_ns, (adds, key) in enumerate(steps, 1):
        entry = table.get(key)
        if entry is not None:
            entry.heard_ns = now_ns
        elif adds:
            table.add(key, Entry(), now_ns)
        assert len(table) <= places


def test_what_was_heard_since_stays_and_what_was_not_makes_room() -> None:
    table: Table[str, Entry] = Table(2, 30 * SECOND)
    table.add("live", Entry(), 1)
    table.add("forged", Entry(), 2)
    table["live"].heard_ns = 3
    assert table.add("new", Entry(), 4)
    assert set(table) == {"live", "new"}


def test_where_all_are_live_the_new_one_is_turned_away() -> None:
    table: Table[int, Entry] = Table(64, 30 * SECOND)
    for key in range(64):
        table.add(key, Entry(), 1)
        table[key].heard_ns = 2
    assert not table.add(99, Entry(), 3)
    assert len(table) == 64
