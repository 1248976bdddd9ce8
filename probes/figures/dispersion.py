"""Rates from the spacing of packets: what a train says of the narrowest hop, and a ramp of what is free. Pure.

Sequences of (sequence number, stamp in ns) in the order sent; lost packets are simply not there. Sizes are IP octets,
rates Mbit/s at IP level.

Sources: C. Dovrolis, P. Ramanathan, D. Moore, Packet-dispersion techniques, IEEE/ACM ToN 12 (2004) 963-977 (trains);
M. Jain, C. Dovrolis, End-to-end available bandwidth, ToN 11 (2003) 537-549 (rising delay, PCT and PDT).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

Stamped = tuple[int, int]
"""Sequence number, and nanoseconds of any one clock."""

SKIPPED_SHARE = 1 / 3
"""Of a train, its head: what a token bucket had saved up lets it through faster than the line is."""
LEAST_PAIRS = 8
BUCKET_RATIO = 1.15
"""A short train this much faster than a long one was helped by a token bucket."""
RISING_PCT, RISING_PDT = 0.6, 0.5
LEAST_RISE_NS = 300_000
LEAST_RISE_SHARE = 0.03
LOST_SHARE = 0.1
"""A queue that overflows is full: so much loss is a rate too high, whatever the delay says."""


def train_mbps(arrivals: Sequence[Stamped], count: int, ip_bytes: int) -> float | None:
    """The rate at which a train of `count` packets came out of the narrowest hop; None from too few of them.

    Only gaps between packets sent one after the other count, so a loss neither slows nor speeds the figure.
    """
    first = min((seq for seq, _ in arrivals), default=0)
    body = [each for each in arrivals if each[0] >= first + math.floor(count * SKIPPED_SHARE)]
    gaps_ns = [later[1] - one[1] for one, later in pairwise(body) if later[0] == one[0] + 1]
    spent_ns = sum(gaps_ns)
    if len(gaps_ns) < min(LEAST_PAIRS, count // 2) or spent_ns <= 0:
        return None
    return len(gaps_ns) * ip_bytes * 8_000 / spent_ns


def sent_mbps(departures: Sequence[Stamped], ip_bytes: int) -> float:
    """The rate at which packets were sent, those missing in between too; infinite where the clock did not even tick."""
    if len(departures) < 2:
        return math.inf
    packets = departures[-1][0] - departures[0][0]
    spent_ns = departures[-1][1] - departures[0][1]
    return packets * ip_bytes * 8_000 / spent_ns if spent_ns > 0 else math.inf


def capacity_mbps(trains: Sequence[float]) -> float | None:
    """One figure of several trains: the median, because cross traffic slows some and a late interrupt speeds others."""
    return median(trains) if trains else None


def is_bucket_likely(short_mbps: float | None, long_mbps: float | None) -> bool:
    """Whether short trains were let through faster than long ones: a token bucket stands in the path."""
    return short_mbps is not None and long_mbps is not None and short_mbps > BUCKET_RATIO * long_mbps


def is_rising(delays: Sequence[Stamped], count: int, spent_ns: int) -> bool:
    """Whether the one-way delay rose over a burst of `count` packets sent within `spent_ns`: faster than what is free.

    `delays` are (sequence, arrival minus departure): the clocks need not agree, only run alike for a moment.
    """
    if len(delays) < (1 - LOST_SHARE) * count:
        return True
    steps = _group_medians([delay for _, delay in delays])
    rise_ns = steps[-1] - steps[0]
    if rise_ns < max(LEAST_RISE_NS, LEAST_RISE_SHARE * spent_ns):
        return False
    changes = [later - one for one, later in pairwise(steps)]
    moved = sum(abs(each) for each in changes)
    pct = sum(each > 0 for each in changes) / len(changes)
    return pct > RISING_PCT or rise_ns / moved > RISING_PDT


def _group_medians(delays: Sequence[int]) -> list[float]:
    """Medians of sqrt(n) groups, so that single late packets do not decide."""
    size = max(1, math.isqrt(len(delays)))
    return [median(delays[at : at + size]) for at in range(0, len(delays) - size + 1, size)]


@dataclass
class Bracket:
    """The free rate lies between `low` (did not fill the line) and `high` (did)."""

    low_mbps: float
    high_mbps: float

    def tell(self, rate_mbps: float, filled: bool) -> None:
        """One burst at this rate; a rate that contradicts what is known narrows nothing."""
        if filled:
            self.high_mbps = min(self.high_mbps, max(rate_mbps, self.low_mbps))
        else:
            self.low_mbps = max(self.low_mbps, min(rate_mbps, self.high_mbps))

    @property
    def is_wide(self) -> bool:
        """Whether a tenth or more of the upper end is still open."""
        return self.high_mbps - self.low_mbps > self.high_mbps / 10

    @property
    def middle_mbps(self) -> float:
        return (self.low_mbps + self.high_mbps) / 2
