"""So many tries in so much time: for what could be guessed."""

from __future__ import annotations

from collections import deque

MAX_NAMES = 10_000


class Throttle:
    """At most `tries` within `window_s`, for each name and for all together ten times as many."""

    def __init__(self, tries: int, window_s: float) -> None:
        self._tries = tries
        self._window_s = window_s
        self._by_name: dict[str, deque[float]] = {}
        self._all: deque[float] = deque()

    def wait_s(self, name: str, now_s: float) -> float:
        """How long this name has to wait before its next try; 0: it may try now."""
        return max(
            self._wait(self._by_name.get(name, deque()), self._tries, now_s),
            self._wait(self._all, self._tries * 10, now_s),
        )

    def count(self, name: str, now_s: float) -> None:
        """One try that failed."""
        if len(self._by_name) >= MAX_NAMES:
            self._by_name = {each: tries for each, tries in self._by_name.items() if now_s - tries[-1] < self._window_s}
        self._by_name.setdefault(name, deque(maxlen=self._tries)).append(now_s)
        self._all.append(now_s)
        while len(self._all) > self._tries * 10:
            self._all.popleft()

    def _wait(self, tries: deque[float], most: int, now_s: float) -> float:
        if len(tries) < most:
            return 0.0
        return max(0.0, self._window_s - (now_s - tries[0]))
