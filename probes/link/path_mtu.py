"""The largest IP packet that passes whole: once as ICMP tells it (RFC 1191, RFC 8201), once by trying (RFC 8899).

An answer is as long as its request, so what is found is the smaller of both directions; an answer that arrives in
fragments did not pass whole, but shows that its request did. Where more is told than passes, ICMP is filtered on the
way: a *black hole* that lets small packets pass and large ones vanish.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple

from probes.link.path_socket import PMTUDISC_DO, PMTUDISC_PROBE, PathSocket

CEILING = 1500
"""An Ethernet frame's; what carries more is not asked for more."""
BASE = {4: 576, 6: 1280}
"""What every path must carry (RFC 8899 section 5.1.2; RFC 8200 section 5)."""
TRIES = 3
TRY_SPACING_S = 0.03
LEAST_WAIT_S = 0.4
RESTARTS = 4
"""How often a confirmation may prove the search wrong before the line is called too lossy to say."""


class PathMtu(NamedTuple):
    """What was found; None where nothing passed, or nothing could be confirmed."""

    whole: int | None
    """Passes whole both ways."""
    answered: int | None
    """Gets through and is answered, be it in fragments: the hub was told of a smaller way back, and heeds it."""
    told: int
    """By ICMP, of the way up."""
    up_only: bool
    """The reflector answers shorter than it is asked: only up was searched."""

    @property
    def is_black_hole(self) -> bool:
        return self.answered is not None and self.answered < self.told


def search(passes: Callable[[int], bool], base: int, ceiling: int = CEILING) -> int | None:
    """The largest size that passes, by bisection; None where `base` itself does not, or no answer can be confirmed.

    `passes` may be fooled by loss, so the answer is confirmed: it must pass once more and the next size fail once
    more. A contradiction starts the search anew on that side.
    """
    if not passes(base) and not passes(base):
        return None
    low, high = base, ceiling + 1
    if passes(ceiling):
        low = ceiling
    for _ in range(RESTARTS):
        low, high = _bisect(passes, low, high)
        if low > base and not passes(low):
            low, high = base, low
        elif high <= ceiling and passes(high):
            low, high = high, ceiling + 1
        else:
            return low
    return None


def _bisect(passes: Callable[[int], bool], low: int, high: int) -> tuple[int, int]:
    while high - low > 1:
        middle = (low + high) // 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low, high


def measure_mtu(path: PathSocket) -> PathMtu:
    """Both ways of asking, on a fresh socket; some 10 s in a black hole, else 1 s."""
    told = _told_by_icmp(path)
    path.discover(PMTUDISC_PROBE)
    trial = _Trial(path)
    base = BASE[path.version]
    whole = search(lambda size: trial.passes(size, whole=True), base)
    answered = search(lambda size: trial.passes(size, whole=False), base) if trial.saw_fragments else whole
    return PathMtu(whole, answered, told, trial.is_short)


def _told_by_icmp(path: PathSocket) -> int:
    """Send what the kernel believes to fit, until nobody objects any more."""
    path.discover(PMTUDISC_DO)
    for _ in range(TRIES + 1):
        size = min(CEILING, path.mtu)
        try:
            path.send(size)
        except OSError:
            continue
        path.collect(1, LEAST_WAIT_S)
        if path.mtu >= size:
            return min(CEILING, path.mtu)
    return min(CEILING, path.mtu)


class _Trial:
    """Tries a size: three packets, and whether one came back, or came back whole."""

    def __init__(self, path: PathSocket) -> None:
        self.is_short = False
        self.saw_fragments = False
        self._path = path
        self._wait_s = 1.0

    def passes(self, size: int, whole: bool) -> bool:
        path, wanted = self._path, set[int]()
        started_ns = path.now_ns()
        for _ in range(TRIES):
            try:
                wanted.add(path.send(size))
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    return False
            if self._is_answered(wanted, size, whole, TRY_SPACING_S):
                self._learn(path.now_ns() - started_ns)
                return True
        return self._is_answered(wanted, size, whole, self._wait_s)

    def _is_answered(self, wanted: set[int], size: int, whole: bool, seconds: float) -> bool:
        """Whether one of these came back in time; a router's or our own kernel's No ends the waiting."""
        path, give_up_ns = self._path, self._path.now_ns() + int(seconds * 1e9)
        while (left_ns := give_up_ns - path.now_ns()) > 0 and path.is_readable(left_ns / 1e9):
            for answer in path.answers():
                if answer.seq in wanted:
                    self.is_short |= answer.ip_bytes < size
                    self.saw_fragments |= answer.fragment_bytes > 0
                    if not (whole and answer.fragment_bytes):
                        return True
            if any(each.errno == errno.EMSGSIZE and 0 < each.mtu < size for each in path.errors()):
                return False
        return False

    def _learn(self, took_ns: int) -> None:
        """Wait for later sizes as long as four round trips of the first, and never less than 0.4 s."""
        self._wait_s = max(LEAST_WAIT_S, 4 * took_ns / 1e9)
