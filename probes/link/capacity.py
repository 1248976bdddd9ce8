"""How fast the line is, and how much of it is free: trains back to back, then bursts at rising rates.

Only the kernel's receive stamps at both ends count: T2 for up, T4 for down. What the hub sends back it sends as it
got it, so down can only be seen as fast as up lets through: a down figure no slower than up is a lower bound.
The hub answers about 100 packets a second of each sender; this sends at most 80 on average, beside the 10 of the link.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from probes.figures.dispersion import (
    Bracket,
    Stamped,
    capacity_mbps,
    is_bucket_likely,
    is_rising,
    sent_mbps,
    train_mbps,
)
from probes.link.path_socket import Answer, PathSocket

TRAIN_IP_BYTES = 1500
SHORT, LONG = 20, 50
ROUNDS = 5
BURST, BURST_IP_BYTES = 60, 1228
BURSTS = 6
MORE_BURSTS = 4
"""For down, where it is narrower than up."""
MEAN_PPS = 80
SILENCE_S = 1.2
"""After the last answer; more than any train of 50 takes to drain through a line worth measuring, packet by packet."""
NEARLY_ALL = 0.9
AS_SENT_SHARE = 0.8
"""A rate this near to the one it was sent at says nothing of the line but that it is at least so fast."""
AS_ANSWERED_SHARE = 0.93
"""The same of down, where the hub's answers are spaced by the way up already."""
LEAST_MBPS, MOST_MBPS = 0.2, 100.0
"""Between these the pacing of this program holds its rate."""

MayGoOn = Callable[[], bool]
"""Asked before every train and burst: False when a meeting is near, and then nothing more is sent."""


class Flight(NamedTuple):
    """One train or burst: when its packets left, and what came back."""

    packets: int
    ip_bytes: int
    sent: list[Stamped]
    answers: list[Answer]

    @property
    def up_mbps(self) -> float | None:
        return train_mbps(sorted((each.seq, each.t2_ns) for each in self.answers), self.packets, self.ip_bytes)

    @property
    def down_mbps(self) -> float | None:
        """None from a reflector that answers shorter than it is asked: its train is another one."""
        if any(each.ip_bytes < self.ip_bytes for each in self.answers):
            return None
        return train_mbps(sorted((each.seq, each.t4_ns) for each in self.answers), self.packets, self.ip_bytes)

    @property
    def sent_down_mbps(self) -> float | None:
        """How fast the hub sent back a train, by its own stamps."""
        return train_mbps(sorted((each.seq, each.t3_ns) for each in self.answers), self.packets, self.ip_bytes)

    @property
    def sent_up_mbps(self) -> float:
        return sent_mbps(self.sent, self.ip_bytes)

    @property
    def answered_mbps(self) -> float:
        """How fast the hub sent back a burst."""
        return sent_mbps(sorted((each.seq, each.t3_ns) for each in self.answers), self.ip_bytes)

    @property
    def rises_up(self) -> bool:
        delays = [(each.seq, each.t2_ns - each.t1_ns) for each in sorted(self.answers)]
        return is_rising(delays, self.packets, self.sent[-1][1] - self.sent[0][1])

    @property
    def rises_down(self) -> bool:
        answers = sorted(self.answers)
        delays = [(each.seq, each.t4_ns - each.t3_ns) for each in answers]
        return is_rising(delays, self.packets, answers[-1].t3_ns - answers[0].t3_ns)


@dataclass(slots=True)
class Capacity:
    """What was found; None where it could not be."""

    up_mbps: float | None = None
    down_mbps: float | None = None
    free_up_mbps: float | None = None
    free_down_mbps: float | None = None
    at_least: list[str] = field(default_factory=list)
    """Which of these are lower bounds only."""
    token_bucket: list[str] = field(default_factory=list)
    """The directions in which one is suspected."""
    is_stopped: bool = False


def measure_capacity(path: PathSocket, may_go_on: MayGoOn, ip_bytes: int = TRAIN_IP_BYTES) -> Capacity:
    """Ten trains and ten to twenty bursts: some 15 s and 3 MB both ways together."""
    found = Capacity()
    trains = _fly_trains(path, may_go_on, ip_bytes)
    _judge_trains(found, trains)
    if found.up_mbps is not None:
        _ramp(found, path, may_go_on)
    if path.stop.is_set() or not may_go_on():
        found.is_stopped = True
    return found


# --- trains ---------------------------------------------------------------------------------------------------------


