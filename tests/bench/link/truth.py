"""What really happened to a session of numbered packets and their echoes, reckoned from the link's own log alone.

Nothing of `probes` is used here. Definitions:

- lost: the packet entered the direction and never left it. Down, every answer counts, the answer to a copy too.
- duplicated: a copy left the direction beside its original.
- reordered: RFC 4737 section 3.3: it arrived with a number below that of one already arrived; copies are left out.
- round trip: the times on the link, there and back, of the answer that came first.
- delay variation: mean absolute difference of one-way delays of neighbouring packets, and 99th percentile minus
  minimum (RFC 5481 section 4.2), of the packets whose answer came back (the others nobody can have measured) and of
  the most common size (a large packet is slower through a bottleneck, which is no variation of the line).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple


class Hop(NamedTuple):
    """One packet, or one copy, in one direction. `number` is its own sequence, `echo` the one it answers (down)."""

    number: int
    echo: int
    copy: bool
    t_in_ns: int
    t_out_ns: int
    """0: it never left."""
    ip_bytes: int = 0


class Counts(NamedTuple):
    """The figures that must agree exactly."""

    sent: int
    lost_up: int
    lost_down: int
    dup_up: int
    dup_down: int
    reordered_up: int
    reordered_down: int


class Delays(NamedTuple):
    """The figures that must agree closely, in ms."""

    rtt_p50: float
    rtt_p99: float
    dv_up_mean: float
    dv_down_mean: float
    dv_up_p99: float
    dv_down_p99: float


def counts(up: Sequence[Hop], down: Sequence[Hop], sent: int) -> Counts:
    """Of the first `sent` numbers of the session; later ones (guard packets) only show who was overtaken."""
    window = _window(up, sent)
    mine = [hop for hop in up if hop.number in window]
    answers = [hop for hop in down if hop.echo in window]
    return Counts(
        sent=len(window),
        lost_up=_lost(mine),
        lost_down=_lost(answers),
        dup_up=_copies(mine),
        dup_down=_copies(answers),
        reordered_up=sum(hop.number in window for hop in overtaken(up)),
        reordered_down=sum(hop.echo in window for hop in overtaken(down)),
    )


def delays(up: Sequence[Hop], down: Sequence[Hop], sent: int) -> Delays | None:
    """None if nothing came back."""
    window = _window(up, sent)
    trips = [trip for trip in round_trips(up, down) if trip[0].number in window]
    if len(trips) < 2:
        return None
    both = [_took(out) + _took(answer) for out, answer in trips]
    ((size, _),) = Counter(out.ip_bytes for out, _ in trips).most_common(1)
    there = [_took(out) for out, _ in trips if out.ip_bytes == size]
    back = [_took(answer) for out, answer in trips if out.ip_bytes == size]
    in_ms = 1e-6
    return Delays(
        rtt_p50=percentile(both, 0.5) * in_ms,
        rtt_p99=percentile(both, 0.99) * in_ms,
        dv_up_mean=_mean_step(there) * in_ms,
        dv_down_mean=_mean_step(back) * in_ms,
        dv_up_p99=(percentile(there, 0.99) - min(there)) * in_ms,
        dv_down_p99=(percentile(back, 0.99) - min(back)) * in_ms,
    )


def round_trips(up: Iterable[Hop], down: Iterable[Hop]) -> list[tuple[Hop, Hop]]:
    """Each number's way there and the way back of its first answer, in the order of sending.

    A reflector answers in the order of arrival, so the k-th answer to a number belongs to its k-th arrival.
    """
    arrivals: dict[int, list[Hop]] = defaultdict(list)
    answers: dict[int, list[Hop]] = defaultdict(list)
    for hop in sorted(up, key=lambda hop: hop.t_out_ns):
        if hop.t_out_ns:
            arrivals[hop.number].append(hop)
    for hop in sorted(down, key=lambda hop: (hop.number, hop.copy)):
        if not hop.copy:
            answers[hop.echo].append(hop)
    trips = []
    for number in sorted(answers):
        back = [
            (answer.t_out_ns, out, answer)
            for out, answer in zip(arrivals[number], answers[number], strict=False)
            if answer.t_out_ns
        ]
        if back:
            trips.append(min(back)[1:])
    return trips


def overtaken(hops: Iterable[Hop]) -> list[Hop]:
    """The packets that are reordered in the sense of RFC 4737."""
    late, expected = [], -1
    seen: set[int] = set()
    for hop in sorted((hop for hop in hops if hop.t_out_ns), key=lambda hop: hop.t_out_ns):
        if hop.number in seen:
            continue
        seen.add(hop.number)
        if hop.number < expected:
            late.append(hop)
        else:
            expected = hop.number + 1
    return late


def percentile(values: Sequence[float], share: float) -> float:
    """Linear between the closest ranks."""
    ordered = sorted(values)
    at = (len(ordered) - 1) * share
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _took(hop: Hop) -> int:
    return hop.t_out_ns - hop.t_in_ns


def _window(up: Iterable[Hop], sent: int) -> set[int]:
    return set(sorted({hop.number for hop in up})[:sent])


def _lost(hops: Iterable[Hop]) -> int:
    return sum(not hop.copy and not hop.t_out_ns for hop in hops)


def _copies(hops: Iterable[Hop]) -> int:
    return sum(hop.copy and hop.t_out_ns > 0 for hop in hops)


def _mean_step(values: Sequence[int]) -> float:
    return sum(abs(b - a) for a, b in pairwise(values)) / (len(values) - 1)
