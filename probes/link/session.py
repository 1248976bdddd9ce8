"""A Session-Sender of RFC 8762: one socket, its packets and answers, cut into windows that become figures."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import NamedTuple

from probes.figures.sequence import unwrapped
from probes.link.channel import Arrival, Channel
from probes.link.measure import AF41, EF, LOST_AFTER_NS, Answer, Measured, Memory, Sent, Window, measure
from probes.link.packet import (
    AUTH_BYTES,
    AUTH_REPLY_HEAD,
    HMAC_BYTES,
    OPEN_BYTES,
    OPEN_REPLY_HEAD,
    OPEN_TTL_AT,
    TLV_HEAD,
    TWAMP_REPLY_BYTES,
    ClassOfService,
    Request,
    Tlv,
    TlvType,
    class_of_service_in,
    class_of_service_value,
    encode_request,
    error_estimate,
    is_sealed_by,
    ntp_from_unix_ns,
    request_into,
    tlvs_are_sealed_by,
    unix_ns_from_stamp,
)
from probes.timex import clock_error_s

SECOND_NS = 1_000_000_000
PROMPT_NS = SECOND_NS
"""An answer not here after this makes us ask whose fault it may be; it may still come in time."""
COPY_NS = SECOND_NS // 2
"""A copy of an answer comes close behind it."""
SKIP = 8
"""Numbers left out, once, to tell a stateful reflector from a stateless one; more than duplicates could make up for."""
STAMP_SLACK_NS = 1_000_000


class Stream(NamedTuple):
    """What is sent: `size` and `large_size` are UDP payloads in bytes; one packet a second is large (0: none)."""

    name: str
    pps: int
    size: int
    large_size: int = 0

    @property
    def period_ns(self) -> int:
        return SECOND_NS // self.pps


ALWAYS = Stream("always", 10, OPEN_BYTES, 1200)
BURST = Stream("burst", 50, 200)


class Closed(NamedTuple):
    """A window whose every packet is answered or lost: when it began (wall ms), and what it came to."""

    at_ms: int
    seconds: float
    stream: Stream
    agenda: str
    measured: Measured


class _Packet:
    """A packet sent. `t1_wire` is the stamp it carried: an answer must echo it. `t1_ns` is steady time."""

    __slots__ = ("dscp", "kernel", "size", "t1_ns", "t1_wire")

    def __init__(self, t1_wire: int, t1_ns: int, size: int, dscp: int) -> None:
        self.t1_wire, self.t1_ns, self.kernel, self.size, self.dscp = t1_wire, t1_ns, False, size, dscp


class _Open:
    """A window not yet closed. `end` is the first number after it, once it has ended."""

    __slots__ = ("agenda", "at_ms", "clock_error_s", "end", "end_ns", "error", "first", "start_ns", "steps", "stream")

    def __init__(self, first: int, stream: Stream, at_ms: int, start_ns: int, end_ns: int, agenda: str) -> None:
        self.first, self.stream, self.at_ms, self.start_ns, self.end_ns = first, stream, at_ms, start_ns, end_ns
        self.agenda = agenda
        self.end: int | None = None
        self.steps = 0
        self.clock_error_s = clock_error_s()
        self.error = error_estimate(self.clock_error_s)


class Session:
    """Sends by `send`, hears by `hear`, and is cut by `begin_window` and `close_due`.

    The kernel stamps what comes, so it may wait at the socket: `hear` before each `send` is soon enough.
    """

    def __init__(self, channel: Channel, ssid: int, key: bytes | None, dscp: int, random: Random) -> None:
        self.channel = channel
        self._key, self._ssid, self._dscp = key, ssid, dscp
        self._steady = channel.steady
        self._next = 0
        self._packets: dict[int, _Packet] = {}
        self._by_ticket: dict[int, _Packet] = {}
        self._answers: list[Answer] = []
        self._answered: set[int] = set()
        self._windows: deque[_Open] = deque()
        self._memory = Memory()
        self._templates: dict[tuple[int, int], bytearray] = {}
        self._large_place = random.randrange(ALWAYS.pps)
        self._awaited: deque[int] = deque()
        self._is_told = False
        """Whether a number was skipped, or an answer has shown that none need be."""
        self._foreign = 0
        self._foreign_kind = ""
        self._refusals = 0

    # --- windows ----------------------------------------------------------------------------------------------------

    def begin_window(self, stream: Stream, at_ms: int, seconds: float, agenda: str = "") -> None:
        """End the window under way and begin another."""
        self.end_window()
        now_ns = self._steady.now_ns()
        window = _Open(self._next, stream, at_ms, now_ns, now_ns + round(seconds * SECOND_NS), agenda)
        window.steps = self._steady.steps
        self._windows.append(window)

    def end_window(self) -> None:
        """What is sent from now on are guard packets, or the next window's."""
        if self._windows and self._windows[-1].end is None:
            self._windows[-1].end = self._next

    @property
    def stream(self) -> Stream:
        """What is being sent."""
        return self._windows[-1].stream if self._windows else ALWAYS

    @property
    def window_is_over(self) -> bool:
        return not self._windows or self._steady.now_ns() >= self._windows[-1].end_ns

    @property
    def all_are_answered(self) -> bool:
        """Whether nothing of the windows that have ended is waited for, not even a copy of the last answer."""
        if self._windows and self._steady.now_ns() < self._windows[-1].end_ns + COPY_NS:
            return False
        ends = [window.end for window in self._windows if window.end is not None]
        return not ends or all(sseq in self._answered for sseq in self._packets if sseq < max(ends))

    def close_due(self) -> list[Closed]:
        """The windows whose last packet is answered or lost by now."""
        closed = []
        now_ns = self._steady.now_ns()
        while self._windows and now_ns >= self._windows[0].end_ns + LOST_AFTER_NS:
            closed.append(self._close(self._windows.popleft()))
        return closed

    def close_all(self) -> list[Closed]:
        """The windows as they stand, without the packets that may still be answered."""
        self.end_window()
        long_ago_ns = self._steady.now_ns() - LOST_AFTER_NS
        undecided = [
            sseq for sseq, one in self._packets.items() if one.t1_ns > long_ago_ns and sseq not in self._answered
        ]
        end = min(undecided, default=self._next)
        closed = []
        while self._windows:
            window = self._windows.popleft()
            window.end = min(window.end or end, end)
            if window.end > window.first:
                window.end_ns = min(window.end_ns, self._steady.now_ns())
                closed.append(self._close(window))
        return closed

    def _close(self, window: _Open) -> Closed:
        if window.end is None:
            window.end = self._next
        seconds = (window.end_ns - window.start_ns) / SECOND_NS
        stood_still = window.steps == self._steady.steps
        figures, self._memory = measure(
            Window(
                [Sent(sseq, one.t1_ns, one.kernel, one.size, one.dscp) for sseq, one in self._packets.items()],
                self._answers,
                window.end,
                seconds,
                self._dscp,
                self.channel.new_drops(),
                self._steady.ahead_ns if stood_still else None,
                window.clock_error_s if stood_still else None,
                self.channel.refusals - self._refusals,
                self._foreign,
                self._foreign_kind,
                self._key is not None,
            ),
            self._memory,
        )
        figures.labels["mode"] = "auth" if self._key else "open"
        self._forget_before(window.end)
        return Closed(window.at_ms, seconds, window.stream, window.agenda, figures)

    def _forget_before(self, end: int) -> None:
        self._packets = {sseq: one for sseq, one in self._packets.items() if sseq >= end}
        self._answers = [answer for answer in self._answers if answer.sseq >= end]
        self._answered = {sseq for sseq in self._answered if sseq >= end}
        kept = set(map(id, self._packets.values()))
        self._by_ticket = {ticket: one for ticket, one in self._by_ticket.items() if id(one) in kept}
        self._refusals = self.channel.refusals
        self._foreign, self._foreign_kind = 0, ""

    # --- sending ----------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """One packet of the stream of the window under way.

        Raises:
            OSError: it did not leave.
        """
        window = self._windows[-1]
        self._skip_once()
        size, dscp, tos = self._next_kind(window.stream)
        packet = self._template(size, dscp)
        self._steady.has_stepped()
        now_ns = self._steady.now_ns()
        t1_wire = ntp_from_unix_ns(now_ns + self._steady.ahead_ns)
        request_into(packet, self._next & 0xFFFF_FFFF, t1_wire, window.error, self._key)
        ticket = self.channel.send(packet, tos)
        sent = _Packet(t1_wire, now_ns, len(packet), dscp)
        self._packets[self._next] = sent
        self._by_ticket[ticket] = sent
        if not self._is_told:
            self._awaited.append(self._next)
        self._next += 1

    @property
    def next_size(self) -> int:
        """Of the next packet."""
        return self._next_kind(self._windows[-1].stream)[0] if self._windows else 0

    def _next_kind(self, stream: Stream) -> tuple[int, int, int | None]:
        """Size, DSCP and TOS (None: the socket's own) of the next packet.

        Of ten large packets two ask how voice and video are treated: marked EF and AF41, there and back.
        """
        if not stream.large_size or self._next % stream.pps != self._large_place:
            return stream.size, self._dscp, None
        marked = {3: EF, 7: AF41}.get(self._next // stream.pps % 10)
        if marked is None:
            return stream.large_size, self._dscp, None
        return stream.large_size, marked, marked << 2

    def _template(self, size: int, dscp: int) -> bytearray:
        if (size, dscp) not in self._templates:
            self._templates[size, dscp] = _packet_of(size, dscp, self._ssid, self._key)
        return self._templates[size, dscp]

    def _skip_once(self) -> None:
        """Leave numbers out when an answer is missing and every answer so far bore the sender's own number.

        Both a stateless reflector and a stateful one that has missed nothing look like that; what comes after a gap
        tells them apart, and with it the direction of the loss.
        """
        if self._is_told:
            self._awaited.clear()
            return
        long_ago_ns = self._steady.now_ns() - PROMPT_NS
        while self._awaited:
            sent = self._packets.get(self._awaited[0])
            if sent is not None and sent.t1_ns > long_ago_ns:
                return
            if self._awaited.popleft() not in self._answered:
                self._next += SKIP
                self._is_told = True
                return

    # --- hearing ----------------------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take all stamps and answers that wait at the socket."""
        for ticket, at_ns in self.channel.stamps():
            sent = self._by_ticket.pop(ticket, None)
            if sent is not None and -STAMP_SLACK_NS < at_ns - sent.t1_ns < SECOND_NS:
                sent.t1_ns, sent.kernel = at_ns, True
        for arrival in self.channel.receive():
            self._take(arrival)

    def _take(self, arrival: Arrival) -> None:
        octets = arrival.octets
        key = self._key
        if key is None:
            if len(octets) < TWAMP_REPLY_BYTES:
                return self._refuse("they are too short")
            rseq, t3, error, _, t2, sseq, t1, _ = OPEN_REPLY_HEAD.unpack_from(octets)
            ttl = octets[OPEN_TTL_AT] if len(octets) > OPEN_TTL_AT else None
            base = OPEN_BYTES
        else:
            if not is_sealed_by(octets, key):
                return self._refuse("their HMAC is not of this device's key")
            rseq, t3, error, _, t2, sseq, t1, _, ttl = AUTH_REPLY_HEAD.unpack_from(octets)
            base = AUTH_BYTES
        sseq = unwrapped(sseq, self._next)
        sent = self._packets.get(sseq)
        if sent is None:
            return None if sseq < self._next else self._refuse("they answer packets that were never sent")
        if t1 != sent.t1_wire:
            swapped = t3 == sent.t1_wire
            return self._refuse("T1 and T3 are exchanged" if swapped else "they do not echo the stamp that was sent")
        seen_there = None
        if len(octets) > base and (key is None or tlvs_are_sealed_by(octets, len(octets), key)):
            seen_there = class_of_service_in(octets, base, len(octets))
        self._answers.append(
            Answer(
                sseq,
                rseq,
                unix_ns_from_stamp(t2, error),
                unix_ns_from_stamp(t3, error),
                arrival.at_ns,
                arrival.kernel,
                error,
                ttl,
                arrival.ttl,
                seen_there.received if seen_there else None,
                None if arrival.tos is None else arrival.tos >> 2,
            )
        )
        self._answered.add(sseq)
        self._is_told = self._is_told or rseq != sseq & 0xFFFF_FFFF
        return None

    def _refuse(self, why: str) -> None:
        self._foreign += 1
        self._foreign_kind = why


def _packet_of(size: int, dscp: int, ssid: int, key: bytes | None) -> bytearray:
    """A request of `size` octets, or of its base part where that is longer; a large one asks for class of service."""
    spare = size - (OPEN_BYTES if key is None else AUTH_BYTES)
    tlvs: tuple[Tlv, ...] = ()
    if spare >= 512:
        tlvs = (Tlv(TlvType.CLASS_OF_SERVICE, class_of_service_value(ClassOfService(dscp))),)
        spare -= TLV_HEAD.size + 4 + (0 if key is None else TLV_HEAD.size + HMAC_BYTES)
    if spare >= TLV_HEAD.size:
        tlvs = (*tlvs, Tlv(TlvType.EXTRA_PADDING, bytes(spare - TLV_HEAD.size)))
    return encode_request(Request(0, 0, 1, ssid, tlvs), key)
