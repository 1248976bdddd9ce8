"""The routers on the way: STAMP packets whose TTL ends at each of them (RFC 792 time exceeded), one flow for all.

No raw socket is needed: the kernel hands the routers' errors to the socket they are about (IP_RECVERR). All packets
have the same ports, so that equal-cost paths are not mixed, and the last hop answers as the hub does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from probes.link.path_socket import ORIGIN_ICMP, ORIGIN_ICMP6, PathError, PathSocket
from probes.report import MAX_LABEL_CHARS

MAX_HOPS = 30
TRIES = 3
WAIT_S = 0.8
SPACING_S = 0.05
MAX_SILENT_IN_A_ROW = 5
MAX_HOP_LABELS = 8
SILENT = "*"

TIME_EXCEEDED = {ORIGIN_ICMP: 11, ORIGIN_ICMP6: 3}
"""ICMP type by origin: RFC 792, RFC 4443 section 3.3. Any other error of a router means that it goes no further."""


class Hop(NamedTuple):
    """One router; no address where it keeps silent."""

    ttl: int
    address: str | None
    rtt_ms: float | None = None


class Trace(NamedTuple):
    """The routers in order, and whether the hub itself answered behind them."""

    hops: tuple[Hop, ...]
    reached: bool

    @property
    def names(self) -> list[str]:
        return [hop.address or SILENT for hop in self.hops]


class _Seen(NamedTuple):
    """What came back at one TTL."""

    address: str | None
    rtt_ms: float | None = None
    is_hub: bool = False
    is_end: bool = False
    """It goes no further here."""


def trace(path: PathSocket, max_hops: int = MAX_HOPS) -> Trace:
    """Ask TTL by TTL until the hub answers, a router refuses, or five hops in a row are silent."""
    hops: list[Hop] = []
    for ttl in range(1, max_hops + 1):
        path.limit_hops(ttl)
        seen = _ask(path)
        if seen is not None and seen.is_hub:
            return Trace(tuple(hops), reached=True)
        hops.append(Hop(ttl, None) if seen is None else Hop(ttl, seen.address, seen.rtt_ms))
        if path.stop.is_set() or (seen is not None and seen.is_end) or _is_silent(hops):
            break
    return Trace(_without_silent_end(hops), reached=False)


def _is_silent(hops: Sequence[Hop]) -> bool:
    last = hops[-MAX_SILENT_IN_A_ROW:]
    return len(last) == MAX_SILENT_IN_A_ROW and all(hop.address is None for hop in last)


def _without_silent_end(hops: Sequence[Hop]) -> tuple[Hop, ...]:
    known = [index for index, hop in enumerate(hops) if hop.address is not None]
    return tuple(hops[: known[-1] + 1]) if known else ()


def _ask(path: PathSocket) -> _Seen | None:
    """What came back at this TTL; None where nobody spoke."""
    asked: set[int] = set()
    for number in range(TRIES):
        asked.add(path.send(path.smallest))
        seen = _listen(path, asked, SPACING_S if number < TRIES - 1 else WAIT_S)
        if seen is not None:
            return seen
    return None


def _listen(path: PathSocket, asked: set[int], seconds: float) -> _Seen | None:
    give_up_ns = path.now_ns() + int(seconds * 1e9)
    while (left_ns := give_up_ns - path.now_ns()) > 0 and path.is_readable(left_ns / 1e9):
        if any(answer.seq in asked for answer in path.answers()):
            return _Seen(None, is_hub=True)
        for error in path.errors():
            if error.origin in TIME_EXCEEDED and (error.seq is None or error.seq in asked):
                is_end = error.type != TIME_EXCEEDED[error.origin]
                return _Seen(error.offender, _rtt_ms(path, error), is_end=is_end)
    return None


def _rtt_ms(path: PathSocket, error: PathError) -> float | None:
    """Only where the router quoted enough to know which packet it means (RFC 1812 section 4.3.2.3)."""
    t1_ns = path.t1_ns_of(error.seq) if error.seq is not None else None
    return None if t1_ns is None else (error.arrived_ns - t1_ns) / 1e6


# --- as labels ------------------------------------------------------------------------------------------------------


def labels_of(found: Trace) -> dict[str, str]:
    """The hops in as few labels as hold them, at most eight; what is too much in the middle gives way to "…"."""
    labels = {"path": fingerprint(found)}
    packed = _packed(found.names)
    if len(packed) > MAX_HOP_LABELS:
        half = MAX_HOP_LABELS // 2
        packed = [*packed[: half - 1], "…", *packed[-half:]]
    labels.update({f"hops_{number}": text for number, text in enumerate(packed, 1)})
    if not found.reached:
        labels["trace"] = "hub_not_reached"
    return labels


def fingerprint(found: Trace) -> str:
    """Eight hex digits that are the same while the path is."""
    return hashlib.sha256(" ".join(found.names).encode()).hexdigest()[:8]


def is_other_path(before: Sequence[str], now: Sequence[str]) -> bool:
    """Whether two traces took different ways; a router that keeps silent in one of them is no difference."""
    if len(before) != len(now):
        return True
    return any(SILENT not in (one, other) and one != other for one, other in zip(before, now, strict=True))


def _packed(names: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for name in names:
        if lines and len(lines[-1]) + 1 + len(name) <= MAX_LABEL_CHARS:
            lines[-1] += " " + name
        else:
            lines.append(name)
    return lines
