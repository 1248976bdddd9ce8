"""How sure a share of few packets is: the Wilson interval on the effective sample of a bursty line. Pure."""

from __future__ import annotations

import math

Z_95 = 1.959964
"""Two-sided 95 % of the normal distribution."""


def wilson(events: float, n: float) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share: `events` of `n` (n > 0; both may be effective, so not whole).

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.
    """
    p = events / n
    z2 = Z_95 * Z_95
    middle = p + z2 / (2 * n)
    half = Z_95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    scale = 1 + z2 / n
    low = (middle - half) / scale if events > 0 else 0.0
    high = (middle + half) / scale if events < n else 1.0
    return max(0.0, low), min(1.0, high)


def variance_factor(events: int, n: int, runs: int) -> float:
    """By how much bursts widen the variance of a share: (1 + rho) / (1 - rho), rho = 1 - p - r of a two-state chain.

    `p` is the chance to enter a run, `r` to leave it, both from the runs seen; 1 where nothing can be said of bursts,
    never below 1 (a sample is not made better by losses that keep apart).
    """
    if events <= 0 or runs <= 0 or events >= n:
        return 1.0
    enter, leave = runs / (n - events), runs / events
    rho = 1 - enter - leave
    if rho <= 0:
        return 1.0
    return (1 + rho) / (1 - rho)


def share_interval(events: int, n: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of `events / n` when the events came in `runs` runs (n > 0)."""
    factor = variance_factor(events, n, runs)
    return wilson(events / factor, n / factor)
