"""The benchmark's own idea of truth, on histories small enough to count by hand."""

from __future__ import annotations

from tests.bench.link.truth import Hop, counts, delays, overtaken, percentile, round_trips


def out(number: int, left: int, came: int, copy: bool = False) -> Hop:
    return Hop(number, 0, copy, left, came)


def back(number: int, echo: int, left: int, came: int, copy: bool = False) -> Hop:
    return Hop(number, echo, copy, left, came)


def test_a_copy_is_a_duplicate_and_its_lost_answer_a_loss_going_down() -> None:
    up = [out(0, 1, 10), out(1, 2, 0), out(2, 3, 12), out(2, 3, 13, copy=True)]
    down = [back(0, 0, 20, 30), back(1, 2, 22, 32), back(2, 2, 23, 0)]
    assert counts(up, down, 3) == (3, 1, 1, 1, 0, 0, 0)


def test_guard_packets_overtake_but_are_not_counted() -> None:
    up = [out(0, 1, 10), out(1, 2, 50), out(2, 3, 12), out(3, 4, 0)]
    down = [back(0, 0, 20, 30), back(1, 2, 22, 61), back(2, 1, 51, 60)]
    assert counts(up, down, 2) == (2, 0, 0, 0, 0, 1, 0)
    assert counts(up, down, 3) == (3, 0, 0, 0, 0, 1, 1)


def test_only_the_late_one_is_reordered_not_those_it_let_pass() -> None:
    hops = [out(0, 0, 1), out(1, 0, 9), out(2, 0, 2), out(3, 0, 3), out(3, 0, 10, copy=True)]
    assert [hop.number for hop in overtaken(hops)] == [1]


def test_the_round_trip_is_that_of_the_answer_that_came_first() -> None:
    up = [out(0, 100, 110), out(0, 100, 115, copy=True)]
    down = [back(0, 0, 120, 190), back(1, 0, 121, 140)]
    ((there, answer),) = round_trips(up, down)
    assert (there.t_out_ns, answer.t_out_ns) == (115, 140)


def test_delays_leave_the_hubs_own_time_out() -> None:
    up = [out(n, n * 1000, n * 1000 + 10_000_000 + n * 1_000_000) for n in range(3)]
    down = [back(n, n, 50_000_000 + n * 7_000_000, 70_000_000 + n * 7_000_000) for n in range(3)]
    found = delays(up, down, 3)
    assert found is not None
    assert round(found.rtt_p50, 6) == 31.0
    assert round(found.dv_up_mean, 6) == 1.0
    assert found.dv_down_mean == 0.0


def test_nothing_came_back_means_no_delays() -> None:
    assert delays([out(0, 1, 2)], [], 1) is None


def test_percentiles_lie_between_the_ranks() -> None:
    assert percentile([4, 1, 2, 3], 0.5) == 2.5
    assert percentile([1], 0.99) == 1
