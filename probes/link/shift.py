"""When to look at the path again: the TTL or the smallest delay of a line has moved and stayed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

RTT_SHARE, RTT_LEAST_MS = 0.3, 3.0
"""A smaller move of the minimum is load or noise; another path is usually some hops or cities longer."""
STAYED = 3
"""Reports in a row: one report's minimum may have been unlucky."""
TTLS = ("ttl_up", "ttl_down")


class PathWatch:
    """One line to one hub: hand it the values of each link report."""

    def __init__(self) -> None:
        self._ttls: dict[str, float] = {}
        self._rtt_min_ms: float | None = None
        self._moved = 0

    def has_shifted(self, values: Mapping[str, float]) -> bool:
        """Whether this report shows that the path is another one; each shift is told once."""
        ttl_moved = self._ttl_moved(values)
        rtt_moved = self._rtt_moved(values.get("rtt_min_ms"))
        return ttl_moved or rtt_moved

    def _ttl_moved(self, values: Mapping[str, float]) -> bool:
        now = {name: values[name] for name in TTLS if name in values}
        moved = any(name in self._ttls and self._ttls[name] != ttl for name, ttl in now.items())
        self._ttls.update(now)
        return moved

    def _rtt_moved(self, rtt_min_ms: float | None) -> bool:
        if rtt_min_ms is None:
            return False
        if self._rtt_min_ms is None:
            self._rtt_min_ms = rtt_min_ms
        if abs(rtt_min_ms - self._rtt_min_ms) <= max(RTT_LEAST_MS, RTT_SHARE * self._rtt_min_ms):
            self._moved = 0
            return False
        self._moved += 1
        if self._moved < STAYED:
            return False
        self._moved, self._rtt_min_ms = 0, rtt_min_ms
        return True
