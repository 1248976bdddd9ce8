"""A measuring socket: sends and receives with the kernel's stamps, both ways, on a time line that never steps.

The kernel stamps by CLOCK_REALTIME, which may be set at any moment. Every stamp is therefore moved to the monotonic
clock by the difference of the two, read anew at each use; where that difference has just changed, the stamps read with
it are of no use for delays and are left out.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from struct import Struct, unpack
from typing import NamedTuple

from probes.config import Line
from probes.lines import FAMILIES, SocketAddress, bind_to
from probes.probe import ProbeFailure

# Linux constants that Python 3.11 has no names for (asm-generic/socket.h, linux/in.h, linux/in6.h, net_tstamp.h).
SO_RCVBUFFORCE = 33
SO_TIMESTAMPING = 37
SO_MEMINFO = 55
MSG_ERRQUEUE = 0x2000
IP_MTU_DISCOVER = 10
IP_RECVTTL = 12
IPV6_MTU_DISCOVER = 23
PMTUDISC_DONT = 0
_MEMINFO = Struct("=9I")
"""The last is the count of packets the kernel dropped at this socket."""

_TX_SOFTWARE, _RX_SOFTWARE, _SOFTWARE, _OPT_ID, _OPT_TSONLY = 1 << 1, 1 << 3, 1 << 4, 1 << 7, 1 << 11
STAMPING = _TX_SOFTWARE | _RX_SOFTWARE | _SOFTWARE | _OPT_ID | _OPT_TSONLY

_TIMESTAMPS = Struct("@qq32x")
"""struct scm_timestamping: the software stamp, then two that hardware would fill."""
_EXTENDED_ERROR = Struct("=IBBBBII")
"""struct sock_extended_err: errno, origin, type, code, pad, info, data."""
_ORIGIN_TIMESTAMPING = 4

RECEIVE_BUFFER_BYTES = 1 << 20
READ_AT_ONCE = 64
MAX_TTL = 255
"""A sender's TTL, so that what is left of it counts the hops (RFC 8762 section 4.2.1, RFC 5357 section 4.2.1)."""
STEP_NS = 200_000
"""Reading two clocks one after the other is not off by so much unless the thread was interrupted in between."""
GONE = {
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETDOWN: "source_missing",
    errno.ENODEV: "source_missing",
    errno.ENXIO: "source_missing",
    errno.EADDRNOTAVAIL: "source_missing",
    errno.EINVAL: "source_missing",  # the source address of a connected socket has left its interface
    errno.EPERM: "send_refused",
    errno.EACCES: "send_refused",
}
"""Errors of sending that last, and the failure they are."""


class Arrival(NamedTuple):
    """A packet as it came. `at_ns` is monotonic: the kernel's own stamp, or (`kernel` False) when it was read."""

    octets: bytes
    at_ns: int
    kernel: bool
    ttl: int | None
    tos: int | None


