"""Many routers asked from one place: evenly, each in its own window, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from probes.asker import Tally
from probes.clock import SystemClock
from probes.link.packet import OPEN_REPLY_HEAD, OPEN_REQUEST_HEAD, ntp_from_unix_ns
from probes.reach.measure import Router
from probes.reach.probe import Reach
from probes.reach.twamp import TwampClient
from probes.report import Report
from tests.probes.fakes import HandClock
from tests.world.needs import NEEDS_WORLD

pytestmark = NEEDS_WORLD  # raw ICMP sockets


async def gather(reach: Reach, reports: list[Report], count: int) -> None:
    task = asyncio.create_task(reach.run())
    async with asyncio.timeout(60):
        while len(reports) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_every_router_is_reported_with_its_site() -> None:
    reports: list[Report] = []
    reach = Reach(SystemClock(), reports.append, every_s=2)
    reach.know([Router(f"31-{host}", f"127.0.0.{host}") for host in range(1, 101)])
    await gather(reach, reports, 200)
    assert {report.site for report in reports} == {f"31-{host}" for host in range(1, 101)}
    assert all(report.values["up"] == 1 and report.failure is None for report in reports)
    assert all(report.probe == "reach" and report.labels == {"by": "icmp"} for report in reports)


async def test_windows_end_spread_out_and_not_all_at_once() -> None:
    reports: list[Report] = []
    reach = Reach(SystemClock(), reports.append, every_s=2)
    reach.know([Router(f"31-{host}", f"127.0.0.{host}") for host in range(1, 101)])
    await gather(reach, reports, 200)
    ends = sorted(report.at + report.took_ms for report in reports[-100:])
    most = max(sum(at <= end < at + 100 for end in ends) for at in ends)
    assert most < 40


async def test_a_name_nobody_knows_fails_its_own_site_only() -> None:
    reports: list[Report] = []
    reach = Reach(SystemClock(), reports.append, every_s=1)
    reach.know([Router("a", "nowhere.invalid"), Router("b", "127.0.0.1")])
    await gather(reach, reports, 6)
    for report in reports:
        code = report.failure.code if report.failure else None
        assert code == ("name_unknown" if report.site == "a" else None)


async def test_a_router_taken_off_the_list_is_asked_no_more() -> None:
    reports: list[Report] = []
    reach = Reach(SystemClock(), reports.append, every_s=1)
    reach.know([Router("a", "127.0.0.1"), Router("b", "127.0.0.2")])
    await gather(reach, reports, 4)
    reports.clear()
    reach.know([Router("b", "127.0.0.2")])
    await gather(reach, reports, 12)
    assert {report.site for report in reports[-3:]} == {"b"}


@contextmanager
def twamp_router(shift: int = 0) -> Iterator[int]:
    """Answers each request with 38 octets; `shift` falsifies the stamp given back."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)

        def answer() -> None:
            packet, source = sock.recvfrom(2048)
            seq, t1, error, ssid = OPEN_REQUEST_HEAD.unpack_from(packet)
            t2 = ntp_from_unix_ns(10**18)
            sock.sendto(OPEN_REPLY_HEAD.pack(seq, t2, 1, ssid, t2, seq, t1 + shift, error), source)

        loop.add_reader(sock, answer)
        yield sock.getsockname()[1]
        loop.remove_reader(sock)


async def test_a_twamp_port_is_asked_and_believed() -> None:
    reports: list[Report] = []
    reach = Reach(SystemClock(), reports.append, every_s=1)
    with twamp_router() as port:
        reach.know([Router("a", "127.0.0.1", port)])
        await gather(reach, reports, 3)
    assert reports[-1].labels == {"by": "twamp"}
    assert 0 < reports[-1].values["rtt_p50_ms"] < 500


async def test_an_answer_that_gives_back_another_stamp_is_not_believed() -> None:
    reports: list[Report] = []
    reach = Reach(SystemClock(), reports.append, every_s=1)
    with twamp_router(shift=1) as port:
        reach.know([Router("a", "127.0.0.1", port)])
        await gather(reach, reports, 3)
    assert reports[-1].labels == {"by": "icmp", "twamp": "silent"}


async def test_what_a_router_held_is_no_delay_of_the_way() -> None:
    """On a clock moved by hand: 40 ms pass, of which the router says it held 35."""
    clock, tally = HandClock(), Tally()
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # no kernel stamps: those are not of this clock
    plain.setblocking(False)
    client = TwampClient(plain, clock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as router:
        router.bind(("127.0.0.1", 0))
        client.send(router.getsockname(), tally)
        packet, source = router.recvfrom(2048)
        seq, t1, error, ssid = OPEN_REQUEST_HEAD.unpack_from(packet)
        clock.pass_s(0.040)
        t2, t3 = ntp_from_unix_ns(10**18), ntp_from_unix_ns(10**18 + 35_000_000)
        router.sendto(OPEN_REPLY_HEAD.pack(seq, t3, 1, ssid, t2, seq, t1, error), source)
        for _ in range(5):
            await asyncio.sleep(0)
    client.close()
    assert tally.rtt_ns == [pytest.approx(5_000_000, abs=2)]
