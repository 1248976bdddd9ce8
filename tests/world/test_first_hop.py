"""The first hop between real namespaces: a site's box, its router behind a cable, and what goes wrong with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from probes.report import Report
from tests.world.namespaces import Namespace, call, namespaces
from tests.world.needs import NEEDS_WORLD

pytestmark = NEEDS_WORLD

WATCH = """
import asyncio, sys
import msgspec
from probes.clock import SystemClock
from probes.config import Line
from probes.lan.probe import FirstHop

async def watch(target, *line):
    hop = FirstHop(Line(*line), SystemClock(), window_s=1)
    hop.target = target
    while True:
        hop.look()
        for report in hop.complete():
            print(msgspec.json.encode(report).decode(), flush=True)
        await asyncio.sleep(0.25)

asyncio.run(watch(*(word or None for word in sys.argv[1:])))
"""
HUB = "198.51.100.1"
HUB6 = "2001:db8:1::1"
ROUTER_MAC = "02:dc:00:00:00:01"
PATIENCE = 60
"""Windows of a second before a test gives up."""

Reports = Iterator[Report]


@contextmanager
def room() -> Iterator[tuple[Namespace, Namespace]]:
    """A site and its router, a cable between them: 192.168.1.2 and 192.168.1.1, port `cable` at the site."""
    with namespaces(2) as (site, router):
        wire = f"name cable netns {site.name} type veth peer name cable netns {router.name} address {ROUTER_MAC}"
        call("ip", "link", "add", *wire.split())
        site.ip("addr add 192.168.1.2/24 dev cable")
        router.ip("addr add 192.168.1.1/24 dev cable")
        for space in (site, router):
            space.ip("link set cable up")
        site.ip("route add default via 192.168.1.1")
        yield site, router


@contextmanager
def watching(site: Namespace, target: str = HUB, *line: str) -> Iterator[Reports]:
    words = (sys.executable, "-c", WATCH, target, *line)
    with site.start(*words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield (msgspec.json.decode(text, type=Report) for text in process.stdout)
        process.kill()


def until(reports: Reports, holds: Callable[[Report], bool]) -> Report:
    seen = []
    for _ in range(PATIENCE):
        report = next(reports)
        if holds(report):
            return report
        seen.append(report)
    raise AssertionError(f"{PATIENCE} reports and none as wanted; the last: {seen[-1]}")


def test_a_router_that_answers_is_measured() -> None:
    with room() as (site, _), watching(site) as reports:
        report = next(reports)
        assert report.failure is None
        assert report.labels["gateway"] == "192.168.1.1"
        assert report.labels["gateway_mac"] == ROUTER_MAC
        assert report.values["gateway_loss_ratio"] == 0
        assert 0 < report.values["gateway_rtt_p50_ms"] < 1000
        assert report.values["wifi"] == 0


def test_a_router_that_ignores_echo_is_silent_and_loses_nothing() -> None:
    with room() as (site, router):
        router.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
        with watching(site) as reports:
            report = until(reports, lambda each: each.values.get("gateway_up") == 1)
            assert report.labels["gateway_silent"] == "yes"
            assert report.labels["gateway_seen_by"] == "arp"
            assert "gateway_loss_ratio" not in report.values


@pytest.mark.slow
def test_a_silent_router_that_goes_away_is_found_gone_by_arp() -> None:
    with room() as (site, router):
        router.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
        for switch in ("base_reachable_time_ms", "delay_first_probe_time"):  # the kernel's half minute, shortened
            site.sysctl(f"net.ipv4.neigh.cable.{switch}", 1000 if switch.endswith("ms") else 1)
        with watching(site) as reports:
            until(reports, lambda each: each.values.get("gateway_up") == 1)
            router.ip("link set cable arp off")
            router.ip("addr flush dev cable")
            until(reports, lambda each: each.values.get("gateway_up") == 0)


@pytest.mark.slow
def test_a_router_that_falls_silent_loses_packets() -> None:
    with room() as (site, router), watching(site) as reports:
        next(reports)
        router.sysctl("net.ipv4.icmp_echo_ignore_all", 1)
        report = until(reports, lambda each: each.values.get("gateway_loss_ratio") == 1)
        assert "gateway_silent" not in report.labels


@pytest.mark.slow
def test_a_cable_pulled_out_is_told() -> None:
    with room() as (site, router), watching(site) as reports:
        next(reports)
        router.ip("link set cable down")
        report = until(reports, lambda each: each.failure is not None)
        assert report.failure is not None
        assert report.failure.code == "cable_unplugged"
        router.ip("link set cable up")
        until(reports, lambda each: each.failure is None and each.values["gateway_loss_ratio"] == 0)


@pytest.mark.slow
def test_another_router_at_the_same_address_is_told_once() -> None:
    with room() as (site, router), watching(site) as reports:
        next(reports)
        router.ip("link set cable address 02:dc:00:00:00:99")
        site.ip("neigh flush dev cable")
        report = until(reports, lambda each: each.values.get("gateway_changed") == 1)
        assert report.labels["gateway_was"] == f"192.168.1.1 {ROUTER_MAC}"
        assert until(reports, lambda each: True).values["gateway_changed"] == 0


def test_no_route_is_no_router() -> None:
    with room() as (site, _):
        site.ip("route del default")
        with watching(site) as reports:
            report = next(reports)
            assert report.failure is not None
            assert report.failure.code == "no_gateway"


def test_a_hub_on_the_same_cable_needs_no_router() -> None:
    with room() as (site, _), watching(site, "192.168.1.77") as reports:
        report = next(reports)
        assert report.failure is None
        assert report.labels["gateway"] == "none_needed"


@pytest.mark.parametrize("bound_by", ["source", "interface"])
def test_a_backup_line_has_a_router_of_its_own(bound_by: str) -> None:
    with room() as (site, router):
        wire = f"name spare netns {site.name} type veth peer name spare netns {router.name}"
        call("ip", "link", "add", *wire.split())
        for space, host in ((site, 2), (router, 1)):
            space.ip(f"addr add 192.168.2.{host}/24 dev spare")
            space.ip("link set spare up")
        site.ip("route add default via 192.168.2.1 table 200")
        site.ip("rule add from 192.168.2.2 lookup 200")
        site.ip("route add default via 192.168.2.1 metric 500")
        line = ("backup", "192.168.2.2") if bound_by == "source" else ("backup", "", "spare")
        with watching(site, HUB, *line) as reports:
            report = next(reports)
            assert report.line == "backup"
            assert (report.labels["gateway"], report.labels["interface"]) == ("192.168.2.1", "spare")
            assert report.values["gateway_loss_ratio"] == 0


def test_an_ipv6_router_is_asked_by_its_link_local_address() -> None:
    with room() as (site, router):
        for space, host in ((site, 2), (router, 1)):
            space.ip(f"addr add fe80::{host}/64 dev cable nodad")
        site.ip("addr add fd00:1::2/64 dev cable nodad")
        site.ip("-6 route add default via fe80::1 dev cable")
        with watching(site, HUB6) as reports:
            report = next(reports)
            assert report.labels["gateway"] == "fe80::1"
            assert report.labels["gateway_mac"] == ROUTER_MAC
            assert report.values["gateway_loss_ratio"] == 0
