"""Both ways of reading and answering, on real sockets of both families."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from probes.config import ConfigError
from probes.hub.mmsg import BATCH, BatchPort, has_mmsg
from probes.hub.plain import PlainPort
from probes.hub.sockets import CannotListen, drops_of, open_socket, open_sockets, parse_listen
from probes.link.admit import Senders
from probes.link.packet import (
    ClassOfService,
    Tlv,
    TlvType,
    class_of_service_in,
    class_of_service_value,
    ntp_from_unix_ns,
)
from probes.link.reflect import Reflector
from tests.probes.hub.hubs import PATIENCE_S, Asker, loopback

Make = Callable[..., Asker]
KINDS = {"recvmmsg": BatchPort, "recvmsg": PlainPort}


@dataclass
class Served:
    sock: socket.socket
    reflector: Reflector
    port: BatchPort | PlainPort
    waits: list[tuple[int, int]]

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.sock.getsockname()[:2]
        return host, port

    def turn(self) -> int:
        """Wait until something is there, then one turn."""
        assert select.select([self.sock], [], [], PATIENCE_S)[0]
        return self.port.turn(time.monotonic_ns())


@pytest.fixture(params=[(kind, version) for kind in KINDS for version in (4, 6)], ids="{0[0]}-v{0[1]}".format)
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    kind, version = request.param
    with open_socket(loopback(version == 6), 0) as sock:
        reflector = Reflector(Senders(near=True), frozenset((sock.getsockname()[1],)), source_pps=10_000)
        waits: list[tuple[int, int]] = []
        port = KINDS[kind](sock, reflector, lambda wait_ns, count: waits.append((wait_ns, count)))
        yield Served(sock, reflector, port, waits)


def test_this_system_can_batch() -> None:
    assert has_mmsg()


def test_a_packet_is_answered_with_the_kernels_stamp_and_the_ttl_it_came_with(served: Served, asker_of: Make) -> None:
    asker = asker_of(served.address)
    until = time.monotonic() + PATIENCE_S
    for number in count():  # stamping is switched on by a worker of the kernel, which may take its time
        asker.send()
        sent_ns = asker.sent_ns
        answered_from_ns = time.time_ns()
        served.turn()
        reply = asker.hear()
        assert reply.seq == number
        assert reply.ttl == 64
        if reply.t2 < ntp_from_unix_ns(answered_from_ns) or time.monotonic() > until:
            break
    assert ntp_from_unix_ns(sent_ns) <= reply.t2 < ntp_from_unix_ns(answered_from_ns) <= reply.t3 + 1


@pytest.mark.parametrize("dscp", [0, 34, 46])
def test_the_answer_leaves_with_the_dscp_that_was_asked_for(served: Served, dscp: int, asker_of: Make) -> None:
    asker = asker_of(served.address)
    v6 = asker.sock.family == socket.AF_INET6
    level, tos, receive = (41, 67, 66) if v6 else (0, 1, 13)
    asker.sock.setsockopt(level, receive, 1)
    asker.sock.setsockopt(level, tos, 10 << 2)
    asker.send((Tlv(TlvType.CLASS_OF_SERVICE, class_of_service_value(ClassOfService(dscp))),))
    served.turn()
    packet, ancillary, _, _ = asker.sock.recvmsg(9216, 256)
    assert [data[0] for at, kind, data in ancillary if (at, kind) in ((0, 1), (41, 67))] == [dscp << 2]
    told = class_of_service_in(packet, 44, len(packet))
    assert told is not None
    assert told.received == 10


def test_each_packet_of_a_batch_gets_its_own_answer(served: Served, asker_of: Make) -> None:
    askers = [asker_of(served.address, ssid=number) for number in range(1, 41)]
    for asker in askers:
        asker.send()
        asker.send()
    while served.reflector.answered < 80:
        served.turn()
    for number, asker in enumerate(askers, 1):
        assert [(asker.hear().ssid, seq) for seq in range(2)] == [(number, 0), (number, 1)]
    assert max(count for _, count in served.waits) <= BATCH


def test_a_refused_packet_amid_a_batch_does_not_shift_the_answers(served: Served, asker_of: Make) -> None:
    askers = [asker_of(served.address, ssid=number) for number in range(1, 21)]
    for number, asker in enumerate(askers):
        if number % 3 == 0:
            asker.sock.send(b"short")
        asker.send()
    while served.reflector.answered < 20:
        served.turn()
    assert [asker.hear().ssid for asker in askers] == list(range(1, 21))
    assert served.reflector.refused["too_short"] == 7


def test_the_answer_leaves_with_the_highest_ttl(served: Served, asker_of: Make) -> None:
    asker = asker_of(served.address)
    v6 = asker.sock.family == socket.AF_INET6
    asker.sock.setsockopt(*((41, 51, 1) if v6 else (0, 12, 1)))
    asker.send()
    served.turn()
    _, ancillary, _, _ = asker.sock.recvmsg(9216, 256)
    assert [data[0] for level, kind, data in ancillary if (level, kind) in ((0, 2), (41, 52))] == [255]


@pytest.mark.parametrize("size", [44, 45, 48, 200, 1200, 8000])
def test_the_answer_is_as_long_as_the_request(served: Served, size: int, asker_of: Make) -> None:
    asker = asker_of(served.address)
    asker.sock.send(struct.pack("!IQHH28x", 1, ntp_from_unix_ns(time.time_ns()), 1, 7) + bytes(size - 44))
    served.turn()
    assert len(asker.sock.recv(9216)) == size


def test_a_longer_answer_before_does_not_lengthen_the_next(served: Served, asker_of: Make) -> None:
    asker = asker_of(served.address)
    asker.send((Tlv(TlvType.EXTRA_PADDING, bytes(1000)),))
    served.turn()
    asker.send()
    served.turn()
    assert [len(asker.sock.recv(9216)) for _ in range(2)] == [1048, 44]


def test_a_packet_longer_than_a_jumbo_frame_is_refused(served: Served, asker_of: Make) -> None:
    asker = asker_of(served.address)
    asker.sock.send(bytes(9217))
    served.turn()
    assert served.reflector.refused["too_long"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_comes_from_the_address_that_was_asked(kind: str, asker_of: Make) -> None:
    with open_socket("0.0.0.0", 0) as sock:
        port = KINDS[kind](sock, Reflector(Senders(near=True)), lambda wait_ns, count: None)
        asker = asker_of(("127.8.9.10", sock.getsockname()[1]))  # connected: hears that address alone
        asker.send()
        assert select.select([sock], [], [], PATIENCE_S)[0]
        port.turn(time.monotonic_ns())
        assert asker.hear().sender_seq == 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_sent_is_counted_and_does_not_hold_up_the_rest(kind: str, asker_of: Make) -> None:
    with open_socket("127.0.0.1", 0) as sock:
        reflector = Reflector(Senders(near=True))
        port = KINDS[kind](sock, reflector, lambda wait_ns, count: None)
        askers = [asker_of(sock.getsockname()) for _ in range(3)]
        for asker in askers:
            asker.send()
        sock.connect(askers[0].sock.getsockname())
        sock.shutdown(socket.SHUT_WR)  # every answer now meets EPIPE
        assert port.turn(time.monotonic_ns()) == 3
        assert reflector.refused["unsendable"] == 3


def test_drops_of_our_own_socket_are_counted(asker_of: Make) -> None:
    with open_socket("127.0.0.1", 0) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asker = asker_of(sock.getsockname())
        for _ in range(100):
            asker.send()
        taken = 0
        while select.select([sock], [], [], 0)[0]:
            sock.recv(100)
            taken += 1
        assert taken < 100
        assert drops_of(sock) == 100 - taken


# --- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("[::]:862", ("::", 862)),
        ("0.0.0.0:8620", ("0.0.0.0", 8620)),
        ("127.0.0.1", ("127.0.0.1", 862)),
        ("[::1]", ("::1", 862)),
        ("fd00::7", ("fd00::7", 862)),
        ("localhost:99", ("127.0.0.1", 99)),
    ],
)
def test_an_address_to_listen_on_is_read(text: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(text, 862) == parsed


@pytest.mark.parametrize("text", ["", "hub.example:862", "1.2.3.4:x", "1.2.3.4:70000", "[::1]862x", "1.2.3.4:-1"])
def test_an_address_that_is_none_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"\.$") as caught:
        parse_listen(text, 862)
    assert text in str(caught.value)


def test_any_address_means_both_families_on_one_port_for_each_worker() -> None:
    groups = open_sockets("[::]:0", 862, 2)
    try:
        assert [[each.family for each in group] for group in groups] == [[socket.AF_INET6, socket.AF_INET]] * 2
        assert len({each.getsockname()[1] for group in groups for each in group}) == 1
    finally:
        for each in (each for group in groups for each in group):
            each.close()


def test_a_port_that_is_taken_is_named_with_a_way_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"port {port} .* is taken .*--listen"):
            open_sockets(f"127.0.0.1:{port}", 862, 1)


def test_a_second_hub_of_the_same_user_does_not_share_the_port_in_silence() -> None:
    [[first]] = open_sockets("127.0.0.1:0", 862, 1)
    with first, pytest.raises(CannotListen, match="is taken"):
        open_sockets(f"127.0.0.1:{first.getsockname()[1]}", 862, 1)