def _fly_trains(path: PathSocket, may_go_on: MayGoOn, ip_bytes: int) -> dict[int, list[Flight]]:
    trains: dict[int, list[Flight]] = {SHORT: [], LONG: []}
    for _ in range(ROUNDS):
        for count in (SHORT, LONG):
            if path.stop.is_set() or not may_go_on():
                return trains
            trains[count].append(_fly(path, count, ip_bytes, gap_ns=0))
    return trains


def _judge_trains(found: Capacity, trains: dict[int, list[Flight]]) -> None:
    up = {count: _median(each.up_mbps for each in flights) for count, flights in trains.items()}
    down = {count: _median(each.down_mbps for each in flights) for count, flights in trains.items()}
    sent_up = _median(each.sent_up_mbps for each in trains[LONG])
    sent_down = _median(each.sent_down_mbps for each in trains[LONG])
    found.up_mbps, found.down_mbps = up[LONG] or up[SHORT], down[LONG] or down[SHORT]
    for direction, rates, sent, share in (
        ("up", up, sent_up, AS_SENT_SHARE),
        ("down", down, sent_down, AS_ANSWERED_SHARE),
    ):
        long = rates[LONG]
        if long is not None and sent is not None and long > share * sent:
            found.at_least.append(f"capacity_{direction}")
        elif is_bucket_likely(rates[SHORT], long):
            found.token_bucket.append(direction)


def _median(rates: Iterable[float | None]) -> float | None:
    return capacity_mbps([rate for rate in rates if rate is not None])


# --- the ramp -------------------------------------------------------------------------------------------------------


def _ramp(found: Capacity, path: PathSocket, may_go_on: MayGoOn) -> None:
    """Halve the bracket of what is free up; the same bursts, slowed by up, tell of down; then down's own if need be."""
    assert found.up_mbps is not None
    top = min(found.up_mbps, MOST_MBPS)
    up, down = Bracket(0.0, top), Bracket(0.0, min(found.down_mbps or top, top))
    for number in range(BURSTS + MORE_BURSTS):
        of_down = number >= BURSTS
        if of_down and not down.is_wide:
            break
        flights = _fly_bursts(path, may_go_on, (down if of_down else up).middle_mbps, of_down)
        if not flights:
            return
        _judge_bursts(flights, up, down)
    found.free_up_mbps, found.free_down_mbps = up.middle_mbps, down.middle_mbps
    if up.low_mbps > NEARLY_ALL * top:
        found.at_least.append("available_up")
    if down.low_mbps > NEARLY_ALL * found.free_up_mbps:
        found.at_least.append("available_down")


def _fly_bursts(path: PathSocket, may_go_on: MayGoOn, mbps: float, of_down: bool) -> list[Flight]:
    """One burst, and where the delay rose a second: a stall of either end looks like a full line, but only once."""
    flights: list[Flight] = []
    for _ in range(2):
        if path.stop.is_set() or not may_go_on():
            return []
        gap_ns = int(BURST_IP_BYTES * 8_000 / max(LEAST_MBPS, mbps))
        flight = _fly(path, BURST, BURST_IP_BYTES, gap_ns)
        if not flight.answers:
            return []
        flights.append(flight)
        if not (flight.rises_down if of_down else flight.rises_up):
            break
    return flights


def _judge_bursts(flights: Sequence[Flight], up: Bracket, down: Bracket) -> None:
    """One burst without a rise is proof that the rate is free; only two with one are proof that it is not."""
    last = flights[-1]
    for bracket, rate, rises in (
        (up, last.sent_up_mbps, [each.rises_up for each in flights]),
        (down, last.answered_mbps, [each.rises_down for each in flights]),
    ):
        if not all(rises):
            bracket.tell(rate, filled=False)
        elif len(rises) > 1:
            bracket.tell(rate, filled=True)


# --- sending --------------------------------------------------------------------------------------------------------


def _fly(path: PathSocket, count: int, ip_bytes: int, gap_ns: int) -> Flight:
    """Send `count` packets, `gap_ns` apart or back to back; collect; then rest as the hub's rate asks for."""
    started_ns = due_ns = path.now_ns()
    sent: list[Stamped] = []
    for _ in range(count):
        if gap_ns:
            path.wait_until(due_ns)
            due_ns = max(due_ns + gap_ns, path.now_ns() - gap_ns)  # a late packet is made up for, a late burst is not
        sent.append((path.send(ip_bytes), path.now_ns()))
    answers = path.collect(count, SILENCE_S)
    path.pause(count / MEAN_PPS - (path.now_ns() - started_ns) / 1e9)
    return Flight(count, ip_bytes, sent, answers)
