"""A socket of its own for measurements of the path: STAMP packets of chosen IP size and TTL, answers, ICMP errors.

It blocks, and lives in a thread of its own: trains and ramps need their gaps in microseconds, which an event loop
cannot promise, and the stamps that count are the kernel's. Answers are as long as the requests, so what is found of
size or rate is that of the narrower direction unless the reflector's own stamp tells them apart.
"""

from __future__ import annotations

import errno
import secrets
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from probes.clock import Clock
from probes.config import HubTarget, Line
from probes.lines import FAMILIES, SocketAddress, bind_to
from probes.link.packet import (
    AUTH_BYTES,
    OPEN_BYTES,
    TLV_HEAD,
    PacketError,
    Request,
    Tlv,
    TlvType,
    decode_reply,
    encode_request,
    ntp_from_unix_ns,
    request_into,
    unix_ns_from_stamp,
)
from probes.probe import ProbeFailure

# Python has no names for these (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/errqueue.h).
SO_TIMESTAMPNS = 35
PMTUDISC_DO, PMTUDISC_PROBE = 2, 3
ORIGIN_LOCAL, ORIGIN_ICMP, ORIGIN_ICMP6 = 1, 2, 3

_EXTENDED_ERROR = struct.Struct("@IBBBxII")
"""errno, origin, type, code, info, data of struct sock_extended_err; the offender's address follows."""
_TIMESPEC = struct.Struct("@qq")
_INT = struct.Struct("@i")
_IP_OVERHEAD = {4: 20 + 8, 6: 40 + 8}
_SLICE_S = 0.5
_SPIN_NS = 150_000
"""What a sleep may overshoot by: so much of every wait is spent looking at the clock."""
ANCILLARY_BYTES = 256


class _Options(NamedTuple):
    """Numbers of the same options in both IP versions."""

    level: int
    mtu_discover: int
    mtu: int
    receive_errors: int
    receive_fragment_size: int
    hops: int


_OPTIONS = {
    4: _Options(socket.IPPROTO_IP, 10, 14, 11, 25, socket.IP_TTL),
    6: _Options(socket.IPPROTO_IPV6, 23, 24, 25, 77, socket.IPV6_UNICAST_HOPS),
}


class Answer(NamedTuple):
    """An answer to one of our packets; nanoseconds of each clock since 1970."""

    seq: int
    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    ip_bytes: int
    fragment_bytes: int
    """IP length of its largest fragment; 0 where it came whole."""


class PathError(NamedTuple):
    """What a router, or our own kernel (no offender), said of one of our packets."""

    errno: int
    origin: int
    type: int
    code: int
    mtu: int
    offender: str | None
    seq: int | None
    """Of the packet complained of, where enough of it was quoted."""
    arrived_ns: int