class SteadyTime:
    """Moves wall-clock stamps to the monotonic clock, and notices when the wall clock was set."""

    __slots__ = ("_monotonic", "_wall", "ahead_ns", "steps")

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self.steps = 0
        """How often the wall clock was set since the start."""
        self.ahead_ns = self._difference()
        """Wall clock minus monotonic clock."""

    def has_stepped(self) -> bool:
        """Whether the wall clock was set since the last call."""
        ahead = self._wall() - self._monotonic()
        if abs(ahead - self.ahead_ns) < STEP_NS:
            return False
        ahead = self._difference()
        if abs(ahead - self.ahead_ns) < STEP_NS:
            return False
        self.ahead_ns = ahead
        self.steps += 1
        return True

    def now_ns(self) -> int:
        """Monotonic."""
        return self._monotonic()

    def _difference(self) -> int:
        """The reading least disturbed by interruptions: of several, the one that took least."""
        readings = []
        for _ in range(5):
            before = self._monotonic()
            wall = self._wall()
            after = self._monotonic()
            readings.append((after - before, wall - (before + after) // 2))
        return min(readings)[1]


class Channel:
    """One connected UDP socket by one line to one reflector."""

    def __init__(self, sock: socket.socket, version: int, steady: SteadyTime | None = None) -> None:
        self._sock = sock
        self._v6 = version == 6
        self.steady = steady or SteadyTime()
        self.refusals = 0
        """How often the far host said that nobody listens there (ICMP port unreachable)."""
        self.is_stamped = False
        """Whether the kernel stamps what comes and goes; if not, answers must be read as soon as they come."""
        self._ticket = self._first_ticket = self._unstamped = 0
        self._dropped = 0
        self._stamp_sends()

    @classmethod
    def open(cls, line: Line, version: int, address: SocketAddress) -> Channel:
        """A socket bound to the line and connected to the reflector.

        Raises:
            ProbeFailure: `source_missing`, `no_permission`, `no_route`, `send_refused`.
        """
        sock = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            _prepare(sock, version, line.dscp << 2)
            bind_to(sock, line)
            sock.connect(address)
        except OSError as error:
            sock.close()
            raise failure_of(error, f"the line {line.id} to {address[0]}") from error
        except ProbeFailure:
            sock.close()
            raise
        return cls(sock, version)

    def close(self) -> None:
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def name(self) -> tuple[str, int]:
        """Own address and port."""
        name = self._sock.getsockname()
        return str(name[0]), int(name[1])

    def send(self, packet: bytearray, tos: int | None = None) -> int:
        """Send one packet; the ticket under which `stamps` will give the time it left.

        `tos` overrides the line's own for this packet.

        Raises:
            OSError: it did not leave.
        """
        try:
            self._send(packet, tos)
        except ConnectionRefusedError:  # an ICMP error of an earlier packet; reading it has cleared it
            self.refusals += 1
            self._send(packet, tos)
        except OSError:
            self._stamp_sends()  # whether a failed send has used up a stamp number differs from kernel to kernel
            raise
        ticket = self._ticket
        self._ticket += 1
        self._unstamped += self.is_stamped
        return ticket

    def stamps(self) -> list[tuple[int, int]]:
        """(ticket, time it left, monotonic) of packets sent; a software stamp mostly waits when `send` returns."""
        stamps = []
        while self._unstamped > 0 and (stamp := self._next_stamp()) is not None:
            stamps.append(stamp)
            self._unstamped -= 1
        return stamps

    def _send(self, packet: bytearray, tos: int | None) -> None:
        if tos is None:
            self._sock.send(packet)
        elif self._v6:
            self._sock.sendmsg([packet], [(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos.to_bytes(4, "little"))])
        else:
            self._sock.sendmsg([packet], [(socket.IPPROTO_IP, socket.IP_TOS, tos.to_bytes(4, "little"))])

    def receive(self) -> list[Arrival]:
        """All that has come, at most `READ_AT_ONCE`."""
        arrivals: list[Arrival] = []
        for _ in range(READ_AT_ONCE):
            try:
                octets, ancillary, _, _ = self._sock.recvmsg(2048, 256)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                self.refusals += 1
                continue
            except OSError:
                break  # what lasts shows itself when the next packet is sent
            arrivals.append(self._arrival(octets, ancillary))
        if arrivals and self.steady.has_stepped():
            now_ns = self.steady.now_ns()
            return [arrival._replace(at_ns=now_ns, kernel=False) for arrival in arrivals]
        return arrivals

    def new_drops(self) -> int:
        """Packets the kernel has dropped at this socket, for want of room, since the last call."""
        with suppress(OSError):
            info = self._sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
            if len(info) == _MEMINFO.size:  # before Linux 4.12 there is none
                dropped = int(_MEMINFO.unpack(info)[-1])
                new, self._dropped = dropped - self._dropped, dropped
                return new
        return 0

    def _arrival(self, octets: bytes, ancillary: list[tuple[int, int, bytes]]) -> Arrival:
        at_ns = ttl = tos = None
        for level, kind, data in ancillary:
            if kind == SO_TIMESTAMPING and level == socket.SOL_SOCKET:
                seconds, ns = _TIMESTAMPS.unpack(data)
                at_ns = seconds * 1_000_000_000 + ns - self.steady.ahead_ns if seconds else None
            elif (level, kind) in _TTLS:
                (ttl,) = unpack("@i", data)
            elif (level, kind) in _TOSES:
                tos = data[0]
        if at_ns is None:
            return Arrival(octets, self.steady.now_ns(), False, ttl, tos)
        return Arrival(octets, at_ns, True, ttl, tos)

    def _stamp_sends(self) -> None:
        """Ask for stamps; asking anew begins their numbers at 0."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, 0)
            while self._next_stamp() is not None:
                pass
            self._sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPING)
        except OSError:
            self.is_stamped = False
        else:
            self.is_stamped = True
            self._first_ticket = self._ticket
        self._unstamped = 0

    def _next_stamp(self) -> tuple[int, int] | None:
        try:
            _, ancillary, _, _ = self._sock.recvmsg(0, 256, MSG_ERRQUEUE)
        except OSError:
            return None
        ticket, at_ns = -1, 0
        for level, kind, data in ancillary:
            if kind == SO_TIMESTAMPING and level == socket.SOL_SOCKET:
                seconds, ns = _TIMESTAMPS.unpack(data)
                at_ns = seconds * 1_000_000_000 + ns - self.steady.ahead_ns
            elif len(data) >= _EXTENDED_ERROR.size:
                _, origin, _, _, _, _, number = _EXTENDED_ERROR.unpack_from(data)
                ticket = self._first_ticket + number if origin == _ORIGIN_TIMESTAMPING else -1
        return ticket, at_ns


_TTLS = frozenset(((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)))
_TOSES = frozenset(((socket.IPPROTO_IP, socket.IP_TOS), (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)))


def failure_of(error: OSError, what: str) -> ProbeFailure:
    """The failure that an error of opening or sending is, with a sentence for people."""
    code = GONE.get(error.errno or 0, "no_route")
    hints = {
        "no_route": "The device has no route there; check its address, gateway and cable.",
        "source_missing": "The line's address or interface is gone; plug the cable in or correct the configuration.",
        "send_refused": "A firewall on this device forbids it; allow UDP to the hub's port.",
    }
    return ProbeFailure(code, f"Nothing can be sent by {what}: {error.strerror}. {hints[code]}")


def _prepare(sock: socket.socket, version: int, tos: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    with suppress(PermissionError):  # past net.core.rmem_max, with CAP_NET_ADMIN
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    if version == 6:
        level = socket.IPPROTO_IPV6
        options = (
            (socket.IPV6_RECVHOPLIMIT, 1),
            (socket.IPV6_RECVTCLASS, 1),
            (socket.IPV6_UNICAST_HOPS, MAX_TTL),
            (socket.IPV6_TCLASS, tos),
            (IPV6_MTU_DISCOVER, PMTUDISC_DONT),
        )
    else:
        level = socket.IPPROTO_IP
        options = (
            (IP_RECVTTL, 1),
            (socket.IP_RECVTOS, 1),
            (socket.IP_TTL, MAX_TTL),
            (socket.IP_TOS, tos),
            (IP_MTU_DISCOVER, PMTUDISC_DONT),
        )
    for option, value in options:
        sock.setsockopt(level, option, value)
