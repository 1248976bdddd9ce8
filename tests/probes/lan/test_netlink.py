"""Netlink messages: recorded answers of a kernel, octets no kernel would send, and the kernel of this machine."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.lan.netlink import (
    Neighbour,
    NetlinkError,
    Route,
    State,
    decode_neighbour,
    decode_route,
    encode_get_route,
    neighbour,
    route_to,
)

# Linux 6.18 asked how 203.0.113.1 is reached, and of the router it named
ROUTE = bytes.fromhex(
    "700000001800000001000000f54d000002200000fe0000010002000008000f00fe00000008000100cb007101080004000400000008000700"
    "c000020208000500c0000201080019000000000024000c0002000000934a0400000000000000000000000000000000000000000000000000"
)
NEIGHBOUR = bytes.fromhex(
    "4c0000001c00000001000000f54d000002000000040000000400000108000100c00002010a00020002fc0000000500000800040001000000"
    "14000300922d0000922d00007923000001000000"
)
# the same asked from a source address that is not of this machine
REFUSED = bytes.fromhex(
    "400000000200000001000000f54d00009bffffff2c0000001a00010001000000000000000220200000000000000000000800010"
    "07f00000108000200c6336409"
)


def test_the_recorded_route_is_read() -> None:
    assert decode_route(ROUTE) == Route(4, "192.0.2.1", "192.0.2.2", is_local=False)


def test_the_recorded_neighbour_is_read() -> None:
    assert decode_neighbour(NEIGHBOUR) == Neighbour("02:fc:00:00:00:05", State.STALE)


def test_a_refusal_carries_the_kernels_reason() -> None:
    with pytest.raises(NetlinkError, match="Network is unreachable") as caught:
        decode_route(REFUSED)
    assert caught.value.errno == errno.ENETUNREACH


def test_a_question_names_target_source_and_interface() -> None:
    asked = encode_get_route("203.0.113.1", source="192.0.2.2", interface_index=4)
    assert len(asked) == 16 + 12 + 3 * 8
    for part in ("203.0.113.1", "192.0.2.2"):
        assert socket.inet_aton(part) in asked


@given(st.binary(max_size=200))
def test_no_octets_break_the_decoders(octets: bytes) -> None:
    for decode in (decode_route, decode_neighbour):
        with suppress(NetlinkError):
            decode(octets)


@given(st.integers(0, len(ROUTE) - 1), st.integers(0, 255))
def test_no_changed_octet_breaks_the_decoder(at: int, octet: int) -> None:
    with suppress(NetlinkError):
        decode_route(ROUTE[:at] + bytes([octet]) + ROUTE[at + 1 :])


def test_the_kernel_reaches_itself() -> None:
    assert route_to("127.0.0.1").is_local


def test_a_neighbour_nobody_heard_of_is_nothing() -> None:
    assert neighbour("127.0.0.9", 1) == Neighbour(None, State.NONE)
