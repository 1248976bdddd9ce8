"""The Session-Sender on real sockets, against reflectors of every kind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from probes.clock import SystemClock
from probes.config import HubTarget, Line
from probes.link import packet as wire
from probes.link.metrics import FAILURES, METRICS
from probes.link.metronome import Metronome
from probes.link.probe import Path, Paths, once, run
from probes.link.session import BURST, Stream
from probes.probe import Ask, Context
from probes.report import Report
from tests.probes.fakes import running, until
from tests.probes.link.responders import (
    Answer,
    Conforming,
    TwampLight,
    exchanging_t1_and_t3,
    now,
    responding,
    site,
    stateless,
)

FAST = Stream("fast", 50, 44, 1200)
KEY = bytes(range(32))
DECLARED = {metric.name for metric in METRICS}
DECLARED_FAILURES = {failure.code for failure in FAILURES}


async def measured(answer: Answer, seconds: float = 1.0, stream: Stream = FAST, **hub: object) -> Report:
    async with responding(answer) as target:
        known = HubTarget(target.id, target.host, target.stamp_port, **hub)  # type: ignore[arg-type]
        (report,) = await once(site(known), SystemClock(), seconds, stream)
    assert report.values.keys() <= DECLARED, report.values.keys() - DECLARED
    assert len(report.labels) <= 16
    assert report.failure is None or report.failure.code in DECLARED_FAILURES
    return report


def among(*places: int) -> set[int]:
    return set(places)


async def test_a_clean_line_is_measured_without_loss_and_with_the_kernels_stamps() -> None:
    report = await measured(Conforming())
    assert report.failure is None
    assert report.values["sent_packets"] == report.values["received_packets"] >= 45
    assert report.values["lost_up_packets"] == report.values["lost_down_packets"] == 0
    assert report.values["loss_up_high_ratio"] > 0, "no loss in fifty packets is no proof of a lossless line"
    assert 0 < report.values["rtt_min_ms"] <= report.values["rtt_p50_ms"] <= report.values["rtt_max_ms"] < 1000
    assert report.labels["stamps"] == "kernel"
    assert (report.target, report.line, report.labels["mode"]) == ("hp", "main", "open")
    assert report.labels["mos_model"].startswith("G.107")


async def test_each_loss_is_laid_at_the_way_that_lost_it() -> None:
    report = await measured(Conforming(lost_up=among(5, 9, 10).__contains__, lost_down=among(20, 30).__contains__))
    assert (report.values["lost_up_packets"], report.values["lost_down_packets"]) == (3, 2)
    assert (report.values["loss_runs_up_count"], report.values["loss_runs_down_count"]) == (2, 2)
    assert report.labels["reflector"] == "stateful"
    assert "lost_round_packets" not in report.values


async def test_losses_on_the_way_down_alone_do_not_make_the_reflector_look_stateless() -> None:
    report = await measured(Conforming(lost_down=among(7, 8).__contains__), seconds=1.5)
    assert (report.values["lost_up_packets"], report.values["lost_down_packets"]) == (0, 2)
    assert report.labels["reflector"] == "stateful"


async def test_a_duplicate_hides_no_loss() -> None:
    report = await measured(Conforming(lost_up=among(5).__contains__, doubled=among(6, 7).__contains__))
    assert (report.values["lost_up_packets"], report.values["dup_down_packets"]) == (1, 2)


async def test_the_dscp_is_told_at_both_ends_apart() -> None:
    report = await measured(Conforming())
    assert report.values["dscp_sent"] == report.values["dscp_up"] == 0
    assert report.values["ttl_up"] == 61


async def test_an_authenticated_session_is_sealed_both_ways() -> None:
    reflector = Conforming(key=KEY)
    report = await measured(reflector, ssid=77, stamp_key=KEY.hex())
    assert report.failure is None
    assert report.labels["mode"] == "auth"
    assert report.values["lost_up_packets"] == report.values["foreign_packets"] == 0
    requests = [wire.decode_request(data, KEY) for data in reflector.requests]
    assert {request.ssid for request in requests} == {77}
    assert {len(data) for data in reflector.requests} == {112, 1200}
    assert report.values["dscp_up"] == 0, "its extensions were sealed, checked and read"


async def test_answers_of_another_key_are_no_answers() -> None:
    report = await measured(Conforming(key=bytes(32)), seconds=0.4, ssid=77, stamp_key=KEY.hex())
    assert report.failure is not None
    assert report.failure.code == "nonconforming"
    assert "HMAC" in report.failure.text
    assert report.values["received_packets"] == 0


async def test_the_always_stream_is_as_long_as_agreed() -> None:
    reflector = Conforming()
    await measured(reflector)
    lengths = sorted(map(len, reflector.requests))
    assert set(lengths) == {44, 1200}
    assert lengths.count(1200) in (1, 2)


async def test_a_burst_is_of_200_octets_fifty_times_a_second() -> None:
    reflector = Conforming()
    report = await measured(reflector, stream=BURST)
    assert set(map(len, reflector.requests)) == {200}
    assert report.values["rate_pps"] == pytest.approx(50, abs=6)
    assert report.values["worst_200ms_up_ratio"] == 0
    assert report.labels["stream"] == "burst"


async def test_a_twamp_light_router_is_measured_without_what_it_does_not_tell() -> None:
    report = await measured(TwampLight())
    assert report.failure is None
    assert report.values["lost_up_packets"] == 0
    assert not {"ttl_up", "dscp_up", "dscp_ef_up", "owd_up_ms"} & report.values.keys()


async def test_a_stateless_router_is_named_and_its_losses_have_no_direction() -> None:
    lost = iter(range(100))

    def answer(data: bytes) -> list[bytes]:
        return [] if next(lost) in (4, 20) else stateless(data)

    report = await measured(answer, seconds=2.0)
    assert report.labels["reflector"] == "stateless"
    assert report.values["lost_round_packets"] == 2
    assert report.values["loss_round_ratio"] == pytest.approx(2 / report.values["sent_packets"], abs=1e-6)
    assert not {"lost_up_packets", "loss_down_ratio", "reflected_packets"} & report.values.keys()


async def test_a_reflector_that_exchanges_the_stamps_is_named_and_not_measured() -> None:
    report = await measured(exchanging_t1_and_t3, seconds=0.4)
    assert report.failure is not None
    assert report.failure.code == "nonconforming"
    assert "T1 and T3 are exchanged" in report.failure.text
    assert "rtt_p50_ms" not in report.values


async def test_a_forged_answer_counts_for_nothing() -> None:
    conforming = Conforming()

    def answer(data: bytes) -> list[bytes]:
        forged = bytearray(conforming(data)[0])
        genuine = bytes(forged)
        forged[28:36] = struct.pack("!Q", now() + (5 << 32))
        return [bytes(forged), genuine]

    report = await measured(answer)
    assert report.values["foreign_packets"] >= report.values["sent_packets"]
    assert report.values["dup_down_packets"] == report.values["lost_up_packets"] == 0


async def test_answers_cut_short_are_refused() -> None:
    report = await measured(lambda data: [data[:20]], seconds=0.4)
    assert report.failure is not None
    assert "too short" in report.failure.text


async def test_one_way_delay_is_absent_while_a_clock_is_not_synchronised() -> None:
    report = await measured(Conforming(), seconds=0.4)
    assert not {"owd_up_ms", "owd_down_ms", "clock_error_ms"} & report.values.keys()


async def test_a_silent_hub_cannot_be_reached_and_what_was_sent_is_still_told() -> None:
    report = await measured(lambda data: [], seconds=0.2)
    assert report.failure is not None
    assert report.failure.code == "hub_unreachable"
    assert report.values["lost_round_packets"] == report.values["sent_packets"] > 0
    assert not {"lost_up_packets", "dup_up_packets", "rtt_p50_ms", "mos_estimate"} & report.values.keys()


async def test_a_port_where_nobody_listens_is_told_apart_from_silence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    (report,) = await once(site(HubTarget("hp", "127.0.0.1", port)), SystemClock(), 0.2, FAST)
    assert report.failure is not None
    assert report.failure.code == "hub_unreachable"
    assert "nothing listens" in report.failure.text


@pytest.mark.parametrize(
    ("hub", "line", "code"),
    [
        (HubTarget("hp", "no-such-name.invalid"), Line(), "name_unknown"),
        (HubTarget("hp", "127.0.0.1"), Line(source="192.0.2.7"), "source_missing"),
        (HubTarget("hp", "127.0.0.1"), Line(interface="no-such-if"), "source_missing"),
        (HubTarget("hp", "255.255.255.255"), Line(), "send_refused"),
    ],
)
async def test_a_line_that_cannot_be_used_says_why(hub: HubTarget, line: Line, code: str) -> None:
    (report,) = await once(site(hub, line=line), SystemClock(), 0.2)
    assert report.failure is not None
    assert (report.failure.code, code in DECLARED_FAILURES) == (code, True)
    assert report.failure.text.endswith(".")
    assert not report.values


async def test_ipv6_is_measured_alike() -> None:
    async with responding(Conforming(), host="::1") as hub:
        (report,) = await once(site(hub), SystemClock(), 0.5, FAST)
    assert report.failure is None
    assert report.labels["stamps"] == "kernel"
    assert report.values["ttl_down"] > 0
    assert report.values["dscp_down"] == 0


async def test_several_hubs_are_measured_at_once_one_report_each() -> None:
    async with responding(Conforming()) as first, responding(Conforming()) as second:
        hubs = (first, HubTarget("hd", second.host, second.stamp_port))
        reports = await once(site(*hubs), SystemClock(), 0.3, FAST)
    assert [report.target for report in reports] == ["hp", "hd"]
    assert all(report.failure is None for report in reports)


@asynccontextmanager
async def agent_against(answer: Answer, may: bool = True) -> AsyncIterator[tuple[Context, list[Report]]]:
    reports: list[Report] = []
    async with responding(answer) as hub:
        ctx = Context(site(hub), SystemClock(), reports.append, may=lambda do: may)
        async with running(run(ctx)):
            yield ctx, reports


@pytest.mark.slow
async def test_the_agent_reports_every_ten_seconds_and_bursts_when_asked() -> None:
    async with agent_against(Conforming()) as (ctx, reports):
        ctx.asks.put_nowait(Ask("burst", "a-17", {"seconds": 10}))
        await until(lambda: len(reports) == 2, limit_s=40)
    burst, after = reports[:2]  # and what was under way at the end
    assert (burst.labels["stream"], burst.labels["agenda"]) == ("burst", "a-17")
    assert burst.values["rate_pps"] == pytest.approx(50, abs=2)
    assert after.labels["stream"] == "always"
    assert "agenda" not in after.labels
    assert after.values["rate_pps"] == pytest.approx(10, abs=0.5)
    assert after.at - burst.at == pytest.approx(10_000, abs=300)


@pytest.mark.slow
async def test_a_bad_window_is_looked_at_more_closely_where_the_room_allows_it() -> None:
    async with agent_against(Conforming(lost_down=lambda place: place % 10 == 5)) as (_, reports):
        await until(lambda: len(reports) == 3, limit_s=60)
    assert [report.labels["stream"] for report in reports[:3]] == ["always", "always", "burst"]


async def test_what_is_under_way_is_reported_when_the_agent_ends() -> None:
    reports: list[Report] = []
    async with responding(Conforming()) as hub:
        paths = Paths([Line()], [hub], SystemClock(), reports.append)
        async with running(paths.run()):
            await asyncio.sleep(0.5)
    (report,) = reports
    assert report.values["lost_up_packets"] == report.values["lost_down_packets"] == 0
    assert 0 < report.took_ms < 10_000


async def test_a_line_that_comes_up_later_is_measured_from_then_on() -> None:
    reports: list[Report] = []
    reflector = Conforming()
    async with responding(reflector) as hub:
        path = Path(Line(source="192.0.2.7"), hub, SystemClock(), reports.append)
        metronome = Metronome(SystemClock(), Random(1))
        async with running(metronome.run()), running(path.run(metronome)):
            await until(lambda: len(reports) == 2)
            path.line = Line()
            await until(lambda: len(reflector.requests) > 2)
    assert [report.failure.code for report in reports[:2] if report.failure] == ["source_missing", "source_missing"]
    assert reports[2].failure is None
