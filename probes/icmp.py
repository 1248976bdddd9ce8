"""Echo over ICMP and ICMPv6: a pure codec (RFC 792, RFC 4443 section 4), and one socket that asks many targets.

Unprivileged datagram sockets are used where the system allows them (net.ipv4.ping_group_range), else raw sockets
(CAP_NET_RAW). An answer counts only from the address asked, with our identifier, sequence and token: nobody off the
path can forge one. Losses are not waited for: a request is written to the `Tally` of its window, an answer is added
to the same, and three seconds after the window the tally says all there is to say.
"""

from __future__ import annotations

import array
import asyncio
import errno
import secrets
import socket
import struct
import time
from contextlib import suppress
from typing import NamedTuple, Self

from probes.clock import Clock
from probes.config import Line
from probes.lines import FAMILIES, SocketAddress, bind_to
from probes.probe import ProbeFailure

LOST_AFTER_NS = 3_000_000_000
"""An answer later than 3 s is a loss, as on the link."""

ECHO_REPLY, ECHO_REQUEST = 0, 8
ECHO6_REQUEST, ECHO6_REPLY = 128, 129
TOKEN_BYTES = 8
PAYLOAD_BYTES = 32

_HEAD = struct.Struct("!BBHHH")
"""type, code, checksum, identifier, sequence (RFC 792 page 14; RFC 4443 section 4.1)."""
_TIMESPEC = struct.Struct("@qq")
_UINT32 = struct.Struct("@I")

# Python has no names for these (asm-generic/socket.h, linux/icmp.h, linux/icmpv6.h).
SO_TIMESTAMPNS = 35
SO_RXQ_OVFL = 40
SOL_RAW = 255
ICMP_FILTER = 1
ICMP6_FILTER = 1

RECEIVE_BUFFER_BYTES = 1 << 20
"""Answers of a second from a few thousand routers: a full buffer would look like their loss."""
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_UINT32.size)
READ_AT_ONCE = 64
UNROUTABLE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.ENODEV))

NO_PERMISSION = (
    "This process may not send ICMP: its group is not in net.ipv4.ping_group_range and it lacks CAP_NET_RAW. "
    'Run `sysctl -w net.ipv4.ping_group_range="0 2147483647"`, or give the service AmbientCapabilities=CAP_NET_RAW.'
)


class Echo(NamedTuple):
    """An echo request or answer."""

    type: int
    id: int
    seq: int
    payload: bytes


