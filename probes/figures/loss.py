"""What losses look like: runs, bursts and gaps, the worst moment."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

GMIN = 16
"""RFC 3611 section 4.7.2: this many packets received in a row end a burst."""


class Run(NamedTuple):
    """Consecutive lost packets: place of the first, and how many."""

    start: int
    length: int


class BurstsAndGaps(NamedTuple):
    """RFC 3611 section 4.7.2. What there was none of is None."""

    burst_density: float | None
    gap_density: float | None
    mean_burst_ms: float | None


def runs_of(lost: Sequence[bool]) -> list[Run]:
    """All runs of loss, in order."""
    runs = []
    place = 0
    for is_lost, group in groupby(lost):
        length = sum(1 for _ in group)
        if is_lost:
            runs.append(Run(place, length))
        place += length
    return runs


def longest_loss_ms(times_ms: Sequence[float], lost: Sequence[bool], spacing_ms: float) -> float:
    """From the first packet of a run of loss to the one that got through after it, at its longest; 0 without loss.

    `times_ms` are the times of sending; a run at the end lasts `spacing_ms` beyond its last packet.
    """
    ends = [*times_ms[1:], times_ms[-1] + spacing_ms] if times_ms else []
    return max((ends[run.start + run.length - 1] - times_ms[run.start] for run in runs_of(lost)), default=0.0)


def worst_ratio(times_ms: Sequence[float], lost: Sequence[bool], span_ms: float = 200.0) -> float | None:
    """The largest share lost in any stretch of `span_ms` that lies within the window; None when it is shorter."""
    if not times_ms or times_ms[-1] - times_ms[0] < span_ms:
        return None
    worst = 0.0
    end = lost_inside = 0
    for start, from_ms in enumerate(times_ms):
        if from_ms + span_ms > times_ms[-1]:
            break
        while end < len(times_ms) and times_ms[end] < from_ms + span_ms:
            lost_inside += lost[end]
            end += 1
        worst = max(worst, lost_inside / (end - start))
        lost_inside -= lost[start]
    return worst


def bursts_and_gaps(lost: Sequence[bool], spacing_ms: float) -> BurstsAndGaps:
    """Losses with fewer than `GMIN` packets received between them make a burst; a loss alone belongs to the gap."""
    bursts = [(first, last, count) for first, last, count in _groups(lost) if count > 1]
    in_bursts = sum(last - first + 1 for first, last, _ in bursts)
    lost_in_bursts = sum(count for _, _, count in bursts)
    in_gaps = len(lost) - in_bursts
    return BurstsAndGaps(
        lost_in_bursts / in_bursts if bursts else None,
        (sum(lost) - lost_in_bursts) / in_gaps if in_gaps else None,
        in_bursts * spacing_ms / len(bursts) if bursts else None,
    )


def _groups(lost: Sequence[bool]) -> list[tuple[int, int, int]]:
    """(first, last, losses) of each group of losses that are nearer to each other than `GMIN` received packets."""
    groups: list[tuple[int, int, int]] = []
    for place, is_lost in enumerate(lost):
        if not is_lost:
            continue
        if groups and place - groups[-1][1] - 1 < GMIN:
            first, _, count = groups[-1]
            groups[-1] = (first, place, count + 1)
        else:
            groups.append((place, place, 1))
    return groups


def burst_ratio(packets: int, lost: int, runs: int) -> float:
    """BurstR of ITU-T G.107 section 7.1: mean run of loss over that of random loss at the same ratio; at least 1."""
    if lost == 0 or runs == 0:
        return 1.0
    return max(1.0, lost / runs * (1 - lost / packets))
