"""A set of sequence numbers kept as closed ranges: batches may overtake each other, and nothing is lost or doubled.

A high-water mark would drop a batch that arrives after a later one; a table of ids costs a hundred times the disk.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Disjoint closed ranges, never touching each other, in ascending order."""

    __slots__ = ("_ends", "_starts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for low, high in pairs:
            self.add_range(low, high)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """How many ranges there are; `size` counts the numbers."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._starts, number) - 1
        return index >= 0 and number <= self._ends[index]

    @property
    def size(self) -> int:
        return sum(self._ends) - sum(self._starts) + len(self._starts)

    @property
    def last(self) -> int:
        """The greatest number, 0 when there is none."""
        return self._ends[-1] if self._ends else 0

    def add(self, number: int) -> bool:
        """Take the number in; False when it was there before."""
        if self._ends and number == self._ends[-1] + 1:  # the usual case: the next report of a healthy device
            self._ends[-1] = number
            return True
        if number in self:
            return False
        self.add_range(number, number)
        return True

    def would_split(self, number: int) -> bool:
        """Whether taking the number in would make one range more."""
        index = bisect_right(self._starts, number) - 1
        touches_before = index >= 0 and number <= self._ends[index] + 1
        touches_after = index + 1 < len(self._starts) and number == self._starts[index + 1] - 1
        return not touches_before and not touches_after

    def add_range(self, low: int, high: int) -> None:
        """Take in every number from `low` to `high`, both included."""
        first = bisect_right(self._starts, low) - 1
        if first < 0 or self._ends[first] < low - 1:
            first += 1
        after = bisect_right(self._starts, high + 1)
        if first < after:
            low = min(low, self._starts[first])
            high = max(high, self._ends[after - 1])
        self._starts[first:after] = [low]
        self._ends[first:after] = [high]

    def holes(self, up_to: int) -> list[tuple[int, int]]:
        """The ranges of 1…`up_to` that are not in the set."""
        found = []
        next_number = 1
        for low, high in self:
            if next_number < low:
                found.append((next_number, min(low - 1, up_to)))
            next_number = high + 1
            if next_number > up_to:
                return [hole for hole in found if hole[0] <= hole[1]]
        if next_number <= up_to:
            found.append((next_number, up_to))
        return found
