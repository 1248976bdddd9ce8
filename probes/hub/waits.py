"""How long things waited, in buckets an eighth of a doubling wide: a percentile for the price of one addition."""

from __future__ import annotations

from collections.abc import Mapping

_STEPS = 8


class Waits:
    """A histogram of waits in nanoseconds."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def add(self, wait_ns: int, count: int = 1) -> None:
        """`count` waits of this length; a negative one (the wall clock stepped) is left out."""
        if wait_ns >= 0:
            bucket = _bucket_of(wait_ns)
            self._counts[bucket] = self._counts.get(bucket, 0) + count

    def take(self) -> dict[int, int]:
        """Counts by bucket since the last call."""
        counts, self._counts = self._counts, {}
        return counts

    def merge(self, counts: Mapping[int, int]) -> None:
        """Add what another took."""
        for bucket, count in counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count


def quantile_ns(counts: Mapping[int, int], share: float) -> int | None:
    """The upper edge of the bucket where `share` of the waits are at or below; None without any."""
    left = share * sum(counts.values())
    for bucket in sorted(counts):
        left -= counts[bucket]
        if left <= 0:
            return _edge_of(bucket)
    return None


def _bucket_of(wait_ns: int) -> int:
    if wait_ns < _STEPS:
        return wait_ns
    shift = wait_ns.bit_length() - 4
    return (shift + 1) * _STEPS + (wait_ns >> shift) - _STEPS


def _edge_of(bucket: int) -> int:
    """The largest wait of the bucket."""
    if bucket < 2 * _STEPS:
        return bucket
    shift, step = divmod(bucket, _STEPS)
    return ((step + _STEPS + 1) << shift - 1) - 1
