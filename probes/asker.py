"""One socket that asks many targets the same small question, and counts who answers: no task and no timer per target.

Losses are not waited for: a request is written to the `Tally` of its window, an answer is added to the same, and
three seconds after the window the tally says all there is to say.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from abc import ABC, abstractmethod
from typing import NamedTuple

from probes.clock import Clock
from probes.lines import SocketAddress

LOST_AFTER_NS = 3_000_000_000
"""An answer later than 3 s is a loss, as on the link."""

SO_TIMESTAMPNS = 35  # Python has no names for these two (asm-generic/socket.h)
SO_RXQ_OVFL = 40
RECEIVE_BUFFER_BYTES = 1 << 20
"""Answers of a second from a few thousand routers: a full buffer would look like their loss."""
READ_AT_ONCE = 64
UNROUTABLE = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.ENODEV))

_TIMESPEC = struct.Struct("@qq")
_UINT32 = struct.Struct("@I")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_UINT32.size)


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
    """A request under way. `t1` is what the request carried, where it carries a stamp."""

    host: str
    port: int
    sent_ns: int
    tally: Tally
    t1: int = 0


class Heard(NamedTuple):
    """What an answer says: to which request, how long the target held it, and the stamp it gives back."""

    seq: int
    held_ns: int = 0
    t1: int = 0


def prepare(sock: socket.socket) -> None:
    """Make the socket tell when a packet arrived and how many it had no room for."""
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


class Asker(ABC):
    """A prepared socket in the running event loop. Subclasses know the packets: make (`_request`), read (`_hear`)."""

    seq_mask = 0xFFFF
    has_ports = True
    """Whether an answer must come from the port asked."""

    def __init__(self, sock: socket.socket, clock: Clock, first_seq: int) -> None:
        self.own_drops = 0
        """Answers that our own socket had no room for, since it was opened."""
        self._sock = sock
        self._clock = clock
        self._seq = first_seq
        self._waiting: dict[int, Waiting] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._read)

    @abstractmethod
    def _request(self, seq: int, t1_ns: int) -> tuple[bytes, int]:
        """The packet, and the stamp in it (0: none). `t1_ns` is wall time."""

    @abstractmethod
    def _hear(self, packet: bytes) -> Heard | None:
        """What an answer says; None where the packet is none of ours."""

    @property
    def waiting(self) -> int:
        """Requests that may still be answered, and a few that no longer can."""
        return len(self._waiting)

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def send(self, address: SocketAddress, tally: Tally) -> None:
        """Ask the target once; `address` is numeric. A full queue of our own counts as nothing sent."""
        seq = self._seq = self._seq + 1 & self.seq_mask
        packet, t1 = self._request(seq, self._clock.wall_ns())
        now_ns = self._clock.monotonic_ns()
        try:
            self._sock.sendto(packet, address)
        except OSError as error:
            tally.unsent_errno = error.errno or 0
            return
        tally.sent += 1
        self._forget_lost(now_ns)
        self._waiting[seq] = Waiting(address[0].partition("%")[0], address[1], now_ns, tally, t1)

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
                packet, ancillary, _, source = self._sock.recvmsg(2048, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error queued for the socket: its loss is counted by silence
                continue
            self._take(packet, source, self._arrived_ns(ancillary))

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

    def _take(self, packet: bytes, source: tuple[str, int], arrived_ns: int) -> None:
        heard = self._hear(packet)
        waiting = None if heard is None else self._waiting.get(heard.seq)
        if heard is None or waiting is None or waiting.t1 != heard.t1:
            return
        if waiting.host != source[0].partition("%")[0] or (self.has_ports and waiting.port != source[1]):
            return
        del self._waiting[heard.seq]  # a second answer to it is a duplicate
        rtt_ns = arrived_ns - waiting.sent_ns
        if rtt_ns < 0:  # the wall clock stepped between the stamp and now
            rtt_ns = self._clock.monotonic_ns() - waiting.sent_ns
        if rtt_ns <= LOST_AFTER_NS:
            waiting.tally.rtt_ns.append(rtt_ns - heard.held_ns if 0 <= heard.held_ns <= rtt_ns else rtt_ns)
