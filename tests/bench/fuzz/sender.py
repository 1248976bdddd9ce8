"""The sender's receive path: any answers, at any moment, from a hub that lies. Whatever comes, a report can be made."""

from __future__ import annotations

from random import Random

from probes.link.channel import Arrival, SteadyTime
from probes.link.packet import AUTH_BYTES, OPEN_BYTES, OPEN_REPLY, seal, seal_tlvs
from probes.link.session import ALWAYS, BURST, Session
from probes.report import Report, fault_of
from tests.bench.fuzz.target import Broken, Script, Target

KEY = bytes(range(32))
WALL_NS = 1_795_468_800_000_000_000


class Clocks:
    """Both clocks, moved by the script."""

    def __init__(self) -> None:
        self.monotonic_ns = 1_000_000_000
        self.ahead_ns = WALL_NS

    def wall(self) -> int:
        return self.monotonic_ns + self.ahead_ns

    def monotonic(self) -> int:
        return self.monotonic_ns


class ScriptedChannel:
    """Takes what is sent, gives what the script says."""

    def __init__(self, clocks: Clocks) -> None:
        self.steady = SteadyTime(clocks.wall, clocks.monotonic)
        self.refusals = 0
        self.sent: list[bytes] = []
        self.arrivals: list[Arrival] = []
        self.kernel_stamps: list[tuple[int, int]] = []

    def send(self, packet: bytearray, tos: int | None = None) -> int:
        self.sent.append(bytes(packet))
        return len(self.sent) - 1

    def stamps(self) -> list[tuple[int, int]]:
        found, self.kernel_stamps = self.kernel_stamps, []
        return found

    def receive(self) -> list[Arrival]:
        found, self.arrivals = self.arrivals, []
        return found

    def new_drops(self) -> int:
        return 0


def one_input(data: bytes) -> None:
    script = Script(data)
    mode = script.number()
    key = KEY if mode & 1 else None
    clocks = Clocks()
    channel = ScriptedChannel(clocks)
    session = Session(channel, 7, key, 0, Random(mode))  # type: ignore[arg-type]
    session.begin_window(BURST if mode & 2 else ALWAYS, WALL_NS // 1_000_000, 10.0)
    while not script.is_over:
        match script.number() % 8:
            case 0 | 1 | 2:
                clocks.monotonic_ns += script.number() * 1_000_000
                session.send()
            case 3 | 4:
                channel.arrivals.append(_answer(script, channel, clocks, key))
                session.hear()
            case 5:
                clocks.monotonic_ns += script.number() * 100_000_000
                _check_closed(session)
            case 6:
                channel.kernel_stamps.append((script.number() % 64, clocks.monotonic_ns - script.number(3)))
                session.hear()
            case 7:
                clocks.ahead_ns += (script.number(2) - 32768) * 200_000_000
        if session.window_is_over:
            session.begin_window(ALWAYS, clocks.wall() // 1_000_000, 10.0)
    for closed in session.close_all():
        _check(closed.measured.values, closed.measured.labels, closed.measured.failure, closed.at_ms)


def _answer(script: Script, channel: ScriptedChannel, clocks: Clocks, key: bytes | None) -> Arrival:
    """An answer to one of the packets sent, bent as the script says; or any octets at all."""
    how, which, delay = script.number(), script.number(), script.number(3)
    if how & 1 or not channel.sent:
        octets = bytearray(script.piece(script.number() * 2))
    else:
        asked = channel.sent[-1 - which % len(channel.sent)]
        octets = _reply_to(asked, script, key)
    for _ in range(how >> 1 & 3):
        at = script.number(2)
        if at < len(octets):
            octets[at] = script.number()
    if key is not None and len(octets) >= AUTH_BYTES and not how & 8:
        seal(octets, key)
        seal_tlvs(octets, AUTH_BYTES, len(octets), key)
    ttl = None if how & 16 else script.number()
    tos = None if how & 32 else script.number()
    return Arrival(bytes(octets), clocks.monotonic_ns + delay, bool(how & 64), ttl, tos)


def _reply_to(asked: bytes, script: Script, key: bytes | None) -> bytearray:
    reply = bytearray(asked)
    t1_at = 4 if key is None else 16
    seq, t1, error = asked[:4], asked[t1_at : t1_at + 8], asked[t1_at + 8 : t1_at + 10]
    rseq, t3, t2, ttl = script.piece(4).ljust(4, b"\0"), script.piece(8), script.piece(8), script.number()
    t3, t2 = t3.ljust(8, b"\0"), t2.ljust(8, b"\0")
    if key is None:
        OPEN_REPLY.pack_into(
            reply, 0, int.from_bytes(rseq), int.from_bytes(t3), int.from_bytes(error), 7, int.from_bytes(t2),
            int.from_bytes(seq), int.from_bytes(t1), int.from_bytes(error), ttl,
        )  # fmt: skip
        return reply
    reply[0:4], reply[16:24], reply[32:40], reply[48:52] = rseq, t3, t2, seq
    reply[64:72], reply[72:74], reply[80] = t1, error, ttl
    return reply


def _check_closed(session: Session) -> None:
    for closed in session.close_due():
        _check(closed.measured.values, closed.measured.labels, closed.measured.failure, closed.at_ms)


def _check(values: dict[str, float], labels: dict[str, str], failure: object, at_ms: int) -> None:
    """What comes of a window can be sent: finite, few, named."""
    report = Report("link", at_ms, boot="9f", seq=1, target="hp", values=values, labels=labels, failure=failure)  # type: ignore[arg-type]
    fault = fault_of(report)
    if fault is not None:
        raise Broken(fault)
    for name in values:
        if name.endswith("_ratio") and not 0 <= values[name] <= 1:
            raise Broken(f"{name} is {values[name]}")


def seeds() -> list[bytes]:
    send = bytes((0, 100))
    good = bytes((3, 64, 0, 0, 0, 200)) + bytes(4) + b"\xee\x66\x00\x00\x00\x00\x00\x00" * 2 + bytes((60, 60, 0))
    bent = bytes((3, 2, 0, 0, 1, 0)) + bytes(20) + bytes((60, 0, 2, 9, 60, 0))
    noise = bytes((3, 1, 0, 0, 1, 0, OPEN_BYTES // 2)) + bytes(OPEN_BYTES)
    late = bytes((5, 255)) * 2
    step = bytes((7, 1, 0))
    run = send * 3 + good + send + bent + noise + good + step + send + late + send + good + late
    return [bytes([mode]) + run for mode in range(4)]


TARGET = Target(one_input, seeds, 0.5)
