"""Echo: the octets of RFC 792 and RFC 4443, and a client that believes only true answers."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.asker import Tally
from probes.clock import SystemClock
from probes.icmp import EchoClient, checksum, decode_reply, encode_request, without_ip_header
from probes.lines import resolve
from probes.probe import ProbeFailure
from tests.probes.fakes import HandClock
from tests.world.namespaces import namespaces
from tests.world.needs import NEEDS_WORLD

# `ping -c 1 -s 8 -p 41 127.0.0.1` and its answer, as tcpdump showed them behind the IP header
RECORDED_REQUEST = bytes.fromhex("08006e3848c600014100000000000000")
RECORDED_REPLY = bytes.fromhex("0000763848c600014100000000000000")
RECORDED_PAYLOAD = RECORDED_REPLY[8:]


def reply_to(request: bytes, **changed: bytes) -> bytes:
    """What a router makes of an IPv4 request: type 0 and a new checksum."""
    body = changed.get("head", request[4:8]) + changed.get("payload", request[8:])
    sum_ = checksum(b"\0\0\0\0" + body)
    return b"\0\0" + sum_.to_bytes(2) + body


def test_the_checksum_is_that_of_rfc_1071() -> None:
    # section 3: the sum of these octets is ddf2, so the checksum is its complement
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


def test_an_odd_octet_is_padded_for_the_checksum_only() -> None:
    assert checksum(b"\x01") == checksum(b"\x01\x00")


def test_a_request_has_the_octets_a_ping_was_seen_to_send() -> None:
    assert encode_request(4, 0x48C6, 1, RECORDED_PAYLOAD) == RECORDED_REQUEST


def test_an_ipv6_request_leaves_the_checksum_to_the_kernel() -> None:
    assert encode_request(6, 0x1234, 7, b"x") == bytes.fromhex("8000000012340007") + b"x"


def test_the_recorded_answer_is_read() -> None:
    assert reply_to(RECORDED_REQUEST) == RECORDED_REPLY
    echo = decode_reply(4, RECORDED_REPLY)
    assert echo is not None
    assert (echo.id, echo.seq, echo.payload) == (0x48C6, 1, RECORDED_PAYLOAD)


@pytest.mark.parametrize(
    "packet",
    [b"", RECORDED_REQUEST, RECORDED_REPLY[:7], RECORDED_REPLY[:-1] + b"B"],
    ids=["nothing", "a request", "cut short", "damaged"],
)
def test_what_is_no_whole_reply_is_none(packet: bytes) -> None:
    assert decode_reply(4, packet) is None


@given(st.binary(max_size=80), st.sampled_from([4, 6]))
def test_no_octets_break_the_decoder(packet: bytes, version: int) -> None:
    echo = decode_reply(version, without_ip_header(packet))
    assert echo is None or len(echo.payload) <= len(packet)


# --- the client, against a router of our own: the same octets over UDP, so that no privilege is needed ----------------


class Router:
    """Takes requests on loopback, and answers with what it is told, from the address it is told."""

    def __init__(self) -> None:
        self.sockets = {host: socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for host in ("127.0.0.1", "127.0.0.2")}
        for host, sock in self.sockets.items():
            sock.bind((host, 0))
            sock.settimeout(5)
        self.address = self.sockets["127.0.0.1"].getsockname()

    def hear(self) -> tuple[bytes, tuple[str, int]]:
        packet, source = self.sockets["127.0.0.1"].recvfrom(2048)
        return packet, source

    def say(self, packet: bytes, to: tuple[str, int], host: str = "127.0.0.1") -> None:
        self.sockets[host].sendto(packet, to)

    def close(self) -> None:
        for sock in self.sockets.values():
            sock.close()


@pytest.fixture
def router() -> Iterator[Router]:
    made = Router()
    yield made
    made.close()


def udp_client(clock: HandClock | SystemClock) -> EchoClient:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return EchoClient(4, sock, clock)


async def settle() -> None:
    """Loopback has delivered before `sendto` returns; the loop needs only a turn or two to read."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_answer_is_added_to_the_tally_of_its_request(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    client.send(router.address, tally)
    request, source = router.hear()
    clock.pass_s(0.020)
    router.say(reply_to(request), source)
    await settle()
    client.close()
    assert (tally.sent, tally.lost, tally.rtt_ns) == (1, 0, [20_000_000])


