"""How much at once, and when again: tried without a line."""

from __future__ import annotations

from random import Random

import pytest

from probes.pace import FEW, ROOM_S, Backoff, Pace, retry_after_s
from probes.report import MAX_REPORTS

NOW_MS = 1_800_000_000_000


def send_all(pace: Pace, delay_s: float, per_report_s: float, batches: int = 60) -> list[tuple[int, float]]:
    """A backlog sent over a line; each batch as (reports, seconds)."""
    sent = []
    for _ in range(batches):
        reports = pace.limit
        seconds = delay_s + reports * per_report_s
        pace.took(seconds, reports)
        sent.append((reports, seconds))
    return sent


@pytest.mark.parametrize("delay_s", [0.003, 0.15, 0.7])
@pytest.mark.parametrize("per_report_s", [0.0001, 0.002, 0.02, 0.06])
def test_a_batch_never_holds_the_line_much_longer_than_half_a_second(delay_s: float, per_report_s: float) -> None:
    sent = send_all(Pace(), delay_s, per_report_s)
    assert max(seconds - delay_s for _, seconds in sent) <= 2 * ROOM_S
    assert sum(seconds - delay_s for _, seconds in sent[10:]) / len(sent[10:]) <= ROOM_S


def test_a_wide_line_gets_the_largest_batches_even_when_it_is_long() -> None:
    assert send_all(Pace(), 0.7, 0.00001)[-1][0] == MAX_REPORTS


def test_a_thin_line_gets_small_ones() -> None:
    assert send_all(Pace(), 0.05, 0.03)[-1][0] <= 2 * FEW * 2


def test_a_batch_that_is_too_large_is_halved_down_to_one() -> None:
    pace = Pace(limit=1000)
    sizes = []
    while pace.limit > 1:
        pace.too_large(pace.limit)
        sizes.append(pace.limit)
    assert sizes[0] == 500
    assert sizes[-1] == 1


def test_waits_double_up_to_the_most_and_start_over_after_success() -> None:
    backoff = Backoff(Random(1))
    waits = [backoff.next_s() for _ in range(60)]
    assert waits[0] <= 0.25
    assert all(15 <= wait <= 30 for wait in waits[10:])
    backoff.over()
    assert backoff.next_s() <= 0.25


def test_two_devices_do_not_wait_alike() -> None:
    first, second = Backoff(Random(1)), Backoff(Random(2))
    assert [first.next_s() for _ in range(5)] != [second.next_s() for _ in range(5)]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("999999", 3600.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 1999 08:00:30 GMT", 0.0),
        ("soon", None),
        ("-3", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW_MS) == seconds
