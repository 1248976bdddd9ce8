"""What keeps a reflector within bounds: a rate, a table that forged sources cannot flood, a window against replays."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

SECOND_NS = 1_000_000_000
REPLAY_WINDOW = 1024
"""Sequences a late packet may lag behind: 20 s of a burst at 50 a second."""
_WINDOW_MASK = (1 << REPLAY_WINDOW) - 1
_SECOND_CHANCES = 32


class Bucket:
    """A token bucket in the form of virtual scheduling (ITU-T I.371 annex A): one number instead of two.

    `rate` a second are let through, and `depth` at once after a rest. `now_ns` must not go backwards.
    """

    __slots__ = ("due_ns", "heard_ns", "kept_ns", "slack_ns", "step_ns")

    def __init__(self, rate: float, depth: float) -> None:
        self.step_ns = int(SECOND_NS / rate)
        self.slack_ns = int((depth - 1) * SECOND_NS / rate)
        self.due_ns = 0
        self.heard_ns = 0
        self.kept_ns = 0

    def take(self, now_ns: int) -> bool:
        """Let one through, or not."""
        due = self.due_ns
        if due <= now_ns:
            self.due_ns = now_ns + self.step_ns
        elif due - now_ns > self.slack_ns:
            return False
        else:
            self.due_ns = due + self.step_ns
        self.heard_ns = now_ns
        return True

    def take_below_half(self, now_ns: int) -> bool:
        """Let one through while the bucket is at least half full: what is left is for those of higher standing."""
        return (self.due_ns - now_ns) * 2 <= self.slack_ns and self.take(now_ns)


class ReplayWindow:
    """Which of the last 1,024 sequences were seen (RFC 4303 section 3.4.3), as one integer; bit 0 is the highest."""

    __slots__ = ("highest", "seen")

    def __init__(self) -> None:
        self.highest = -1
        self.seen = 0

    def is_fresh(self, seq: int) -> bool:
        """Whether the sequence is ahead of the window, or inside it and not seen."""
        lag = self.highest - seq
        return lag < 0 or (lag < REPLAY_WINDOW and not self.seen >> lag & 1)

    def mark(self, seq: int) -> None:
        """Note a fresh sequence as seen."""
        ahead = seq - self.highest
        if ahead == 1:
            self.seen = self.seen << 1 & _WINDOW_MASK | 1
        elif ahead > 0:
            self.seen = (self.seen << ahead & _WINDOW_MASK if ahead < REPLAY_WINDOW else 0) | 1
        else:
            self.seen |= 1 << -ahead
            return
        self.highest = seq


class Kept(Protocol):
    """What a table holds: when it was last heard, and when the table last looked (monotonic ns)."""

    heard_ns: int
    kept_ns: int


_Key = TypeVar("_Key")
_Kept = TypeVar("_Kept", bound=Kept)


class Table(OrderedDict[_Key, _Kept], Generic[_Key, _Kept]):
    """At most `places` entries; a new one pushes out one that was silent since it was last looked at.

    The clock algorithm, a cheap cousin of least-recently-used: reading costs nothing, and entries in use are moved to
    the back instead of being pushed out. Where the next 32 are all in use the new one is turned away.
    """

    def __init__(self, places: int, idle_ns: int) -> None:
        super().__init__()
        self._places = places
        self._idle_ns = idle_ns

    def add(self, key: _Key, entry: _Kept, now_ns: int) -> bool:
        """Whether there was a place for it."""
        if len(self) >= self._places and not self._make_room(now_ns):
            return False
        entry.heard_ns = entry.kept_ns = now_ns
        self[key] = entry
        return True

    def _make_room(self, now_ns: int) -> bool:
        for _ in range(_SECOND_CHANCES):
            key, entry = next(iter(self.items()))
            if entry.heard_ns <= entry.kept_ns or now_ns - entry.heard_ns > self._idle_ns:
                del self[key]
                return True
            entry.kept_ns = entry.heard_ns
            self.move_to_end(key)
        return False