# --- the codec ------------------------------------------------------------------------------------------------------


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071): ones' complement of the ones' complement sum of 16-bit words."""
    words = array.array("H", octets + b"\0" * (len(octets) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return socket.htons(~total & 0xFFFF)


def encode_request(version: int, id: int, seq: int, payload: bytes) -> bytes:
    """An echo request. ICMPv6 leaves the checksum, over a pseudo-header, to the kernel (RFC 3542 section 3.1)."""
    if version == 6:
        return _HEAD.pack(ECHO6_REQUEST, 0, 0, id, seq) + payload
    bare = _HEAD.pack(ECHO_REQUEST, 0, 0, id, seq) + payload
    return _HEAD.pack(ECHO_REQUEST, 0, checksum(bare), id, seq) + payload


def decode_reply(version: int, packet: bytes) -> Echo | None:
    """The echo reply in an ICMP message, or None where it is something else, cut short or (IPv4) damaged."""
    if len(packet) < _HEAD.size:
        return None
    kind, code, _, id, seq = _HEAD.unpack_from(packet)
    if kind != (ECHO_REPLY if version == 4 else ECHO6_REPLY) or code != 0:
        return None
    if version == 4 and checksum(packet) != 0:
        return None
    return Echo(kind, id, seq, packet[_HEAD.size :])


def without_ip_header(packet: bytes) -> bytes:
    """What follows the IPv4 header, which raw sockets deliver too (RFC 791 section 3.1: IHL counts words)."""
    return packet[(packet[0] & 0x0F) * 4 :] if packet else b""


# --- what became of the requests ------------------------------------------------------------------------------------


class Tally:
    """The requests of one target in one window, and the answers that came within 3 s."""

    __slots__ = ("blurred", "rtt_ns", "sent", "unsent_errno")

    def __init__(self) -> None:
        self.sent = 0
        self.rtt_ns: list[int] = []
        self.unsent_errno = 0
        """Why the last request that did not leave did not; 0 where all left."""
        self.blurred = False
        """Our own socket dropped answers meanwhile: missing ones say nothing of the target."""

    @property
    def lost(self) -> int:
        return self.sent - len(self.rtt_ns)

    @property
    def is_unroutable(self) -> bool:
        """Whether nothing left because there is no way to the target."""
        return self.sent == 0 and self.unsent_errno in UNROUTABLE


class Waiting(NamedTuple):
    """A request under way."""

    host: str
    sent_ns: int
    tally: Tally


def open_socket(version: int, line: Line | None = None) -> socket.socket:
    """A non-blocking ICMP socket for IPv4 or IPv6, bound to the line's interface and source address if it has them.

    Raises:
        ProbeFailure: `no_permission`, `source_missing`.
    """
    sock = _allowed(FAMILIES[version], _PROTOCOLS[version])
    try:
        _prepare(sock, version)
        bind_to(sock, line or Line())
    except BaseException:
        sock.close()
        raise
    return sock


_PROTOCOLS = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}


def _allowed(family: socket.AddressFamily, protocol: int) -> socket.socket:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        with suppress(PermissionError):
            return socket.socket(family, kind, protocol)
    raise ProbeFailure("no_permission", NO_PERMISSION)


def _prepare(sock: socket.socket, version: int) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if sock.type == socket.SOCK_RAW:  # a raw socket would wake us for every ICMP message of the machine
        if version == 4:
            sock.setsockopt(SOL_RAW, ICMP_FILTER, _UINT32.pack(~(1 << ECHO_REPLY) & 0xFFFF_FFFF))
        else:
            blocked = [0xFFFF_FFFF] * 8
            blocked[ECHO6_REPLY >> 5] &= ~(1 << (ECHO6_REPLY & 31))
            sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *blocked))


# --- the client -----------------------------------------------------------------------------------------------------


class EchoClient:
    """One ICMP socket that asks any number of targets of one IP version, in the running event loop."""

    def __init__(self, version: int, sock: socket.socket, clock: Clock) -> None:
        self.version = version
        self.own_drops = 0
        """Answers that our own socket had no room for, since it was opened."""
        self._sock = sock
        self._clock = clock
        self._raw = sock.type == socket.SOCK_RAW
        self._id = secrets.randbits(16)
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._payload = self._token.ljust(PAYLOAD_BYTES, b"\0")
        self._seq = secrets.randbits(16)
        self._waiting: dict[int, Waiting] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    @classmethod
    def open(cls, version: int, clock: Clock, line: Line | None = None) -> Self:
        """A client on a socket of its own.

        Raises:
            ProbeFailure: `no_permission`, `source_missing`.
        """
        return cls(version, open_socket(version, line), clock)

    @property
    def is_raw(self) -> bool:
        return self._raw

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def send(self, address: SocketAddress, tally: Tally) -> None:
        """Ask the target once; `address` is numeric. A full queue of our own counts as nothing sent."""
        seq = self._seq = self._seq + 1 & 0xFFFF
        packet = encode_request(self.version, self._id, seq, self._payload)
        now_ns = self._clock.monotonic_ns()
        try:
            self._sock.sendto(packet, address)
        except OSError as error:
            tally.unsent_errno = error.errno or 0
            return
        tally.sent += 1
        self._forget_lost(now_ns)
        self._waiting[seq] = Waiting(address[0].partition("%")[0], now_ns, tally)

    def _forget_lost(self, now_ns: int) -> None:
        """What waits is in the order of sending: the lost are in front, and leave as fast as new ones come."""
        for _ in range(2):
            oldest = next(iter(self._waiting), None)
            if oldest is None or now_ns - self._waiting[oldest].sent_ns <= LOST_AFTER_NS:
                return
            del self._waiting[oldest]

    def _read(self) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                packet, ancillary, _, source = self._sock.recvmsg(2048, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error queued for the socket: its loss is counted by silence
                continue
            self._take(packet, source[0].partition("%")[0], self._arrived_ns(ancillary))

    def _arrived_ns(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        """When the packet arrived, on the monotonic clock: the kernel's wall stamp only tells how long it lay.

        So neither a busy machine nor a step of the wall clock gets into the figure.
        """
        now_ns = self._clock.monotonic_ns()
        for _, kind, value in ancillary:
            if kind == SO_RXQ_OVFL:
                self._note_drops(_UINT32.unpack_from(value)[0])
            elif kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                lay_ns = time.time_ns() - seconds * 1_000_000_000 - nanoseconds
                if 0 <= lay_ns < LOST_AFTER_NS:
                    now_ns -= lay_ns
        return now_ns

    def _note_drops(self, drops: int) -> None:
        if drops > self.own_drops:
            self.own_drops = drops
            for waiting in self._waiting.values():
                waiting.tally.blurred = True

    def _take(self, packet: bytes, host: str, arrived_ns: int) -> None:
        echo = decode_reply(self.version, without_ip_header(packet) if self._raw and self.version == 4 else packet)
        if echo is None or (self._raw and echo.id != self._id) or not echo.payload.startswith(self._token):
            return
        waiting = self._waiting.get(echo.seq)
        if waiting is None or waiting.host != host:
            return
        del self._waiting[echo.seq]  # a second answer to it is a duplicate
        rtt_ns = arrived_ns - waiting.sent_ns
        if rtt_ns < 0:  # the wall clock stepped between the stamp and now
            rtt_ns = self._clock.monotonic_ns() - waiting.sent_ns
        if rtt_ns <= LOST_AFTER_NS:
            waiting.tally.rtt_ns.append(rtt_ns)
