"""Echo over ICMP and ICMPv6: a pure codec (RFC 792, RFC 4443 section 4), and one socket that asks many targets.

Unprivileged datagram sockets are used where the system allows them (net.ipv4.ping_group_range), else raw sockets
(CAP_NET_RAW). An answer counts only from the address asked, with our identifier, sequence and token: nobody off the
path can forge one.
"""

from __future__ import annotations

import array
import secrets
import socket
import struct
from contextlib import suppress
from typing import NamedTuple, Self

from probes.asker import Asker, Heard, prepare
from probes.clock import Clock
from probes.config import Line
from probes.lines import FAMILIES, bind_to
from probes.probe import ProbeFailure

ECHO_REPLY, ECHO_REQUEST = 0, 8
ECHO6_REQUEST, ECHO6_REPLY = 128, 129
TOKEN_BYTES = 8
PAYLOAD_BYTES = 32

_HEAD = struct.Struct("!BBHHH")
"""type, code, checksum, identifier, sequence (RFC 792 page 14; RFC 4443 section 4.1)."""
_UINT32 = struct.Struct("@I")

# Python has no names for these (asm-generic/socket.h, linux/icmp.h, linux/icmpv6.h).
SOL_RAW = 255
ICMP_FILTER = 1
ICMP6_FILTER = 1

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


def open_socket(version: int, line: Line | None = None) -> socket.socket:
    """A non-blocking ICMP socket for IPv4 or IPv6, bound to the line's interface and source address if it has them.

    Raises:
        ProbeFailure: `no_permission`, `source_missing`.
    """
    sock = _allowed(FAMILIES[version], _PROTOCOLS[version])
    try:
        prepare(sock)
        _filter(sock, version)
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


def _filter(sock: socket.socket, version: int) -> None:
    if sock.type == socket.SOCK_RAW:  # it would wake us for every ICMP message of the machine
        if version == 4:
            sock.setsockopt(SOL_RAW, ICMP_FILTER, _UINT32.pack(~(1 << ECHO_REPLY) & 0xFFFF_FFFF))
        else:
            blocked = [0xFFFF_FFFF] * 8
            blocked[ECHO6_REPLY >> 5] &= ~(1 << (ECHO6_REPLY & 31))
            sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *blocked))


# --- the client -----------------------------------------------------------------------------------------------------


class EchoClient(Asker):
    """One ICMP socket that asks any number of targets of one IP version."""

    has_ports = False

    def __init__(self, version: int, sock: socket.socket, clock: Clock) -> None:
        super().__init__(sock, clock, first_seq=secrets.randbits(16))
        self.version = version
        self.is_raw = sock.type == socket.SOCK_RAW
        self._id = secrets.randbits(16)
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._payload = self._token.ljust(PAYLOAD_BYTES, b"\0")

    @classmethod
    def open(cls, version: int, clock: Clock, line: Line | None = None) -> Self:
        """A client on a socket of its own.

        Raises:
            ProbeFailure: `no_permission`, `source_missing`.
        """
        return cls(version, open_socket(version, line), clock)

    def _request(self, seq: int, t1_ns: int) -> tuple[bytes, int]:
        return encode_request(self.version, self._id, seq, self._payload), 0

    def _hear(self, packet: bytes) -> Heard | None:
        has_header = self.is_raw and self.version == 4
        echo = decode_reply(self.version, without_ip_header(packet) if has_header else packet)
        if echo is None or (self.is_raw and echo.id != self._id) or not echo.payload.startswith(self._token):
            return None
        return Heard(echo.seq)
