"""Every number a shelf gives is waiting, taken or told as gone: never two of these, never none."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from probes.report import Gone
from probes.shelf import Shelf
from tests.probes.fakes import link_report

STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 90)),
    st.tuples(st.just("room"), st.integers(1, 3)),
    st.tuples(st.just("take"), st.integers(1, 40)),
    st.tuples(st.just("refuse"), st.integers(1, 5)),
    st.tuples(st.just("lose"), st.integers(1, 30)),
    st.tuples(st.just("tell"), st.integers(1, 3)),
)


class Book:
    """What became of every number, kept beside the shelf."""

    def __init__(self) -> None:
        self.shelf = Shelf(None, 8 << 20)
        self.given = 0
        self.taken: set[int] = set()
        self.told: set[int] = set()
        self.clock_ms = 1_800_000_000_000

    def waiting(self) -> list[int]:
        return [report.seq for report in self.shelf.newest(100_000)]

    def gone(self) -> list[Gone]:
        return self.shelf.gone(100_000)

    def do(self, what: str, number: int) -> None:
        match what:
            case "add":
                self.clock_ms += 10_000 * number
                self.given = self.shelf.add([link_report(self.clock_ms + 10_000 * each) for each in range(number)])[
                    -1
                ].seq
            case "room":
                for _ in range(number):
                    self.shelf.make_room()
            case "take":
                some = self.waiting()[:number]
                self.shelf.acknowledge([(self.shelf.boot, seq) for seq in some])
                self.taken |= set(some)
            case "refuse":
                self.shelf.acknowledge([], refused=[(self.shelf.boot, seq) for seq in self.waiting()[-number:]])
            case "lose":
                self.shelf.lose(number)
                self.given += number
            case "tell":
                ranges = self.gone()[:number]
                self.shelf.acknowledge([], told=ranges)
                self.told |= numbers(ranges)


def numbers(ranges: list[Gone]) -> set[int]:
    return {seq for gone in ranges for seq in range(gone.from_seq, gone.to_seq + 1)}


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=25))
def test_every_number_is_waiting_taken_or_told_and_only_one_of_these(steps: list[tuple[str, int]]) -> None:
    book = Book()
    for what, number in steps:
        book.do(what, number)
    waiting, ranges = book.waiting(), book.gone()
    assert len(waiting) == len(set(waiting))
    assert sum(gone.to_seq - gone.from_seq + 1 for gone in ranges) == len(numbers(ranges)), "no two ranges overlap"
    parts = [set(waiting), book.taken, numbers(ranges) | book.told]
    assert set.union(*parts) == set(range(1, book.given + 1))
    assert sum(map(len, parts)) == book.given
    book.shelf.close()
