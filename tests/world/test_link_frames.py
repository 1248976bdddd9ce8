"""What the emulated link does to the packets themselves: sizes and marks, IPv4 and IPv6."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.world.link import Link, Verdict, Way, namespaces
from tests.world.needs import NEEDS_WORLD
from tests.world.stream import send_through

pytestmark = NEEDS_WORLD

BOTH_FAMILIES = pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])

TCP_SINK = """
import socket, sys
server = socket.create_server((sys.argv[1], 9100))
print("ready", flush=True)
client, _ = server.accept()
print(sum(len(data) for data in iter(lambda: client.recv(65536), b"")))
"""
TCP_SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], 9100)) as out:
    out.sendall(bytes(2_000_000))
"""


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with namespaces(2) as (a, b), Link(a, b, match="udp") as wire:
        yield wire


@BOTH_FAMILIES
def test_marks_change_by_direction_and_the_receiver_sees_it(link: Link, ipv6: bool) -> None:
    link.set(ab=Way(dscp=0), ba=Way(dscp=34))
    link.reset()
    out = send_through(link, 20, dscp=46, ipv6=ipv6)
    back = send_through(link, 20, dscp=46, ipv6=ipv6, back=True)
    assert [a.dscp for a in out] == [0] * 20  # a bad header checksum would have lost them
    assert [a.dscp for a in back] == [34] * 20
    assert {(row.direction, row.dscp_in, row.dscp_out) for row in link.rows()} == {("ab", 46, 0), ("ba", 46, 34)}


@BOTH_FAMILIES
def test_exactly_the_mtu_passes_and_one_byte_more_does_not(link: Link, ipv6: bool) -> None:
    link.set(Way(mtu=1400, mtu_icmp=False))
    link.reset()
    headers = 48 if ipv6 else 28
    fitting = send_through(link, 5, size=1400 - headers, ipv6=ipv6)
    too_long = send_through(link, 5, size=1401 - headers, ipv6=ipv6)
    assert (len(fitting), len(too_long)) == (5, 0)
    assert [row.verdict for row in link.rows("ab")] == [Verdict.DELIVERED] * 5 + [Verdict.OVER_MTU] * 5


@BOTH_FAMILIES
def test_a_link_that_says_too_big_teaches_the_sender_its_mtu(ipv6: bool) -> None:
    with namespaces(2) as (a, b), Link(a, b, Way(mtu=1400)) as link:
        target, family = (link.b_ip6, "-6") if ipv6 else (link.b_ip, "-4")
        a.run("ping", family, "-c", "1", "-W", "1", "-M", "do", "-s", "1440", target, check=False)
        assert "mtu 1400" in a.run("ip", family, "route", "get", target)


@BOTH_FAMILIES
def test_a_black_hole_says_nothing(ipv6: bool) -> None:
    with namespaces(2) as (a, b), Link(a, b, Way(mtu=1400, mtu_icmp=False)) as link:
        target, family = (link.b_ip6, "-6") if ipv6 else (link.b_ip, "-4")
        a.run("ping", family, "-c", "1", "-W", "1", "-M", "do", "-s", "1440", target, check=False)
        assert "mtu 1400" not in a.run("ip", family, "route", "get", target)


def test_tcp_passes_whole_beside_a_measured_stream(link: Link) -> None:
    link.set(Way(loss=0.5, delay_ms=2))
    link.reset()
    server = link.b.start(sys.executable, "-c", TCP_SINK, link.b_ip, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        link.a.run(sys.executable, "-c", TCP_SOURCE, link.b_ip)
        assert server.communicate(timeout=30)[0] == "2000000\n"
    finally:
        server.kill()
        server.wait()
    assert link.rows() == []
    assert link.counters()[:3] == (0, 0, 0)
