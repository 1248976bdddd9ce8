"""A worker process on real sockets: floods, loops, replays, renewed lists, and its own end."""

from __future__ import annotations

import secrets
import select
import socket
import struct
import time
from collections.abc import Callable

import msgspec
import pytest

from probes.hub.sockets import open_socket
from probes.hub.talk import HubSite, Start
from probes.link.packet import Request, encode_request, ntp_from_unix_ns
from tests.probes.hub.hubs import PATIENCE_S, Asker, RunningWorker, running_worker

Make = Callable[..., Asker]
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
SITES = [HubSite("31-11329", 700, KEY.hex()), HubSite("31-11330", 701, OTHER_KEY.hex())]
SEALED = Start([], [], SITES, packets_per_second=200_000)
NEAR = Start([], [], near=True, source_pps=100)


def counts_after(worker: RunningWorker, reason: str, least: int) -> dict[str, int]:
    """What was refused, once the reason was counted so often."""
    deadline = time.monotonic() + PATIENCE_S
    while (status := worker.status()).refused.get(reason, 0) < least:
        assert time.monotonic() < deadline, status
    return {name: count for name, count in status.refused.items() if count}


@pytest.mark.parametrize("v6", [False, True], ids=["v4", "v6"])
def test_a_worker_answers_and_tells_what_it_did(v6: bool, asker_of: Make) -> None:
    with running_worker(NEAR, v6) as worker:
        asker = asker_of(worker.address)
        assert [asker.ask().seq for _ in range(5)] == [0, 1, 2, 3, 4]
        while (status := worker.status()).answered < 5:
            pass
        assert status.sessions == 1


def test_without_batches_it_answers_the_same(asker_of: Make) -> None:
    with running_worker(msgspec.structs.replace(NEAR, batches=False)) as worker:
        asker = asker_of(worker.address)
        assert [asker.ask().seq for _ in range(3)] == [0, 1, 2]


def test_an_authenticated_session_goes_on_through_a_flood_of_forged_packets(asker_of: Make) -> None:
    with running_worker(SEALED) as worker:
        asker, flood = asker_of(worker.address, 700, KEY), asker_of(worker.address)
        assert asker.ask().seq == 0
        forged = [
            encode_request(Request(1, 1 << 40, 1, 700), OTHER_KEY),
            encode_request(Request(1, 1 << 40, 1, 7)),
            secrets.token_bytes(112),
            b"x",
        ]
        sent = 0
        for seq in range(1, 21):
            for _ in range(200):
                flood.sock.send(forged[sent % len(forged)])
                sent += 1
            assert asker.ask().seq == seq
        refused = counts_after(worker, "too_short", sent // 4)
        assert flood.hears_nothing()
        assert sum(refused.values()) == sent


def test_a_replayed_recording_is_not_answered(asker_of: Make) -> None:
    with running_worker(SEALED) as worker:
        asker = asker_of(worker.address, 700, KEY)
        packets = [
            bytes(encode_request(Request(seq, ntp_from_unix_ns(time.time_ns()), 1, 700), KEY)) for seq in range(9)
        ]
        for packet in packets:
            asker.sock.send(packet)
        for _ in packets:
            asker.hear()
        for packet in packets:
            asker.sock.send(packet)
        assert counts_after(worker, "replay", 9) == {"replay": 9}
        assert asker.hears_nothing()


def test_one_forged_packet_does_not_run_between_two_reflectors() -> None:
    """The source of the packet is the other reflector's own address and port, as an attacker would forge it."""
    with (
        open_socket("127.0.0.1", 0) as sock,
        running_worker(NEAR, sock=sock) as first,
        running_worker(NEAR) as second,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger,
    ):
        forger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        forger.bind(first.address)
        forger.sendto(encode_request(Request(1, ntp_from_unix_ns(time.time_ns()), 1, 7)), second.address)
        if select.select([forger], [], [], 0.5)[0]:  # the kernel may hand the answer to us and not to the reflector
            passed_on = forger.recv(100)
            forger.close()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
                another.sendto(passed_on, first.address)
        statuses = [(first.status(), second.status()) for _ in range(3)][-1]
        assert [each.answered for each in statuses] == [0, 1]
        assert {name: count for name, count in statuses[0].refused.items() if count} == {"answer": 1}


def test_a_source_that_floods_gets_its_rate_and_no_more(asker_of: Make) -> None:
    with running_worker(NEAR) as worker:
        asker = asker_of(worker.address)
        start = time.monotonic()
        for seq in range(2000):
            asker.seq = seq + 1
            asker.send()
        refused = counts_after(worker, "source_rate", 1)
        most = 101 + 100 * (time.monotonic() - start)
        assert 100 <= 2000 - refused["source_rate"] <= most


def test_thousands_of_forged_sources_leave_a_live_session_its_place(asker_of: Make) -> None:
    start = msgspec.structs.replace(NEAR, sessions=256)
    with running_worker(start) as worker, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        live = asker_of(worker.address)
        answered = [live.ask().seq]
        packet = [encode_request(Request(1, ntp_from_unix_ns(time.time_ns()), 1, 7))]
        forger.bind(("", 0))
        for forged in range(4000):
            local = struct.pack("=i4s4s", 0, bytes((127, 3, forged >> 8, forged & 255)), bytes(4))
            forger.sendmsg(packet, [(socket.IPPROTO_IP, 8, local)], 0, worker.address)
            if forged % 200 == 0:
                answered.append(live.ask().seq)
        assert answered == list(range(21))
        assert counts_after(worker, "new_rate", 1)
        assert worker.status().sessions <= 256


def test_a_site_comes_falls_silent_and_comes_back(asker_of: Make) -> None:
    with running_worker(SEALED) as worker:
        asker = asker_of(worker.address, 700, KEY)
        asker.ask()
        said: list[tuple[list[str], list[str]]] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(said) < 2 and time.monotonic() < deadline:
            status = worker.status()
            if status.came or status.went:
                said.append((status.came, status.went))
        asker.ask()
        while len(said) < 3 and time.monotonic() < deadline:
            status = worker.status()
            if status.came or status.went:
                said.append((status.came, status.went))
        assert said == [(["31-11329"], []), ([], ["31-11329"]), (["31-11329"], [])]


def test_a_renewed_list_takes_and_ends_sessions_at_once(asker_of: Make) -> None:
    with running_worker(SEALED) as worker:
        old, new = asker_of(worker.address, 700, KEY), asker_of(worker.address, 702, KEY)
        assert old.ask().seq == 0
        new.send()
        assert new.hears_nothing()
        worker.say(msgspec.json.encode([HubSite("31-11331", 702, KEY.hex())]))
        deadline = time.monotonic() + PATIENCE_S
        new.sock.settimeout(0.2)
        answered = False
        while not answered and time.monotonic() < deadline:
            new.send()
            try:
                answered = new.hear().ssid == 702
            except TimeoutError:
                continue
        assert answered
        old.send()
        assert old.hears_nothing()


def test_a_worker_ends_with_its_supervisor() -> None:
    with running_worker(NEAR) as worker:
        worker.status()
        assert worker.process.stdin is not None
        worker.process.stdin.close()
        assert worker.process.wait(PATIENCE_S) == 0