class PathSocket:
    """Use as a context manager. `stop` ends every wait early; the sender then sees no answer.

    Raises:
        ProbeFailure: `source_missing`, `no_route`.
    """

    def __init__(
        self,
        version: int,
        address: SocketAddress,
        target: HubTarget,
        line: Line,
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        self.version = version
        self.stop = stop
        self.spent_bytes = 0
        """IP octets sent and received."""
        self._clock = clock
        self._key = bytes.fromhex(target.stamp_key) if target.stamp_key else None
        self._ssid = secrets.randbelow(0xFFFF) + 1 if target.ssid is None else target.ssid
        self._options = _OPTIONS[version]
        self._sent: dict[int, int] = {}
        self._seq = 0
        self._packets: dict[int, bytearray] = {}
        self._sock = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        try:
            self._prepare(line, address)
        except BaseException:
            self._sock.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)

    def __enter__(self) -> PathSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def _prepare(self, line: Line, address: SocketAddress) -> None:
        sock, options = self._sock, self._options
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setsockopt(options.level, options.receive_errors, 1)
        sock.setsockopt(options.level, options.receive_fragment_size, 1)
        bind_to(sock, line)
        try:
            sock.connect(address)
        except OSError as error:
            text = f"There is no way from the line {line.id} to {address[0]}: {error.strerror}."
            raise ProbeFailure("no_route", text) from error

    @property
    def smallest(self) -> int:
        """IP length of the shortest packet that can be sent with padding."""
        return _IP_OVERHEAD[self.version] + (AUTH_BYTES if self._key else OPEN_BYTES)

    @property
    def mtu(self) -> int:
        """What the kernel holds the path's MTU to be: the port's own until ICMP told otherwise."""
        return self._sock.getsockopt(self._options.level, self._options.mtu)

    def discover(self, how: int) -> None:
        """PMTUDISC_DO obeys the kernel's path MTU, PMTUDISC_PROBE sends past it; both forbid fragments."""
        self._sock.setsockopt(self._options.level, self._options.mtu_discover, how)

    def limit_hops(self, hops: int) -> None:
        """Send what follows with this TTL."""
        self._sock.setsockopt(self._options.level, self._options.hops, hops)

    def send(self, ip_bytes: int) -> int:
        """Send one packet of so many IP octets; returns its sequence.

        Raises:
            OSError: EMSGSIZE where the packet cannot leave whole; an ICMP error that came meanwhile is not raised.
        """
        packet = self._packet(ip_bytes)
        seq = self._seq
        t1 = ntp_from_unix_ns(self._clock.wall_ns())
        request_into(packet, seq, t1, 1, self._key)
        self._sent[seq] = t1
        self._seq += 1
        try:
            self._sock.send(packet)
        except OSError as error:
            if error.errno == errno.EMSGSIZE and self._is_too_long(ip_bytes):
                raise
            with suppress(OSError):  # a pending ICMP error is told once, in place of the packet
                self._sock.send(packet)
        self.spent_bytes += ip_bytes
        return seq

    def _is_too_long(self, ip_bytes: int) -> bool:
        """Whether EMSGSIZE is of this packet, or the echo of an earlier one."""
        return ip_bytes > self.mtu

    def _packet(self, ip_bytes: int) -> bytearray:
        if ip_bytes not in self._packets:
            padding = ip_bytes - self.smallest - TLV_HEAD.size
            tlvs = (Tlv(TlvType.EXTRA_PADDING, bytes(padding)),) if padding >= 0 else ()
            self._packets[ip_bytes] = encode_request(Request(0, 0, 1, self._ssid, tlvs), self._key)
        return self._packets[ip_bytes]

    # --- waiting ----------------------------------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        """Let time pass, unless stopped."""
        self.stop.wait(max(0.0, seconds))

    def wait_until(self, due_ns: int) -> None:
        """Return at `due_ns` of the monotonic clock, to within microseconds."""
        left_ns = due_ns - self._clock.monotonic_ns()
        if left_ns > _SPIN_NS:
            self.stop.wait((left_ns - _SPIN_NS) / 1e9)
        while self._clock.monotonic_ns() < due_ns and not self.stop.is_set():
            pass

    def now_ns(self) -> int:
        return self._clock.monotonic_ns()

    def is_readable(self, seconds: float) -> bool:
        """Whether an answer or an error arrives within so many seconds; False at once when stopped."""
        give_up_ns = self._clock.monotonic_ns() + int(seconds * 1e9)
        while not self.stop.is_set():
            left_s = (give_up_ns - self._clock.monotonic_ns()) / 1e9
            if self._poll.poll(max(0.0, min(left_s, _SLICE_S)) * 1000):
                return True
            if left_s <= 0:
                return False
        return False

    def answers(self) -> Iterator[Answer]:
        """The answers that are here now, true ones only, each once."""
        while True:
            try:
                packet, ancillary, _, _ = self._sock.recvmsg(65535, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error is told here once; `errors` has the whole of it
                if not self._poll.poll(0):
                    return
                continue
            answer = self._read(packet, ancillary)
            if answer is not None:
                yield answer

    def collect(self, count: int, silence_s: float) -> list[Answer]:
        """Up to `count` answers; fewer once nothing has come for so long."""
        found: list[Answer] = []
        while len(found) < count and self.is_readable(silence_s):
            found += self.answers()
            for _ in self.errors():
                pass
        return found

    def _read(self, packet: bytes, ancillary: list[tuple[int, int, bytes]]) -> Answer | None:
        try:
            reply = decode_reply(packet, self._key)
        except PacketError:
            return None
        if self._sent.get(reply.sender_seq) != reply.t1:
            return None
        del self._sent[reply.sender_seq]
        t4_ns, fragment_bytes = self._clock.wall_ns(), 0
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                t4_ns = seconds * 1_000_000_000 + nanoseconds
            elif level == self._options.level and kind == self._options.receive_fragment_size:
                fragment_bytes = _INT.unpack_from(value)[0]
        ip_bytes = len(packet) + _IP_OVERHEAD[self.version]
        self.spent_bytes += ip_bytes
        stamps = [unix_ns_from_stamp(each, 1) for each in (reply.t1, reply.t2, reply.t3)]
        return Answer(reply.sender_seq, stamps[0], stamps[1], stamps[2], t4_ns, ip_bytes, fragment_bytes)

    # --- errors -----------------------------------------------------------------------------------------------------

    def errors(self) -> Iterator[PathError]:
        """What was said of our packets since the last look."""
        while True:
            try:
                quoted, ancillary, _, _ = self._sock.recvmsg(2048, 1024, socket.MSG_ERRQUEUE)
            except OSError:
                return
            arrived_ns = self._clock.wall_ns()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                    arrived_ns = seconds * 1_000_000_000 + nanoseconds
            for level, kind, value in ancillary:
                if level == self._options.level and kind == self._options.receive_errors:
                    yield _error(value, quoted, arrived_ns)

    def t1_ns_of(self, seq: int) -> int | None:
        """When the packet was sent, if it is still unanswered."""
        t1 = self._sent.get(seq)
        return None if t1 is None else unix_ns_from_stamp(t1, 1)


def _error(value: bytes, quoted: bytes, arrived_ns: int) -> PathError:
    number, origin, kind, code, info, _ = _EXTENDED_ERROR.unpack_from(value)
    offender = _offender(value[_EXTENDED_ERROR.size :]) if origin in (ORIGIN_ICMP, ORIGIN_ICMP6) else None
    seq = int.from_bytes(quoted[:4]) if len(quoted) >= 4 else None
    mtu = info if number == errno.EMSGSIZE else 0
    return PathError(number, origin, kind, code, mtu, offender, seq, arrived_ns)


def _offender(address: bytes) -> str | None:
    """The address in a sockaddr_in or sockaddr_in6."""
    if len(address) < 8:
        return None
    family = struct.unpack_from("@H", address)[0]
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6 and len(address) >= 24:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return None
