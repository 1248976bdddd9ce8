"""What a link is used to: the median of a figure over its own last seven days, hour by hour. Pure, small, kept.

A week of readings every ten seconds would be 60,000 numbers a link; of each hour one reading a minute is remembered
until the hour is over, then its median alone. The median of those medians shrugs off a bad day.
"""

from __future__ import annotations

from collections import deque
from statistics import median

HOUR_MS = 3_600_000
WEEK = 7 * 24
LEAST_HOURS = 24
"""Before a day is known there is no habit."""
ONE_A_MS = 60_000


class Habit:
    """One figure of one link. `usual` is its median; None while too little is known."""

    __slots__ = ("_hour", "_hours", "_last_ms", "_now", "usual")

    def __init__(self) -> None:
        self.usual: float | None = None
        self._hours: deque[tuple[int, float]] = deque()
        self._hour = 0
        self._now: list[float] = []
        self._last_ms = 0

    def take(self, value: float, at_ms: int) -> bool:
        """One reading; True when `usual` is another one now. Readings must not go back in time."""
        hour = at_ms // HOUR_MS
        ended = hour > self._hour and self._end_hour(hour)
        if at_ms - self._last_ms >= ONE_A_MS:
            self._now.append(value)
            self._last_ms = at_ms
        return ended

    def _end_hour(self, hour: int) -> bool:
        if self._now:
            self._hours.append((self._hour, median(self._now)))
            self._now.clear()
        self._hour = hour
        while self._hours and self._hours[0][0] < hour - WEEK:
            self._hours.popleft()
        before, self.usual = self.usual, self._median()
        return self.usual != before

    def _median(self) -> float | None:
        return median(value for _, value in self._hours) if len(self._hours) >= LEAST_HOURS else None

    def to_kept(self) -> list[list[float]]:
        return [[hour, value] for hour, value in self._hours]

    def from_kept(self, kept: list[list[float]]) -> None:
        self._hours = deque((int(hour), value) for hour, value in kept)
        self._hour = self._hours[-1][0] + 1 if self._hours else 0
        self.usual = self._median()