async def test_an_answer_after_three_seconds_is_a_loss(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    client.send(router.address, tally)
    request, source = router.hear()
    clock.pass_s(3.001)
    router.say(reply_to(request), source)
    await settle()
    client.close()
    assert (tally.sent, tally.lost) == (1, 1)


async def test_a_second_answer_is_a_duplicate_and_hides_no_loss(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    client.send(router.address, tally)
    client.send(router.address, tally)
    request, source = router.hear()
    for _ in range(3):
        router.say(reply_to(request), source)
    await settle()
    client.close()
    assert (tally.sent, tally.lost) == (2, 1)


async def test_an_answer_from_another_address_is_not_believed(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    client.send(router.address, tally)
    request, source = router.hear()
    router.say(reply_to(request), source, host="127.0.0.2")
    await settle()
    assert tally.lost == 1
    router.say(reply_to(request), source)
    await settle()
    client.close()
    assert tally.lost == 0


async def test_an_answer_without_our_token_is_not_believed(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    client.send(router.address, tally)
    request, source = router.hear()
    router.say(reply_to(request, payload=bytes(32)), source)
    await settle()
    client.close()
    assert tally.lost == 1


async def test_a_step_of_the_wall_clock_does_not_reach_the_figure(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    client.send(router.address, tally)
    request, source = router.hear()
    clock.step_s(-3600)
    clock.pass_s(0.005)
    router.say(reply_to(request), source)
    await settle()
    client.close()
    assert tally.rtt_ns == [5_000_000]


async def test_requests_nobody_answers_are_forgotten(router: Router) -> None:
    clock, tally = HandClock(), Tally()
    client = udp_client(clock)
    for _ in range(200):
        client.send(router.address, tally)
        clock.pass_s(0.1)
    held = client.waiting
    client.close()
    assert held <= 32  # 3 s at 10 a second, and the newest


async def test_a_name_nobody_knows_is_a_failure_with_a_sentence() -> None:
    with pytest.raises(ProbeFailure, match=r"nowhere\.invalid cannot be resolved") as caught:
        await resolve("nowhere.invalid")
    assert caught.value.failure.code == "name_unknown"


# --- real ICMP, in a namespace of its own -----------------------------------------------------------------------------

ASK = """
import asyncio
from probes.clock import SystemClock
from probes.asker import Tally
from probes.icmp import EchoClient
from probes.lines import resolve
from probes.probe import ProbeFailure

async def ask(host):
    version, address = await resolve(host)
    client = EchoClient.open(version, SystemClock())
    tally = Tally()
    for _ in range(5):
        client.send(address, tally)
    for _ in range(300):
        if tally.lost:
            await asyncio.sleep(0.01)
    print("raw" if client.is_raw else "datagram", tally.sent, tally.lost)
    client.close()

for host in ("127.0.0.1", "::1"):
    try:
        asyncio.run(ask(host))
    except ProbeFailure as error:
        print(error.failure.code, error)
"""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.mark.world
@NEEDS_WORLD[1]
def test_root_asks_by_raw_sockets_where_nobody_is_let_in() -> None:
    with namespaces(1) as (space,):
        space.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        assert space.run(sys.executable, "-c", ASK).splitlines() == ["raw 5 0"] * 2


@pytest.mark.world
@NEEDS_WORLD[1]
def test_anybody_asks_where_the_system_lets_them() -> None:
    with namespaces(1) as (space,):
        space.run("sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        assert space.run(*NOBODY, sys.executable, "-c", ASK).splitlines() == ["datagram 5 0"] * 2


@pytest.mark.world
@NEEDS_WORLD[1]
def test_who_may_not_is_told_the_switch_and_the_capability() -> None:
    with namespaces(1) as (space,):
        space.run("sysctl", "-qw", "net.ipv4.ping_group_range=1 0")
        for line in space.run(*NOBODY, sys.executable, "-c", ASK).splitlines():
            assert line.startswith("no_permission")
            assert "net.ipv4.ping_group_range" in line
            assert "CAP_NET_RAW" in line
