"""The path run over loopback, against the real reflector and against a router's: what it says, and when it stops."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from probes.clock import SystemClock
from probes.config import HubTarget, Line
from probes.link.admit import Sender, Senders
from probes.link.packet import ntp_from_unix_ns
from probes.link.path import Part, PathRun, measure_path
from probes.link.reflect import REFUSED, Reflector

KEY = bytes(range(32))
Answer = Callable[[bytes, bytes], bytes | None]
"""Packet and source (as a socket address has them) to answer."""


def hub(*senders: Sender, near: bool = True) -> Answer:
    """The hub's own reflector, without its processes."""
    reflector = Reflector(Senders(senders, near), packets_per_second=100_000, source_pps=100_000)

    def answer(packet: bytes, source: bytes) -> bytes | None:
        request, reply = bytearray(packet.ljust(9216, b"\0")), bytearray(9216)
        now = ntp_from_unix_ns(time.time_ns())
        tos = reflector.answer(reply, request, len(packet), source, 64, 0, now, now, time.monotonic_ns())
        return None if tos == REFUSED else bytes(reply[: max(44, len(packet))])

    return answer


def router(packet: bytes, source: bytes) -> bytes | None:
    """A TWAMP-Light router: 38 octets, whatever it is asked, without TTL or padding."""
    answer = hub()(packet, source)
    return None if answer is None else answer[:38]


def silence(packet: bytes, source: bytes) -> bytes | None:
    return None


@contextmanager
def answering(how: Answer) -> Iterator[int]:
    """Answers on a port of loopback until the block ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    packet, source = sock.recvfrom(9216)
                except TimeoutError:
                    continue
                octets = source[1].to_bytes(2) + socket.inet_aton(source[0])
                if (answer := how(packet, octets)) is not None:
                    sock.sendto(answer, source)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            done.set()
            thread.join()


async def run(
    port: int, *parts: Part, may_go_on: Callable[[], bool] = lambda: True, key: bytes | None = None
) -> PathRun:
    target = HubTarget("hp", "127.0.0.1", port, ssid=7 if key else None, stamp_key=key.hex() if key else None)
    return await measure_path(target, Line("backup"), SystemClock(), parts, may_go_on)


async def test_the_report_names_line_hub_and_run() -> None:
    with answering(hub()) as port:
        report, hops = await run(port, Part.MTU, Part.TRACE)
    assert (report.probe, report.target, report.line, report.failure) == ("link", "hp", "backup", None)
    assert report.labels["run"] == "path"
    assert report.values["path_mtu_bytes"] == 1500
    assert report.values["path_mtu_black_hole"] == 0
    assert report.values["path_hops_count"] == 0
    assert hops == []


async def test_packets_prove_themselves_where_a_key_is_agreed() -> None:
    with answering(hub(Sender("31-1", 7, KEY), near=False)) as port:
        report, _ = await run(port, Part.MTU, Part.TRACE, key=KEY)
        assert report.values["path_mtu_bytes"] == 1500
        stranger, _ = await run(port, Part.TRACE, key=bytes(32))
        assert stranger.failure is not None


async def test_a_router_that_answers_short_shows_the_way_up_only() -> None:
    with answering(router) as port:
        report, _ = await run(port, Part.MTU)
    assert report.values["path_mtu_bytes"] == 1500
    assert report.labels["mtu"] == "up_only"


async def test_a_hub_that_keeps_silent_is_no_figure_and_a_sentence() -> None:
    with answering(silence) as port:
        report, _ = await run(port, Part.MTU)
    assert report.values == {}
    assert report.failure is not None
    assert report.failure.code == "path_unmeasured"
    assert str(port) in report.failure.text


async def test_nothing_is_sent_when_a_meeting_is_near() -> None:
    heard = []
    with answering(lambda packet, source: heard.append(packet)) as port:
        report, _ = await run(port, *Part, may_go_on=lambda: False)
    assert report.failure is not None
    assert report.failure.code == "meeting"
    assert heard == []


async def test_a_trace_is_small_enough_for_a_meeting() -> None:
    with answering(hub()) as port:
        report, _ = await run(port, Part.TRACE, may_go_on=lambda: False)
    assert report.failure is None
    assert report.values["path_hops_count"] == 0


async def test_a_meeting_that_comes_near_stops_the_trains() -> None:
    heard, asked = [], iter([True] * 3 + [False] * 99)
    answer = hub()

    def count(packet: bytes, source: bytes) -> bytes | None:
        heard.append(packet)
        return answer(packet, source)

    with answering(count) as port:
        report, _ = await run(port, Part.CAPACITY, may_go_on=lambda: next(asked))
    assert report.labels["stopped"] == "meeting"
    assert len(heard) == 20 + 50


async def test_a_run_that_is_cancelled_sends_nothing_more() -> None:
    heard: list[bytes] = []
    first = threading.Event()

    def note(packet: bytes, source: bytes) -> None:
        heard.append(packet)
        first.set()

    with answering(note) as port:
        task = asyncio.create_task(run(port, Part.CAPACITY))
        assert await asyncio.to_thread(first.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        sent = len(heard)
        await asyncio.sleep(1.5)
        assert len(heard) == sent


async def test_a_name_nobody_knows_is_a_failed_run() -> None:
    report, _ = await measure_path(HubTarget("hp", "nowhere.invalid"), Line(), SystemClock())
    assert report.failure is not None
    assert report.failure.code == "name_unknown"


async def test_a_line_whose_address_is_gone_is_a_failed_run() -> None:
    report, _ = await measure_path(HubTarget("hp", "127.0.0.1"), Line(source="203.0.113.7"), SystemClock())
    assert report.failure is not None
    assert report.failure.code == "source_missing"
