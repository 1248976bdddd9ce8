"""The path run, daily and on demand: MTU, capacity, free bandwidth and the routers on the way, as one report.

    report = await measure_path(hub, line, clock, may_go_on=lambda: not meeting_is_near())

Runs in a thread on sockets of its own, some 25 s and 3 MB. `may_go_on` is asked before every train and burst.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from probes.clock import Clock, wall_ms
from probes.config import HubTarget, Line
from probes.lines import SocketAddress, resolve, version_of
from probes.link.capacity import TRAIN_IP_BYTES, Capacity, MayGoOn, measure_capacity
from probes.link.metrics import PROBE
from probes.link.path_mtu import PathMtu, measure_mtu
from probes.link.path_socket import PMTUDISC_PROBE, PathSocket
from probes.link.trace import Trace, is_other_path, labels_of, trace
from probes.probe import ProbeFailure
from probes.report import Failure, Report


class Part(StrEnum):
    """What a path run may measure; the trace alone costs nothing and may run in a meeting."""

    MTU = "mtu"
    CAPACITY = "capacity"
    TRACE = "trace"


ALL = tuple(Part)


def always() -> bool:
    return True


class _Way(NamedTuple):
    """To whom, by which line."""

    version: int
    address: SocketAddress
    target: HubTarget
    line: Line
    clock: Clock
    stop: threading.Event

    def open(self) -> PathSocket:
        return PathSocket(*self)


class PathRun(NamedTuple):
    """The report, and the hops to hand to the next run as `hops_before` (empty where they were not traced)."""

    report: Report
    hops: list[str]


async def measure_path(
    target: HubTarget,
    line: Line,
    clock: Clock,
    parts: Sequence[Part] = ALL,
    may_go_on: MayGoOn = always,
    hops_before: Sequence[str] = (),
) -> PathRun:
    """Measure the path of a line to a hub; never raises, a failed run is a report too.

    `may_go_on` is called in another thread. Cancelled, it sends nothing more.
    """
    at, start_ns = wall_ms(clock), clock.monotonic_ns()
    stop = threading.Event()
    values: dict[str, float] = {}
    labels = {"run": "path"}
    failure, hops = None, list[str]()
    try:
        if not may_go_on() and any(part is not Part.TRACE for part in parts):
            raise ProbeFailure("meeting", "The path was not measured: a meeting is under way or near.")
        version, address = await resolve(target.host, target.stamp_port, version_of(line))
        way = _Way(version, address, target, line, clock, stop)
        hops = await asyncio.to_thread(_measure, way, parts, may_go_on, hops_before, values, labels)
    except ProbeFailure as error:
        failure = error.failure
    finally:
        stop.set()
    if failure is None and not values:
        text = f"Nothing came back from {target.host}, port {target.stamp_port}, in any packet size."
        failure = Failure("path_unmeasured", text)
    took_ms = (clock.monotonic_ns() - start_ns) // 1_000_000
    report = Report(PROBE, at, took_ms, target=target.id, line=line.id, failure=failure, values=values, labels=labels)
    return PathRun(report, hops)


def _measure(
    way: _Way,
    parts: Sequence[Part],
    may_go_on: MayGoOn,
    hops_before: Sequence[str],
    values: dict[str, float],
    labels: dict[str, str],
) -> list[str]:
    train_ip_bytes, hops = TRAIN_IP_BYTES, list[str]()
    if Part.TRACE in parts:
        with way.open() as path:
            found = trace(path)
        hops = found.names
        add_trace(values, labels, found, hops_before)
    if Part.MTU in parts and not way.stop.is_set():
        with way.open() as path:
            mtu = measure_mtu(path)
        add_mtu(values, labels, mtu)
        train_ip_bytes = mtu.whole or TRAIN_IP_BYTES
    if Part.CAPACITY in parts and not way.stop.is_set():
        with way.open() as path:
            path.discover(PMTUDISC_PROBE)
            capacity = measure_capacity(path, may_go_on, train_ip_bytes)
            add_capacity(values, labels, capacity, path.spent_bytes)
    return hops


# --- figures as values and labels -----------------------------------------------------------------------------------


def add_trace(values: dict[str, float], labels: dict[str, str], found: Trace, hops_before: Sequence[str]) -> None:
    """The count only where the hub was reached: a trace cut short has no length."""
    labels.update(labels_of(found))
    if found.reached:
        values["path_hops_count"] = len(found.hops)
        if hops_before:
            values["path_changed"] = float(is_other_path(hops_before, found.names))


def add_mtu(values: dict[str, float], labels: dict[str, str], found: PathMtu) -> None:
    """Nothing where not even the smallest size passed."""
    if found.whole is not None:
        values["path_mtu_bytes"] = found.whole
        labels["mtu"] = "up_only" if found.up_only else "both_ways"
    if found.answered is not None:
        values["path_mtu_icmp_bytes"] = found.told
        values["path_mtu_black_hole"] = float(found.is_black_hole)
        if found.whole is not None and found.answered > found.whole:
            labels["mtu_down"] = "fragmented"


def add_capacity(values: dict[str, float], labels: dict[str, str], found: Capacity, spent_bytes: int) -> None:
    """Only what was found."""
    figures = {
        "capacity_up_mbps": found.up_mbps,
        "capacity_down_mbps": found.down_mbps,
        "available_up_mbps": found.free_up_mbps,
        "available_down_mbps": found.free_down_mbps,
    }
    values.update({name: value for name, value in figures.items() if value is not None})
    if found.up_mbps is not None:
        values["capacity_spent_bytes"] = spent_bytes
    if found.at_least:
        labels["at_least"] = " ".join(found.at_least)
    if found.token_bucket:
        labels["token_bucket"] = " ".join(found.token_bucket)
    if found.is_stopped:
        labels["stopped"] = "meeting"
