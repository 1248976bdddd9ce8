"""Delay and its variation from four stamps, without synchronised clocks.

T1 sender sends, T2 reflector receives, T3 reflector sends, T4 sender receives; T1 and T4 are of one clock, T2 and T3
of another. A transit (T2 - T1, T4 - T3) holds the unknown difference of the clocks: its variation is real, its size is
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor
from statistics import median
from typing import NamedTuple

LEAST_FOR_SKEW = 6
"""Fewer windows than this cannot tell the clocks' skew from the line's own noise."""


class ClockPoint(NamedTuple):
    """How the reflector's clock stood to ours at one moment, told by the packet that waited least."""

    at_ns: int
    offset_ns: int


def round_trip_ns(t1: int, t2: int, t3: int, t4: int) -> int:
    """RTT without the time inside the reflector; needs no synchronised clocks."""
    return (t4 - t1) - (t3 - t2)


def offset_ns(t1: int, t2: int, t3: int, t4: int) -> int:
    """The reflector's clock minus ours if both ways took the same time (RFC 5905 section 8); certain to RTT / 2."""
    return ((t2 - t1) - (t4 - t3)) // 2


def percentile(ordered: Sequence[float], share: float) -> float:
    """The quantile of ascending values, linear between neighbours (Hyndman and Fan 1996, type 7).

    Raises:
        ValueError: there is no percentile of nothing.
    """
    if not ordered:
        raise ValueError("No percentile of an empty list; leave the figure out.")
    place = (len(ordered) - 1) * share
    low, high = ordered[floor(place)], ordered[ceil(place)]
    return low + (high - low) * (place - floor(place))


def mean_variation(transits: Sequence[float]) -> float | None:
    """Mean absolute difference from one packet to the next, in the order of sending (RFC 3393); None below two."""
    if len(transits) < 2:
        return None
    return sum(abs(after - before) for before, after in pairwise(transits)) / (len(transits) - 1)


def packet_delay_variation(transits: Sequence[float], share: float = 0.99) -> float | None:
    """PDV of RFC 5481 section 4.2: the quantile above the smallest, what a de-jitter buffer must hold."""
    if len(transits) < 2:
        return None
    ordered = sorted(transits)
    return percentile(ordered, share) - ordered[0]


def rfc3550_jitter(transits: Sequence[float]) -> float | None:
    """The interarrival jitter of RFC 3550 section 6.4.1 after the last packet, in the order of arrival."""
    if len(transits) < 2:
        return None
    jitter = 0.0
    for before, after in pairwise(transits):
        jitter += (abs(after - before) - jitter) / 16
    return jitter


def skew(points: Sequence[ClockPoint]) -> float:
    """How fast the reflector's clock gains on ours (s/s): the median slope between the points (Theil and Sen).

    0 while there are too few to tell. A queue on one way shifts single points, not the median of the slopes.
    """
    if len(points) < LEAST_FOR_SKEW:
        return 0.0
    slopes = [
        (later.offset_ns - sooner.offset_ns) / (later.at_ns - sooner.at_ns)
        for i, sooner in enumerate(points)
        for later in points[i + 1 :]
        if later.at_ns > sooner.at_ns
    ]
    return median(slopes) if slopes else 0.0


def longest_without_step(offsets_and_rtts: Sequence[tuple[int, int]]) -> slice:
    """The longest stretch in which neither clock was set.

    The true offset lies within RTT / 2 of the one seen; where two neighbours leave no common ground, a clock stepped.
    """
    starts = [0]
    for i, ((offset, rtt), (after, rtt_after)) in enumerate(pairwise(offsets_and_rtts), 1):
        if abs(after - offset) > (max(rtt, 0) + max(rtt_after, 0)) / 2 + 1_000_000:
            starts.append(i)
    ends = [*starts[1:], len(offsets_and_rtts)]
    start, end = max(zip(starts, ends, strict=True), key=lambda part: part[1] - part[0])
    return slice(start, end)
