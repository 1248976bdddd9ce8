"""The path run between namespaces, against the real hub: MTU, capacity, free bandwidth, routers on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from probes.report import Report
from tests.world.link import Link, Namespace, Way, chain, namespaces
from tests.world.needs import NEEDS_WORLD

pytestmark = NEEDS_WORLD

PORT = 8620
HUB = "import asyncio, logging; logging.basicConfig(); from probes.hub.service import open_mode; " + (
    f"asyncio.run(open_mode('[::]:{PORT}'))"
)
MEASURE = f"""
import asyncio, sys
import msgspec
from probes.clock import SystemClock
from probes.config import HubTarget, Line
from probes.link.path import Part, measure_path

target, parts = HubTarget("hp", sys.argv[1], {PORT}), [Part(word) for word in sys.argv[2].split()]
run = asyncio.run(measure_path(target, Line(), SystemClock(), parts))
print(msgspec.json.encode(run.report).decode())
"""


@contextmanager
def hub_in(space: Namespace) -> Iterator[None]:
    with space.start(sys.executable, "-c", HUB, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            assert "Hub in open mode" in process.stderr.readline()
            yield
        finally:
            process.terminate()


def measured(space: Namespace, host: str, parts: str) -> Report:
    out = space.run(sys.executable, "-c", MEASURE, host, parts)
    return msgspec.json.decode(out, type=Report)


def hops_of(report: Report) -> list[str]:
    return " ".join(text for name, text in report.labels.items() if name.startswith("hops_")).split()


@contextmanager
def measured_over(parts: str, ab: Way, ba: Way, ipv6: bool = False) -> Iterator[Report]:
    with namespaces(2) as (site, hub), Link(site, hub, ab=ab, ba=ba) as link, hub_in(hub):
        yield measured(site, link.b_ip6 if ipv6 else link.b_ip, parts)


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "black hole"])
@pytest.mark.parametrize("mtu", [1500, 1437, 1280])
def test_the_path_mtu_is_exact(mtu: int, told: bool, ipv6: bool) -> None:
    way = Way(delay_ms=5, mtu=mtu, mtu_icmp=told)
    with measured_over("mtu", way, way, ipv6) as report:
        assert report.values["path_mtu_bytes"] == mtu
        assert report.values["path_mtu_icmp_bytes"] == (mtu if told else 1500)
        assert report.values["path_mtu_black_hole"] == (not told and mtu < 1500)


def test_losses_do_not_shrink_the_path_mtu() -> None:
    with measured_over("mtu", Way(mtu=1400, mtu_icmp=False, loss=0.05), Way(loss=0.05)) as report:
        assert report.values["path_mtu_bytes"] == 1400


def test_a_narrow_way_back_is_seen_and_is_no_black_hole() -> None:
    with measured_over("mtu", Way(), Way(mtu=1333), ipv6=True) as report:
        assert report.values["path_mtu_bytes"] == 1333
        assert report.values["path_mtu_black_hole"] == 0
        assert report.labels["mtu_down"] == "fragmented"


@pytest.mark.slow
@pytest.mark.parametrize(("up", "down"), [(10, 10), (20, 8)])
def test_the_capacity_is_within_five_percent(up: float, down: float) -> None:
    ab, ba = Way(delay_ms=5, rate_kbps=up * 1000), Way(delay_ms=5, rate_kbps=down * 1000)
    with measured_over("capacity", ab, ba) as report:
        assert report.values["capacity_up_mbps"] == pytest.approx(up, rel=0.05)
        assert report.values["capacity_down_mbps"] == pytest.approx(down, rel=0.05)
        assert report.values["available_up_mbps"] == pytest.approx(up, rel=0.15)
        assert report.values["available_down_mbps"] == pytest.approx(down, rel=0.15)
        assert 1e6 < report.values["capacity_spent_bytes"] < 4e6
        assert "capacity_up" not in report.labels["at_least"]
        assert ("capacity_down" in report.labels["at_least"]) is (down >= up)
        assert "token_bucket" not in report.labels


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_every_router_on_the_way_is_named(ipv6: bool) -> None:
    with chain(4) as way, hub_in(way.right):
        report = measured(way.left, way.right_ip6 if ipv6 else way.right_ip, "trace")
        hops = (way.hops6 if ipv6 else way.hops)[:-1]
        assert report.values["path_hops_count"] == 4
        assert hops_of(report) == list(hops)


def test_a_router_that_keeps_silent_is_a_gap() -> None:
    with chain(3) as way, hub_in(way.right):
        way.routers[1].ip("rule add pref 10 iif lo blackhole")  # it forwards, but never speaks itself
        report = measured(way.left, way.right_ip, "trace")
        assert hops_of(report) == [way.hops[0], "*", way.hops[2]]
        assert report.values["path_hops_count"] == 3


def test_a_trace_without_a_hub_ends_where_the_last_router_is() -> None:
    with chain(2) as way:
        report = measured(way.left, way.right_ip, "trace")
        assert report.labels["trace"] == "hub_not_reached"
        assert hops_of(report) == list(way.hops)
        assert "path_hops_count" not in report.values
