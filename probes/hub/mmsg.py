"""Packets in batches: recvmmsg and sendmmsg through ctypes, for a third of the cost of a call per packet.

All buffers, headers and control messages are made once; a turn renews the few octets that change, and reads names,
headers and ancillary data of the whole batch with one `Struct.iter_unpack` each.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from probes.link.packet import MAX_PACKET_BYTES, NTP_OF_UNIX_EPOCH_S, OPEN_BYTES, ntp_from_unix_ns
from probes.link.reflect import Reflector

BATCH = 64
SEND_BATCH = 16
"""Answers leave in smaller batches than requests come, so that T3 is not long past when a packet leaves."""
NAME_BYTES = 28
CONTROL_BYTES = 128
MSG_CTRUNC = 0x8
MSG_TRUNC = 0x20


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Message(ctypes.Structure):
    """struct mmsghdr of Linux: struct msghdr and the size of the message."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("iovec", ctypes.c_void_p),
        ("iovec_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("padding", ctypes.c_uint32),  # the inner struct ends on a multiple of 8
        ("size", ctypes.c_uint32),
    )


_HEADER = Struct("=40xQIxxxxI4x")
"""control size, flags, size: of a `_Message` where pointers have 64 bits."""
_CMSG = Struct("=Qii")


@dataclass(frozen=True)
class Family:
    """Where Linux puts things for IPv4 or IPv6."""

    source: Struct
    """Port and address out of a socket address."""
    ancillary: Struct
    """Seconds, nanoseconds, local address, TTL, TOS: the control messages in the order the kernel writes them."""
    ancillary_bytes: int
    expected: tuple[tuple[int, int, int], ...]
    """(offset, level, type) of each control message in `ancillary`."""
    answer: tuple[tuple[int, int, int], ...]
    """(level, type, size) of the control messages of an answer: local address, then TOS."""
    local_at: int
    """Offset of the local address in the first of them, after its head."""
    local_bytes: int


V4 = Family(
    source=Struct("=2x6s20x"),
    ancillary=Struct("=16xqq 20x4s8x 16xi4x 16xB23x"),
    ancillary_bytes=112,
    expected=((0, 1, SO_TIMESTAMPNS), (32, 0, IP_PKTINFO), (64, 0, IP_TTL), (88, 0, IP_TOS)),
    answer=((0, IP_PKTINFO, 12), (0, IP_TOS, 4)),
    local_at=4,
    local_bytes=4,
)
V6 = Family(
    source=Struct("=2x26s"),
    ancillary=Struct("=16xqq 16x16s8x 16xi4x 16xi12x"),
    ancillary_bytes=120,
    expected=((0, 1, SO_TIMESTAMPNS), (32, 41, IPV6_PKTINFO), (72, 41, IPV6_HOPLIMIT), (96, 41, IPV6_TCLASS)),
    answer=((41, IPV6_PKTINFO, 20), (41, IPV6_TCLASS, 4)),
    local_at=0,
    local_bytes=16,
)


def has_mmsg() -> bool:
    """Whether this system's C library can do it."""
    libc = ctypes.CDLL(None)
    return ctypes.sizeof(ctypes.c_void_p) == 8 and hasattr(libc, "recvmmsg") and hasattr(libc, "sendmmsg")


