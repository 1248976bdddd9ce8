"""The first hop, watched: each line's router asked each second, its cable read each ten, a report each ten.

The router is the one by which the kernel would send a packet of this line to the main bridge: also where a backup
line has a routing table of its own.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Sequence

from probes.asker import LOST_AFTER_NS
from probes.clock import Clock, wall_ms
from probes.config import HubTarget, Line, SiteConfig
from probes.icmp import EchoClient
from probes.lan.measure import Gateway, Nic, Window, failure_of, figures, has_changed
from probes.lan.metrics import PROBE
from probes.lan.netlink import Route, neighbour, route_to
from probes.lan.nic import hardware, read_nic
from probes.lines import SocketAddress, resolve, version_of
from probes.probe import Context, ProbeFailure
from probes.report import Report

SECOND_NS = 1_000_000_000
WINDOW_S = 10
RESOLVE_EVERY_S = 60
ANYWHERE = {4: "203.0.113.1", 6: "2001:db8::1"}
"""Addresses nobody has (RFC 5737, RFC 3849): the way there is the default route. Asked of the kernel, never sent to."""


class FirstHop:
    """One line's first hop: `look` once a second, then take the reports of windows that are complete."""

    def __init__(self, line: Line, clock: Clock, window_s: int = WINDOW_S) -> None:
        self.line = line
        self.target = ANYWHERE[version_of(line) or 4]
        """Numeric address of the main bridge."""
        self._clock = clock
        self._window_ns = window_s * SECOND_NS
        self._clients: dict[int, EchoClient] = {}
        self._windows: deque[Window] = deque()
        self._last: Gateway | None = None
        self._answered: Gateway | None = None

    def look(self) -> None:
        """Find the router, ask it once, and note what the neighbour table says of it."""
        window = self._current()
        route = self._route()
        if route is None:
            return
        interface = _name_of(route.interface_index)
        if window.before is None and interface is not None:
            window.before = read_nic(interface)
        if route.gateway is None or interface is None:
            window.on_link = route.gateway is None
            return
        beside = neighbour(route.gateway, route.interface_index)
        window.states.append(beside.state)
        window.gateway = Gateway(route.gateway, interface, beside.mac or (window.gateway and window.gateway.mac))
        self._ask(window, route, interface)

    def complete(self) -> list[Report]:
        """The reports of windows whose last answer is here or too late."""
        reports = []
        now_ns = self._clock.monotonic_ns()
        while self._windows and now_ns - self._windows[0].start_ns >= self._window_ns + LOST_AFTER_NS:
            reports.append(self._report(self._windows.popleft()))
        return reports

    def finish(self) -> Report:
        """The report of the window under way, as it stands."""
        return self._report(self._windows.pop())

    @property
    def is_answered(self) -> bool:
        """Whether nothing of the window under way is still waited for."""
        return bool(self._windows) and self._windows[-1].tally.lost == 0

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _current(self) -> Window:
        now_ns = self._clock.monotonic_ns()
        if not self._windows or now_ns - self._windows[-1].start_ns >= self._window_ns:
            self._end_window()
            self._windows.append(Window(wall_ms(self._clock), now_ns))
        return self._windows[-1]

    def _end_window(self) -> None:
        if self._windows:
            self._windows[-1].after = self._port(self._windows[-1])

    def _port(self, window: Window) -> Nic | None:
        interface = window.before.interface if window.before else self.line.interface
        interface = interface or (self._last.interface if self._last else None)
        return read_nic(interface) if interface and _index_of(interface) else None

    def _route(self) -> Route | None:
        """The way to the main bridge; where that is this machine itself, the way to anywhere."""
        index = _index_of(self.line.interface) if self.line.interface else None
        try:
            route = route_to(self.target, self.line.source, index)
            anywhere = ANYWHERE[6 if ":" in self.target else 4]
            return route_to(anywhere, self.line.source, index) if route.is_local else route
        except OSError:
            return None

    def _ask(self, window: Window, route: Route, interface: str) -> None:
        assert route.gateway is not None
        version = 6 if ":" in route.gateway else 4
        address: SocketAddress = (route.gateway, 0, 0, route.interface_index) if version == 6 else (route.gateway, 0)
        try:
            self._client(version, interface).send(address, window.tally)
        except ProbeFailure as failure:
            window.is_silenced = failure.failure
        if window.tally.unsent_errno and version in self._clients:  # the port may have come back as another
            self._clients.pop(version).close()

    def _client(self, version: int, interface: str) -> EchoClient:
        if version not in self._clients:
            line = Line(self.line.id, source=self.line.source, interface=interface)
            self._clients[version] = EchoClient.open(version, self._clock, line)
        return self._clients[version]

    def _report(self, window: Window) -> Report:
        if window.after is None:
            window.after = self._port(window)
        if window.gateway is not None and (window.tally.rtt_ns or self._is_another(window.gateway)):
            self._answered = window.gateway if window.tally.rtt_ns else None
        failure = failure_of(window, [read_nic(each) for each in hardware()])
        values, labels = figures(window, self._last, self._answered is not None)
        self._last = window.gateway or self._last
        took_ms = (self._clock.monotonic_ns() - window.start_ns) // 1_000_000
        took_ms = min(took_ms, self._window_ns // 1_000_000)
        return Report(PROBE, window.at_ms, took_ms, line=self.line.id, failure=failure, values=values, labels=labels)

    def _is_another(self, gateway: Gateway) -> bool:
        return self._answered is not None and has_changed(self._answered, gateway)


async def run(ctx: Context) -> None:
    """Watch every line's first hop until cancelled."""
    hops = [FirstHop(line, ctx.clock) for line in ctx.config.lines]
    async with asyncio.TaskGroup() as group:
        group.create_task(_follow_target(hops, ctx.config.hubs, ctx.clock))
        for hop in hops:
            group.create_task(_watch(hop, ctx))


async def once(config: SiteConfig, clock: Clock, seconds: int = 5) -> list[Report]:
    """One report for each line, after `seconds` looks a second apart and the last answer."""
    hops = [FirstHop(line, clock, window_s=seconds + WINDOW_S) for line in config.lines]
    try:
        for hop in hops:
            hop.target = await _address_of(config.hubs, hop.line)
        for _ in range(seconds):
            for hop in hops:
                hop.look()
            await clock.sleep(1)
        await _wait_for_answers(hops, clock)
        return [hop.finish() for hop in hops]
    finally:
        for hop in hops:
            hop.close()


async def _watch(hop: FirstHop, ctx: Context) -> None:
    await ctx.clock.sleep(random.random())  # lines and sites must not knock together
    due_ns = ctx.clock.monotonic_ns()
    try:
        while True:
            hop.look()
            for report in hop.complete():
                ctx.emit(report)
            now_ns = ctx.clock.monotonic_ns()
            due_ns = max(due_ns + SECOND_NS, now_ns)  # seconds slept through are not made up for
            await ctx.clock.sleep((due_ns - now_ns) / SECOND_NS)
    finally:
        hop.close()


async def _follow_target(hops: Sequence[FirstHop], hubs: Sequence[HubTarget], clock: Clock) -> None:
    """The main bridge's address may change, or become known only once the line is up."""
    while True:
        for hop in hops:
            hop.target = await _address_of(hubs, hop.line)
        await clock.sleep(RESOLVE_EVERY_S)


async def _address_of(hubs: Sequence[HubTarget], line: Line) -> str:
    """Numeric address of the first main bridge that the line can speak to; anywhere if none has a known name."""
    for hub in hubs:
        try:
            _, address = await resolve(hub.host, version=version_of(line))
        except ProbeFailure:
            continue
        return address[0].partition("%")[0]
    return ANYWHERE[version_of(line) or 4]


async def _wait_for_answers(hops: Sequence[FirstHop], clock: Clock) -> None:
    give_up_ns = clock.monotonic_ns() + LOST_AFTER_NS
    while clock.monotonic_ns() < give_up_ns and not all(hop.is_answered for hop in hops):
        await clock.sleep(0.05)


def _name_of(index: int) -> str | None:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None


def _index_of(interface: str) -> int | None:
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return None
