"""The measuring socket on loopback, and its steady time on clocks moved by hand."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from probes.config import Line
from probes.link.channel import Arrival, Channel, SteadyTime
from probes.link.packet import Request, encode_request
from probes.probe import ProbeFailure
from tests.probes.fakes import HandClock, until


@contextmanager
def pair(version: int = 4, line: Line | None = None) -> Iterator[tuple[Channel, socket.socket]]:
    """A channel, and the far end it is connected to."""
    host, family = ("127.0.0.1", socket.AF_INET) if version == 4 else ("::1", socket.AF_INET6)
    with socket.socket(family, socket.SOCK_DGRAM) as far:
        far.bind((host, 0))
        far.settimeout(5)
        channel = Channel.open(line or Line(), version, far.getsockname())
        try:
            yield channel, far
        finally:
            channel.close()


async def heard(channel: Channel, count: int) -> list[Arrival]:
    arrivals: list[Arrival] = []

    def take() -> bool:
        arrivals.extend(channel.receive())
        return len(arrivals) >= count

    await until(take)
    return arrivals


PACKET = encode_request(Request(1, 2, 3, 4))


@pytest.mark.parametrize("version", [4, 6])
async def test_the_kernel_stamps_what_goes_and_what_comes(version: int) -> None:
    with pair(version) as (channel, far):
        if not channel.is_stamped:
            pytest.skip("this kernel stamps nothing")
        before = time.monotonic_ns()
        tickets = [channel.send(PACKET) for _ in range(3)]
        await asyncio.sleep(0.01)
        stamps = dict(channel.stamps())
        assert list(stamps) == tickets
        assert all(before - 1e6 <= at <= time.monotonic_ns() for at in stamps.values())
        _, source = far.recvfrom(100)
        far.sendto(b"x", source)
        await asyncio.sleep(0.2)
        (arrival,) = channel.receive()
        assert arrival.kernel
        assert time.monotonic_ns() - arrival.at_ns >= 0.19e9, "the stamp is the kernel's, not the reading's"


@pytest.mark.parametrize("version", [4, 6])
async def test_ttl_and_tos_are_told_of_what_comes_and_set_on_what_goes(version: int) -> None:
    level, receive, kind = (
        (socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS)
        if version == 4
        else (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS)
    )
    with pair(version, Line(dscp=10)) as (channel, far):
        far.setsockopt(level, receive, 1)
        far.setsockopt(level, kind, 34 << 2)
        channel.send(PACKET)
        channel.send(PACKET, tos=46 << 2)
        seen = []
        for _ in range(2):
            _, ancillary, _, source = far.recvmsg(100, 100)
            seen += [data[0] >> 2 for _, found, data in ancillary if found == kind]
        assert seen == [10, 46]
        far.sendto(b"x", source)
        (arrival,) = await heard(channel, 1)
        assert arrival.tos == 34 << 2
        assert arrival.ttl is not None
        assert arrival.ttl > 0


async def test_a_port_that_is_closed_is_counted_and_sending_goes_on() -> None:
    with pair() as (channel, far):
        far.close()
        for _ in range(3):
            channel.send(PACKET)
            await asyncio.sleep(0.01)
        assert channel.receive() == []
        assert channel.refusals == 3


async def test_packets_dropped_at_our_own_socket_are_counted_once() -> None:
    with pair() as (channel, far):
        channel.send(PACKET)
        _, source = far.recvfrom(100)
        channel._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sent = 2000
        for _ in range(sent):
            far.sendto(bytes(500), source)
        await asyncio.sleep(0.05)
        got = 0
        while arrivals := channel.receive():
            got += len(arrivals)
        assert channel.new_drops() == sent - got > 0
        assert channel.new_drops() == 0


def test_a_line_without_such_an_address_cannot_be_opened() -> None:
    with pytest.raises(ProbeFailure) as raised:
        Channel.open(Line(source="192.0.2.7"), 4, ("127.0.0.1", 9))
    assert raised.value.failure.code == "source_missing"


def test_steady_time_notices_that_the_wall_clock_was_set() -> None:
    clock = HandClock()
    steady = SteadyTime(clock.wall_ns, clock.monotonic_ns)
    ahead = steady.ahead_ns
    clock.pass_s(10)
    assert not steady.has_stepped()
    clock.step_s(3600)
    assert steady.has_stepped()
    assert steady.ahead_ns == ahead + 3600 * 10**9
    assert not steady.has_stepped()
    clock.step_s(-7200)
    assert steady.has_stepped()
    assert steady.steps == 2


async def test_stamps_read_across_a_step_of_the_clock_are_not_used() -> None:
    clock = HandClock()
    with pair() as (channel, far):
        channel.send(PACKET)
        _, source = far.recvfrom(100)
        channel.steady = SteadyTime(clock.wall_ns, clock.monotonic_ns)
        far.sendto(b"x", source)
        await asyncio.sleep(0.05)
        clock.step_s(3600)
        (arrival,) = channel.receive()
    assert not arrival.kernel
    assert arrival.at_ns == clock.monotonic_ns()