class BatchPort:
    """One socket read and answered in batches."""

    def __init__(self, sock: socket.socket, reflector: Reflector, waited: Callable[[int, int], None]) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._answer = reflector.answer
        self._refuse = reflector.refuse
        self._waited = waited
        self._family = V6 if sock.family == socket.AF_INET6 else V4
        self._receive, self._send = _calls()
        self._make_receive_side()
        self._make_send_side()

    def fileno(self) -> int:
        return self._fd

    def turn(self, now_ns: int) -> int:
        """Answer what is there, at most `BATCH` packets; how many came. `now_ns` is monotonic."""
        count: int = self._receive(self._fd, self._headers_at, BATCH, socket.MSG_DONTWAIT, None)
        if count <= 0:
            return 0
        family, answer, replies, whole = self._family, self._answer, self._replies, self._family.ancillary_bytes
        names, sizes, controls = self._answer_names, self._answer_sizes, self._answer_controls
        local_at, local_end, tos_at = self._local_at, self._local_end, self._tos_at
        time_ns, filled, first_ns = time.time_ns, 0, 0
        for index, request, (source,), (control_bytes, flags, size), ancillary in zip(
            range(count),
            self._requests,
            family.source.iter_unpack(self._names[: count * NAME_BYTES]),
            _HEADER.iter_unpack(self._headers[: count * ctypes.sizeof(_Message)]),
            family.ancillary.iter_unpack(self._controls[: count * CONTROL_BYTES]),
            strict=False,
        ):
            if flags & (MSG_TRUNC | MSG_CTRUNC):
                self._refuse("too_long")
                continue
            if control_bytes != whole:
                ancillary = self._read_ancillary(index, control_bytes)
            seconds, ns, local, ttl, tos = ancillary
            t2 = seconds + NTP_OF_UNIX_EPOCH_S << 32 & 0xFFFF_FFFF_FFFF_FFFF | (ns << 32) // 1_000_000_000
            first_ns = first_ns or seconds * 1_000_000_000 + ns
            t3 = ntp_from_unix_ns(time_ns())
            tos = answer(replies[filled], request, size, source, ttl, tos, t2, t3, now_ns)
            if tos < 0:
                continue
            control = controls[filled]
            control[local_at:local_end] = local
            control[tos_at] = tos
            names[8 * filled] = self._name_places[index]
            sizes[2 * filled + 1] = size if size > OPEN_BYTES else OPEN_BYTES
            filled += 1
            if filled == SEND_BATCH:
                self._flush(filled)
                filled = 0
        if filled:
            self._flush(filled)
        self._waited(time_ns() - first_ns, count)
        self._headers[:] = self._fresh_headers  # the kernel has shrunk the sizes in them to what it used
        return count

    def _flush(self, count: int) -> None:
        done = 0
        while done < count:
            at = self._answers_at + done * ctypes.sizeof(_Message)
            sent = self._send(self._fd, at, count - done, socket.MSG_DONTWAIT)
            if sent > 0:
                done += sent
            elif ctypes.get_errno() != errno.EINTR:
                self._refuse("unsendable")  # no route, or the source was forged to be nobody's
                done += 1

    def _make_receive_side(self) -> None:
        self._requests = [bytearray(MAX_PACKET_BYTES) for _ in range(BATCH)]
        names, controls = bytearray(BATCH * NAME_BYTES), bytearray(BATCH * CONTROL_BYTES)
        self._names, self._controls = memoryview(names), memoryview(controls)
        self._iovecs, _ = _iovecs_of(self._requests)
        self._name_places = [_address(names) + index * NAME_BYTES for index in range(BATCH)]
        headers = bytearray(BATCH * ctypes.sizeof(_Message))
        messages = (_Message * BATCH).from_buffer(headers)
        for index, message in enumerate(messages):
            message.name = self._name_places[index]
            message.name_size = NAME_BYTES
            message.iovec = ctypes.addressof(self._iovecs[index])
            message.iovec_count = 1
            message.control = _address(controls) + index * CONTROL_BYTES
            message.control_size = CONTROL_BYTES
        self._headers_at = ctypes.addressof(messages)
        self._headers = memoryview(headers)
        self._fresh_headers = bytes(self._headers)

    def _make_send_side(self) -> None:
        family = self._family
        self._replies = [bytearray(MAX_PACKET_BYTES) for _ in range(SEND_BATCH)]
        self._answer_iovecs, self._answer_sizes = _iovecs_of(self._replies)
        self._answer_controls = [_control_of(family) for _ in range(SEND_BATCH)]
        head = _CMSG.size
        self._local_at = head + family.local_at
        self._local_end = self._local_at + family.local_bytes
        self._tos_at = _space(family.answer[0][2]) + head + (0 if sys.byteorder == "little" else 3)
        headers = bytearray(SEND_BATCH * ctypes.sizeof(_Message))
        messages = (_Message * SEND_BATCH).from_buffer(headers)
        for index, message in enumerate(messages):
            message.name_size = family.source.size if family is V6 else 16
            message.iovec = ctypes.addressof(self._answer_iovecs[index])
            message.iovec_count = 1
            message.control = _address(self._answer_controls[index])
            message.control_size = len(self._answer_controls[index])
        self._answers_at = ctypes.addressof(messages)
        self._answer_names = memoryview(headers).cast("Q")

    def _read_ancillary(self, index: int, size: int) -> tuple[int, int, bytes, int, int]:
        """The same five where a control message is missing, as before the kernel's stamps are switched on."""
        control = bytes(self._controls[index * CONTROL_BYTES : index * CONTROL_BYTES + size])
        found: dict[tuple[int, int], bytes] = {}
        at = 0
        while at + _CMSG.size <= len(control):
            length, level, kind = _CMSG.unpack_from(control, at)
            if length < _CMSG.size:
                break
            found[level, kind] = control[at + _CMSG.size : at + length]
            at += _space(length - _CMSG.size)
        return self._five(found)

    def _five(self, found: dict[tuple[int, int], bytes]) -> tuple[int, int, bytes, int, int]:
        stamp, local, ttl, tos = (found.get((level, kind), b"") for _, level, kind in self._family.expected)
        seconds, ns = Struct("=qq").unpack(stamp) if len(stamp) == 16 else divmod(time.time_ns(), 1_000_000_000)
        place = slice(self._family.local_at, self._family.local_at + self._family.local_bytes)
        address = local[place] if local else bytes(self._family.local_bytes)
        return seconds, ns, address, int.from_bytes(ttl, sys.byteorder), int.from_bytes(tos, sys.byteorder)


def _calls() -> tuple[Any, Any]:
    libc = ctypes.CDLL(None, use_errno=True)
    receive, send = libc.recvmmsg, libc.sendmmsg
    receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    return receive, send


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _iovecs_of(buffers: list[bytearray]) -> tuple[Any, memoryview]:
    """The iovecs, and their words: address and size in turn."""
    words = bytearray(len(buffers) * ctypes.sizeof(_Iovec))
    iovecs = (_Iovec * len(buffers)).from_buffer(words)
    for iovec, buffer in zip(iovecs, buffers, strict=True):
        iovec.base, iovec.size = _address(buffer), len(buffer)
    return iovecs, memoryview(words).cast("Q")


def _space(size: int) -> int:
    """CMSG_SPACE: head and data, each rounded up to 8."""
    return _CMSG.size + (size + 7 & ~7)


def _control_of(family: Family) -> bytearray:
    control = bytearray()
    for level, kind, size in family.answer:
        control += _CMSG.pack(_CMSG.size + size, level, kind) + bytes(size + 7 & ~7)
    return control
