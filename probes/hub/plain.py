"""The same port with one call per packet: where the C library has no recvmmsg, or no 64-bit pointers."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from struct import Struct
from typing import Any

from probes.hub.sockets import (
    IP_PKTINFO,
    IP_TOS,
    IP_TTL,
    IPV6_HOPLIMIT,
    IPV6_PKTINFO,
    IPV6_TCLASS,
    SO_TIMESTAMPNS,
)
from probes.link.packet import MAX_PACKET_BYTES, OPEN_BYTES, ntp_from_unix_ns
from probes.link.reflect import Reflector

BATCH = 64
_TIMESPEC = Struct("@ll")
_Ancillary = dict[tuple[int, int], bytes]


class PlainPort:
    """One socket read and answered packet by packet."""

    def __init__(self, sock: socket.socket, reflector: Reflector, waited: Callable[[int, int], None]) -> None:
        self._sock = sock
        self._reflector = reflector
        self._waited = waited
        self._request, self._reply = bytearray(MAX_PACKET_BYTES), bytearray(MAX_PACKET_BYTES)
        self._view = memoryview(self._reply)
        self._v6 = sock.family == socket.AF_INET6

    def fileno(self) -> int:
        return self._sock.fileno()

    def turn(self, now_ns: int) -> int:
        """Answer what is there, at most `BATCH` packets; how many came. `now_ns` is monotonic."""
        for count in range(BATCH):
            try:
                size, ancillary, flags, address = self._sock.recvmsg_into([self._request], 256)
            except OSError:  # nothing more, or an error that belongs to an earlier answer
                return count
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                self._reflector.refuse("too_long")
            else:
                self._reflect(size, {(level, kind): data for level, kind, data in ancillary}, address, now_ns)
        return BATCH

    def _reflect(self, size: int, found: _Ancillary, address: Any, now_ns: int) -> None:
        ttl, tos = self._number(found, IP_TTL, IPV6_HOPLIMIT), self._number(found, IP_TOS, IPV6_TCLASS)
        wall_ns = time.time_ns()
        received_ns = _unix_ns(found.get((socket.SOL_SOCKET, SO_TIMESTAMPNS)), wall_ns)
        tos = self._reflector.answer(
            self._reply,
            self._request,
            size,
            self._source_of(address),
            ttl,
            tos,
            ntp_from_unix_ns(received_ns),
            ntp_from_unix_ns(wall_ns),
            now_ns,
        )
        if tos < 0:
            return
        try:
            self._sock.sendmsg([self._view[: max(size, OPEN_BYTES)]], self._how(found, tos), 0, address)
        except OSError:
            self._reflector.refuse("unsendable")
        self._waited(time.time_ns() - received_ns, 1)

    def _number(self, found: _Ancillary, v4: int, v6: int) -> int:
        level, kind = (socket.IPPROTO_IPV6, v6) if self._v6 else (socket.IPPROTO_IP, v4)
        return int.from_bytes(found.get((level, kind), b""), sys.byteorder)

    def _source_of(self, address: Any) -> bytes:
        """Port and address as a socket address has them."""
        host, port = address[0], address[1]
        if not self._v6:
            return int(port).to_bytes(2) + socket.inet_pton(socket.AF_INET, host)
        scope = int(address[3]).to_bytes(4, sys.byteorder)
        return int(port).to_bytes(2) + bytes(4) + socket.inet_pton(socket.AF_INET6, host.partition("%")[0]) + scope

    def _how(self, found: _Ancillary, tos: int) -> list[tuple[int, int, bytes]]:
        """Control messages of the answer: from the address that was asked, with this TOS."""
        if self._v6:
            kind, level, local = IPV6_TCLASS, socket.IPPROTO_IPV6, found.get((socket.IPPROTO_IPV6, IPV6_PKTINFO))
            place = (level, IPV6_PKTINFO, local[:16] + bytes(4)) if local else None
        else:
            kind, level, local = IP_TOS, socket.IPPROTO_IP, found.get((socket.IPPROTO_IP, IP_PKTINFO))
            place = (level, IP_PKTINFO, bytes(4) + local[4:8] + bytes(4)) if local else None
        how = (level, kind, tos.to_bytes(4, sys.byteorder))
        return [how] if place is None else [place, how]


def _unix_ns(stamp: bytes | None, otherwise: int) -> int:
    if stamp is None or len(stamp) != _TIMESPEC.size:
        return otherwise
    seconds, ns = _TIMESPEC.unpack(stamp)
    return int(seconds * 1_000_000_000 + ns)
