"""The centre's one clock, handed in: the machine's own, or one that runs from another start at another rate."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

SITE_TIME = timezone(timedelta(hours=7))
"""Days, papers and pages are in the time of the sites, +07:00 without summer time."""
LEAST_RATE, MOST_RATE = 0.1, 10_000.0


class Clock:
    """Wall time of the centre, in ms UTC.

    Args:
        start_ms: what the wall shows when the clock is made; None: the machine's own time.
        rate: seconds of this clock in one real second.
    """

    def __init__(self, start_ms: int | None = None, rate: float = 1.0) -> None:
        self.rate = rate
        self.simulated = start_ms is not None or rate != 1.0
        self._start_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        self._origin_ns = time.monotonic_ns()

    def wall_ms(self) -> int:
        if not self.simulated:
            return time.time_ns() // 1_000_000
        return self._start_ms + int((time.monotonic_ns() - self._origin_ns) * self.rate) // 1_000_000

    def real_ms(self) -> int:
        """The machine's own time: for what was promised to people outside an exercise, as how long a code is good."""
        return time.time_ns() // 1_000_000


def parse_clock(text: str) -> Clock:
    """A clock from `START,RATE`: START is an ISO time (of the sites, if it names no zone) or `now`; RATE a number.

    Raises:
        ValueError: with a sentence that names the text.
    """
    start, _, rate_text = text.partition(",")
    try:
        rate = float(rate_text or "1")
        start_ms = None if start.strip() in ("", "now") else _ms(start.strip())
    except ValueError as error:
        raise ValueError(
            f"The clock {text!r} is not START,RATE; write for instance 2026-11-20T07:30,60 or now,10."
        ) from error
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise ValueError(f"The clock's rate {rate:g} is not between {LEAST_RATE:g} and {MOST_RATE:g}.")
    return Clock(start_ms, rate)


def _ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=SITE_TIME)).timestamp() * 1000)


def site_time(at_ms: int) -> str:
    """The moment as people at the sites read it."""
    return datetime.fromtimestamp(at_ms / 1000, SITE_TIME).strftime("%Y-%m-%d %H:%M:%S")
