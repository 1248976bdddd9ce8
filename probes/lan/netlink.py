"""Routes and neighbours from the kernel over rtnetlink (RFC 3549): pure messages, and one question at a time.

`/proc/net/route` shows the main table only; a backup line is usually told apart by policy rules, and only the kernel
itself can say which router a packet of that line would go to.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from enum import IntFlag
from ipaddress import ip_address
from typing import NamedTuple

# linux/netlink.h, linux/rtnetlink.h, linux/neighbour.h
NLMSG_ERROR = 2
NLM_F_REQUEST = 1
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
RTA_DST, RTA_SRC, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_VIA = 1, 2, 4, 5, 7, 18
NDA_DST, NDA_LLADDR = 1, 2
RTN_LOCAL = 2

_HEADER = struct.Struct("=IHHII")
"""length, type, flags, sequence, port."""
_ROUTE = struct.Struct("=BBBBBBBBI")
"""family, destination bits, source bits, TOS, table, protocol, scope, type, flags."""
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""family, interface index, state, flags, type."""
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")
_FAMILY = struct.Struct("=H")


class State(IntFlag):
    """What the kernel believes of a neighbour (linux/neighbour.h; RFC 4861 section 7.3.2)."""

    NONE = 0
    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


class Route(NamedTuple):
    """How a packet would leave: by which interface, to which router (None: straight to its target)."""

    interface_index: int
    gateway: str | None
    source: str | None
    is_local: bool


class Neighbour(NamedTuple):
    """A neighbour's hardware address and what is believed of it."""

    mac: str | None
    state: State


class NetlinkError(OSError):
    """The kernel refused the question; `errno` says why."""


# --- messages -------------------------------------------------------------------------------------------------------


def encode_get_route(target: str, source: str | None = None, interface_index: int | None = None) -> bytes:
    """RTM_GETROUTE: how would a packet to `target` leave, sent from `source` or by the interface?"""
    destination = ip_address(target).packed
    attributes = _attribute(RTA_DST, destination)
    if source is not None:
        attributes += _attribute(RTA_SRC, ip_address(source).packed)
    if interface_index is not None:
        attributes += _attribute(RTA_OIF, _INT.pack(interface_index))
    source_bits = 0 if source is None else len(destination) * 8
    body = _ROUTE.pack(_family_of(destination), len(destination) * 8, source_bits, 0, 0, 0, 0, 0, 0)
    return _message(RTM_GETROUTE, body + attributes)


def encode_get_neighbour(address: str, interface_index: int) -> bytes:
    """RTM_GETNEIGH: what is believed of this neighbour?"""
    packed = ip_address(address.partition("%")[0]).packed
    body = _NEIGHBOUR.pack(_family_of(packed), interface_index, 0, 0, 0)
    return _message(RTM_GETNEIGH, body + _attribute(NDA_DST, packed))


def decode_route(answer: bytes) -> Route:
    """Read the answer to RTM_GETROUTE.

    Raises:
        NetlinkError: the kernel said no (ENETUNREACH: no way there), or the answer is no route.
    """
    body = _body(answer, RTM_NEWROUTE, _ROUTE.size)
    kind = _ROUTE.unpack_from(body)[7]
    found = dict(_attributes(body[_ROUTE.size :]))
    gateway = found.get(RTA_GATEWAY) or found.get(RTA_VIA, b"")[_FAMILY.size :] or None
    source = found.get(RTA_PREFSRC)
    index = _INT.unpack_from(found.get(RTA_OIF, _INT.pack(0)))[0]
    return Route(index, _text(gateway), _text(source), kind == RTN_LOCAL)


def decode_neighbour(answer: bytes) -> Neighbour:
    """Read the answer to RTM_GETNEIGH.

    Raises:
        NetlinkError: the kernel said no (ENOENT: never heard of it), or the answer is no neighbour.
    """
    body = _body(answer, RTM_NEWNEIGH, _NEIGHBOUR.size)
    state = State(_NEIGHBOUR.unpack_from(body)[2] & 0xFF)
    mac = dict(_attributes(body[_NEIGHBOUR.size :])).get(NDA_LLADDR)
    return Neighbour(mac.hex(":") if mac else None, state)


def _family_of(packed: bytes) -> int:
    return socket.AF_INET if len(packed) == 4 else socket.AF_INET6


def _text(packed: bytes | None) -> str | None:
    return str(ip_address(packed)) if packed and len(packed) in (4, 16) else None


def _attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(padding)


def _message(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, NLM_F_REQUEST, 1, 0) + body


def _body(answer: bytes, kind: int, least: int) -> bytes:
    if len(answer) < _HEADER.size:
        raise NetlinkError(0, f"The kernel's answer has {len(answer)} octets, which is no netlink message.")
    length, answered, _, _, _ = _HEADER.unpack_from(answer)
    body = answer[_HEADER.size : length]
    if answered == NLMSG_ERROR and len(body) >= _INT.size:
        code = -_INT.unpack_from(body)[0]
        raise NetlinkError(code, os.strerror(code))
    if answered != kind or len(body) < least:
        raise NetlinkError(0, f"The kernel answered netlink message type {answered}, not {kind}.")
    return body


def _attributes(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while len(octets) - at >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(octets, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, octets[at + _ATTRIBUTE.size : at + length]
        at += length + -length % 4


# --- the kernel -----------------------------------------------------------------------------------------------------


def ask(question: bytes) -> bytes:
    """The kernel's answer, given at once; needs no privilege."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(1)
        sock.send(question)
        return sock.recv(65536)


def route_to(target: str, source: str | None = None, interface_index: int | None = None) -> Route:
    """How a packet to `target` would leave now.

    Raises:
        OSError: there is no way (ENETUNREACH), or the source address is not here.
    """
    return decode_route(ask(encode_get_route(target, source, interface_index)))


def neighbour(address: str, interface_index: int) -> Neighbour:
    """What the kernel believes of a neighbour; nothing where it never heard of it."""
    try:
        return decode_neighbour(ask(encode_get_neighbour(address, interface_index)))
    except OSError:
        return Neighbour(None, State.NONE)
