"""How much to send at once and when to try again: pure, so that it can be tried without a line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random

from probes.report import MAX_REPORTS

FEW = 3
ROOM_S = 0.5
"""A backfill POST should hold the line no longer than this: a fresh report may be waiting behind it."""
BACKFILL_BYTES_PER_S = 32_000
"""256 kbit/s: a day's reports of two hubs in some five minutes, and the meeting beside them hardly notices."""
CALM_BYTES_PER_S = 4_000
"""32 kbit/s, and few reports at a time, while a meeting is on or near: old reports can wait, the picture cannot."""
CALM_REPORTS = 20
LONGEST_WAIT_S = 3600.0


@dataclass
class Pace:
    """How many reports a batch may have, learnt from how long the batches take.

    What a POST of a few reports takes is the line's own delay, not its thinness; only the time beyond it counts.
    """

    limit: int = FEW
    floor_s: float = float("inf")

    def took(self, seconds: float, reports: int) -> None:
        """A batch was taken after `seconds`."""
        self.floor_s = seconds if reports <= FEW else min(self.floor_s, seconds)
        beyond_s = seconds - self.floor_s
        if beyond_s > ROOM_S:
            self.limit = max(FEW, int(self.limit * 0.8 * ROOM_S / beyond_s))
        elif reports >= self.limit and beyond_s < ROOM_S / 2:
            self.limit = min(MAX_REPORTS, 2 * self.limit)

    def too_large(self, reports: int) -> None:
        """A batch of so many was more than the centre or the line takes."""
        self.limit = max(1, min(self.limit, reports // 2))


@dataclass
class Backoff:
    """Waits that double, each drawn at random, so that a hundred sites cut off together do not come back together."""

    random: Random
    first_s: float = 0.25
    most_s: float = 30.0
    tries: int = 0

    def next_s(self) -> float:
        """Seconds to wait after one more failure."""
        most = min(self.most_s, self.first_s * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return most * self.random.uniform(0.5, 1.0)

    def over(self) -> None:
        """It worked."""
        self.tries = 0


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Seconds that a Retry-After header (RFC 9110 section 10.2.3) asks for, at most an hour; None when unreadable.

    A date is counted from `now_ms`, our own clock, which may be wrong: hence the bound.
    """
    if header is None:
        return None
    if header.strip().isdigit():
        return min(float(header), LONGEST_WAIT_S)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, at.timestamp() - now_ms / 1000), LONGEST_WAIT_S)
