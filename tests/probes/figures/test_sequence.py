"""Fates from numbers, held to a simulated link that knows what it did to each packet."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.figures.sequence import Echo, Fates, Ledger, judge, unwrapped

SECOND = 1_000_000_000
SPACING = 100_000_000


class Truth(NamedTuple):
    """What the link did, and what the sender saw: answers in the order of arrival."""

    lost_up: list[int]
    lost_down: int
    dup_up: int
    dup_down: int
    reordered_up: int
    reordered_down: int
    dups_with_a_lost_answer: int
    echoes: list[Echo]


class Way(NamedTuple):
    """One direction of the simulated link: probabilities, and by how many packets a straggler falls back."""

    loss: float = 0.0
    dup: float = 0.0
    overtaken: float = 0.0
    fall_back: int = 2


def carry(stream: Iterable[int], way: Way, rng: random.Random, spare: Sequence[int]) -> tuple[list[int], list[int]]:
    """(what comes out in order, what was lost); `spare` always passes untouched."""
    queue: list[tuple[float, int]] = []
    lost = []
    for place, item in enumerate(stream):
        if item in spare:
            queue.append((place, item))
            continue
        if rng.random() < way.loss:
            lost.append(item)
            continue
        late = way.fall_back + 0.5 if rng.random() < way.overtaken else 0.0
        queue.append((place + late, item))
        if rng.random() < way.dup:
            queue.append((place + late + 0.25, item))
    return [item for _, item in sorted(queue)], lost


def link(sent: Sequence[int], up: Way, down: Way, seed: int) -> Truth:
    """Send every number through the link and a stateful reflector; the first and the last packets are left alone."""
    rng = random.Random(seed)
    spare = {sent[0], *sent[-20:]}
    arrived, lost_up = carry(sent, up, rng, spare)
    answers = list(range(len(arrived)))
    heard, lost_answers = carry(answers, down, rng, [r for r in answers if arrived[r] in spare])
    echoes = [Echo(arrived[r], r, r * SPACING) for r in heard]
    doubled = {s for s in arrived if arrived.count(s) > 1}
    return Truth(
        lost_up,
        len(lost_answers),
        len(arrived) - len(set(arrived)),
        len(heard) - len(set(heard)),
        overtaken(arrived),
        overtaken(heard),
        sum(arrived[r] in doubled for r in lost_answers),
        echoes,
    )


def overtaken(stream: Sequence[int]) -> int:
    """RFC 4737 section 4.2.1 by brute force: first copies that come after a higher number."""
    return sum(
        item not in stream[:place] and any(before > item for before in stream[:place])
        for place, item in enumerate(stream)
    )


def judge_in_windows(sent: Sequence[int], echoes: Sequence[Echo], size: int, guard: int = 30) -> list[Fates]:
    """All windows of a session, each closed when `guard` packets after it have been sent."""
    ledger = Ledger(stateful=True)
    fates = []
    for start in range(0, len(sent), size):
        span = sent[start : start + size + guard]
        end = span[min(size, len(span)) - 1] + 1
        in_time = [echo for echo in echoes if echo.sseq <= span[-1]]
        one, ledger = judge(span, in_time, end, ledger)
        fates.append(one)
    return fates


def losses(fates: Sequence[Fates]) -> tuple[int, int, int]:
    up = sum(lost for one in fates for _, lost in one.up)
    down = sum(lost for one in fates for _, lost in one.down)
    return up, down, sum(len(one.unknown) for one in fates)


RATE = st.floats(0, 0.4)
SEED = st.integers(0, 2**32)
SIZE = st.sampled_from([7, 50, 100])
SENT = range(200)


@given(RATE, RATE, SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_losses_of_both_directions_are_counted_exactly(up: float, down: float, size: int, seed: int) -> None:
    truth = link(SENT, Way(loss=up), Way(loss=down), seed)
    fates = judge_in_windows(SENT, truth.echoes, size, guard=len(SENT))
    assert losses(fates) == (len(truth.lost_up), truth.lost_down, 0)
    assert not any(one.dup_up or one.dup_down or one.reordered_up or one.reordered_down for one in fates)


@given(RATE, SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_a_loss_going_up_is_found_at_its_very_number(up: float, size: int, seed: int) -> None:
    truth = link(SENT, Way(loss=up), Way(), seed)
    fates = judge_in_windows(SENT, truth.echoes, size, guard=len(SENT))
    assert [s for one in fates for s, lost in one.up if lost] == truth.lost_up


@given(st.floats(0, 0.2), RATE, SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_a_duplicate_going_down_changes_nothing_but_its_own_count(
    dup: float, loss: float, size: int, seed: int
) -> None:
    truth = link(SENT, Way(loss=loss), Way(dup=dup), seed)
    fates = judge_in_windows(SENT, truth.echoes, size, guard=len(SENT))
    assert losses(fates) == (len(truth.lost_up), 0, 0)
    assert sum(one.dup_down for one in fates) == truth.dup_down
    assert sum(one.dup_up for one in fates) == 0


@given(st.floats(0, 0.2), RATE, SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_a_duplicate_going_up_does_not_hide_a_loss(dup: float, loss: float, size: int, seed: int) -> None:
    truth = link(SENT, Way(loss=loss, dup=dup), Way(), seed)
    fates = judge_in_windows(SENT, truth.echoes, size, guard=len(SENT))
    assert losses(fates) == (len(truth.lost_up), 0, 0)
    assert sum(one.dup_up for one in fates) == truth.dup_up


@given(st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0, 0.2), st.floats(0, 0.2), SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_with_everything_at_once_what_can_be_known_is_exact(
    loss_up: float, loss_down: float, dup_up: float, dup_down: float, size: int, seed: int
) -> None:
    truth = link(SENT, Way(loss_up, dup_up), Way(loss_down, dup_down), seed)
    fates = judge_in_windows(SENT, truth.echoes, size, guard=len(SENT))
    up, down, unknown = losses(fates)
    copies = sum(one.dup_up for one in fates)
    assert (down, unknown) == (truth.lost_down, 0)
    assert sum(one.dup_down for one in fates) == truth.dup_down
    assert up - copies == len(truth.lost_up) - truth.dup_up, "what the reflector counted is known for certain"
    assert len(truth.lost_up) - up in range(truth.dups_with_a_lost_answer + 1), "a copy without answer may hide a loss"


@given(st.floats(0, 0.3), st.integers(1, 4), SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_overtaken_packets_are_counted_in_their_direction(share: float, fall_back: int, size: int, seed: int) -> None:
    way = Way(overtaken=share, fall_back=fall_back)
    for up, down in ((way, Way()), (Way(), way)):
        truth = link(SENT, up, down, seed)
        fates = judge_in_windows(SENT, truth.echoes, size)
        assert sum(one.reordered_up for one in fates) == truth.reordered_up
        assert sum(one.reordered_down for one in fates) == truth.reordered_down
        assert losses(fates) == (0, 0, 0)


@given(st.floats(0, 0.3), st.floats(0, 0.3), SEED)
@settings(max_examples=25, deadline=None)
def test_packets_overtaken_on_both_ways_are_counted_once_on_each(up: float, down: float, seed: int) -> None:
    truth = link(SENT, Way(overtaken=up), Way(overtaken=down), seed)
    (fates,) = judge_in_windows(SENT, truth.echoes, len(SENT))
    assert (fates.reordered_up, fates.reordered_down) == (truth.reordered_up, truth.reordered_down)


@given(st.floats(0, 0.1), st.floats(0, 0.1), st.floats(0, 0.1), SIZE, SEED)
@settings(max_examples=25, deadline=None)
def test_overtaking_going_down_does_not_disturb_the_losses(
    loss_up: float, loss_down: float, down: float, size: int, seed: int
) -> None:
    truth = link(SENT, Way(loss=loss_up), Way(loss=loss_down, overtaken=down), seed)
    fates = judge_in_windows(SENT, truth.echoes, size, guard=len(SENT))
    assert losses(fates) == (len(truth.lost_up), truth.lost_down, 0)


def test_a_packet_overtaken_going_up_whose_answer_is_lost_is_neither_a_loss_going_up_nor_a_duplicate() -> None:
    # 3 and 4 change places and so do 6 and 7; the answer to 6 (number 7) is lost.
    numbers = [(0, 0), (1, 1), (2, 2), (4, 3), (3, 4), (5, 5), (7, 6), (8, 8), (9, 9)]
    fates, _ = judge(range(10), [Echo(s, r, r) for s, r in numbers], 10, Ledger(stateful=True))
    assert losses([fates]) == (0, 1, 0)
    assert (fates.reordered_up, fates.dup_up) == (2, 0)


def test_the_example_of_a_loss_beside_a_duplicate() -> None:
    # sent 0..5, 2 lost going up, 3 doubled going up, 4's answer lost, 5's answer doubled
    numbers = [(0, 0), (1, 1), (3, 2), (3, 3), (5, 5), (5, 5)]
    fates, ledger = judge(range(6), [Echo(s, r, r) for s, r in numbers], 6, Ledger())
    assert [s for s, lost in fates.up if lost] == [2]
    assert [s for s, lost in fates.down if lost] == [4]
    assert (fates.dup_up, fates.dup_down, fates.unknown, fates.stateful) == (1, 1, [], True)
    assert ledger.next_rseq == 6


def test_a_copy_made_going_up_whose_answer_is_lost_is_found_between_its_neighbours() -> None:
    # 2 doubled going up (numbers 2 and 3), the second answer lost
    fates, _ = judge(range(5), [Echo(s, r, r) for s, r in [(0, 0), (1, 1), (2, 2), (3, 4), (4, 5)]], 5, Ledger())
    assert (fates.dup_up, losses([fates])) == (1, (0, 1, 0))


def test_losses_at_the_end_of_a_window_get_their_direction_from_the_guard_packets() -> None:
    echoes = [Echo(s, s, s) for s in range(8)] + [Echo(10, 8, 8), Echo(11, 9, 9)]
    fates, _ = judge(range(12), echoes, 10, Ledger(stateful=True))
    assert losses([fates]) == (2, 0, 0)


def test_losses_that_no_later_answer_explains_have_no_direction_and_are_not_counted_again() -> None:
    first, ledger = judge(range(13), [Echo(s, s, s) for s in range(6)], 10, Ledger(stateful=True))
    assert losses([first]) == (0, 0, 4)
    # 6..9 and 10..11 were reflected as 6..11, all answers lost; the line comes back with 12.
    second, ledger = judge(range(10, 20), [Echo(s, s, s) for s in range(12, 20)], 20, ledger)
    assert losses([second]) == (0, 2, 0)
    assert (ledger.next_rseq, ledger.pending) == (20, 0)


def test_a_window_without_any_answer_has_losses_without_direction() -> None:
    _, ledger = judge(range(10), [Echo(s, s, s) for s in range(10)], 10, Ledger(stateful=True))
    silent, ledger = judge(range(10, 20), [], 20, ledger)
    assert losses([silent]) == (0, 0, 10)
    # All ten had been lost going up: the reflector goes on counting where it was.
    back, _ = judge(range(20, 30), [Echo(s, s - 10, s - 10) for s in range(20, 30)], 30, ledger)
    assert losses([back]) == (0, 0, 0)


def test_a_stateless_reflector_is_known_by_a_number_that_was_skipped() -> None:
    sent = [*range(10), *range(18, 30)]
    echoes = [Echo(s, s, s * SPACING) for s in sent if s not in (4, 20)]
    fates, ledger = judge(sent, echoes, 30, Ledger())
    assert ledger.stateful is False
    assert fates.unknown == [4, 20]
    assert not any(lost for _, lost in (*fates.up, *fates.down))


def test_a_number_skipped_between_two_windows_is_remembered() -> None:
    _, ledger = judge(range(10), [Echo(s, s, s) for s in range(10)], 10, Ledger())
    assert ledger.stateful is None
    _, ledger = judge(range(18, 30), [Echo(s, s, s) for s in range(18, 30)], 30, ledger)
    assert ledger.stateful is False


def test_a_stateful_reflector_is_known_by_a_number_that_was_skipped() -> None:
    sent = [*range(10), *range(18, 30)]
    echoes = [Echo(s, r, r) for r, s in enumerate(sent) if s not in (4, 20)]
    fates, ledger = judge(sent, echoes, 30, Ledger())
    assert ledger.stateful is True
    assert [s for s, lost in fates.down if lost] == [4, 20]


def test_until_then_a_loss_has_no_direction() -> None:
    fates, ledger = judge(range(10), [Echo(s, s, s) for s in range(10) if s != 4], 10, Ledger())
    assert ledger.stateful is None
    assert losses([fates]) == (0, 0, 1)


def test_a_stateless_reflector_still_tells_copies_and_order_by_its_stamps() -> None:
    sent = [0, *range(10, 20)]
    stamps = [(0, 0), (10, 1), (12, 2), (11, 3), (13, 4), (13, 5), (15, 7), (14, 6), (16, 8), (16, 8), (17, 9)]
    fates, _ = judge(sent, [Echo(s, s, at) for s, at in stamps], 20, Ledger())
    assert fates.stateful is False
    assert (fates.dup_up, fates.dup_down, fates.reordered_up, fates.reordered_down) == (1, 1, 1, 1)


def test_a_reflector_that_restarts_is_counted_once_and_invents_no_loss() -> None:
    sent = range(40)
    numbers = [(s, s) for s in range(20)] + [(s, s - 20) for s in range(20, 40)]
    echoes = [Echo(s, r, s * SPACING) for s, r in numbers]
    for size in (5, 10, 40):
        fates = judge_in_windows(sent, echoes, size)
        assert sum(one.restarts for one in fates) == 1, size
        assert losses(fates) == (0, 0, 0), size


@pytest.mark.parametrize("size", [5, 10, 13, 40])
def test_packets_lost_while_the_reflector_restarts_have_no_direction_but_those_it_counted_anew(size: int) -> None:
    # 20..24 are swallowed by the restart; 25 and 26 are counted anew (0 and 1), their answers lost.
    numbers = [(s, s) for s in range(20)] + [(s, s - 25) for s in range(27, 40)]
    echoes = [Echo(s, r, s * SPACING) for s, r in numbers]
    fates = judge_in_windows(range(40), echoes, size)
    assert losses(fates) == (0, 2, 5)


def test_a_session_forgotten_in_a_long_silence_is_no_restart() -> None:
    _, ledger = judge(range(10), [Echo(s, s, s * SPACING) for s in range(10)], 10, Ledger(stateful=True))
    fates, _ = judge(range(10, 500), [Echo(s, s - 400, s * SPACING) for s in range(400, 500)], 500, ledger)
    assert fates.restarts == 0
    assert losses([fates]) == (0, 0, 390)


def test_a_reflector_that_went_on_counting_from_another_session_invents_no_loss() -> None:
    fates, ledger = judge(range(10), [Echo(s, s + 5000, s) for s in range(1, 10)], 10, Ledger())
    assert losses([fates]) == (0, 0, 1)
    assert (fates.restarts, fates.dup_up, ledger.next_rseq) == (0, 0, 5010)


def test_the_reflectors_numbers_may_pass_32_bits() -> None:
    ledger = Ledger(True, 2**32 - 5, 2**32 - 5, last=Echo(2**32 - 6, 2**32 - 6, 0))
    sent = range(2**32 - 5, 2**32 + 5)
    fates, ledger = judge(sent, [Echo(s, s & 0xFFFFFFFF, s) for s in sent if s != 2**32], 2**32 + 5, ledger)
    assert losses([fates]) == (0, 1, 0)
    assert ledger.next_rseq == 2**32 + 5


@given(st.integers(0, 2**40), st.integers(-(2**31), 2**31 - 1))
def test_a_number_is_unwrapped_to_the_nearest(near: int, away: int) -> None:
    assert unwrapped((near + away) & 0xFFFFFFFF, near) == near + away


@given(
    st.lists(st.tuples(st.integers(-3, 30), st.integers(0, 2**32 - 1), st.integers(0, 10**12)), max_size=60),
    st.integers(0, 30),
)
@settings(deadline=2000)
def test_no_answers_however_senseless_make_a_packet_count_twice(numbers: list[tuple[int, int, int]], end: int) -> None:
    sent = range(30)
    fates, _ = judge(sent, [Echo(*one) for one in numbers], end, Ledger())
    counted = sorted([s for s, _ in fates.up] + fates.unknown)
    assert counted == [s for s in sent if s < end]
