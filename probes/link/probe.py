"""The link, measured always: one STAMP session for each line and hub, a report each ten seconds.

A session lives as long as its socket. When nothing can be sent, or nothing comes back, the name is resolved anew and
another socket opened, with growing patience; what failed is reported all the while.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from math import ceil

from probes.clock import Clock, wall_ms
from probes.config import HubTarget, Line, SiteConfig
from probes.lines import SocketAddress, resolve, version_of
from probes.link.channel import Channel, failure_of
from probes.link.metrics import PROBE
from probes.link.session import ALWAYS, BURST, SECOND_NS, Closed, Session, Stream
from probes.probe import Ask, Context, Emit, ProbeFailure
from probes.report import MAX_LABEL_CHARS, Report

WINDOW_S = 10.0
BURST_S = 60.0
ALARM_RATIO = 0.03
"""Lost in one window: the limit of poor."""
ALARM_BURST_S = 30.0
ALARM_EVERY_S = 600.0
JITTER = 0.1
"""Of the period, either way: keeps burst lengths in ms and falls out of step with periodic faults."""
RETRY_S = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Between tries to open a line; the last for ever, so that each window has its report."""
REOPEN_AFTER_SILENT = frozenset((1, 2, 4, 8, 16))
"""Windows without answer after which another socket is tried: a router may have forgotten the way, or a name moved."""
REOPEN_EACH_SILENT = 30
RESOLVE_EVERY_S = 300.0
REPORT_LINGER_S = 0.05


class Path:
    """One line to one hub: keeps a session alive and turns its windows into reports."""

    def __init__(
        self,
        line: Line,
        hub: HubTarget,
        clock: Clock,
        emit: Emit,
        may: Callable[[str], bool] = lambda do: True,
        chance: random.Random | None = None,
    ) -> None:
        self.line, self.hub = line, hub
        self._clock, self._emit, self._may = clock, emit, may
        self._random = chance or random.Random()
        self._burst_windows = 0
        self._agenda = ""
        self._alarmed_ns: int | None = None
        self._silent = 0
        self._has_moved = False

    def burst(self, seconds: float = BURST_S, agenda: str = "") -> None:
        """From the next window on send at the full rate for so long; `agenda` is the id of what asked for it."""
        self._burst_windows = max(self._burst_windows, ceil(seconds / WINDOW_S))
        self._agenda = agenda

    async def run(self) -> None:
        """Measure until cancelled."""
        failures = 0
        await self._clock.sleep(self._random.random() / ALWAYS.pps)
        while True:
            at_ms = wall_ms(self._clock)
            try:
                version, address = await resolve(self.hub.host, self.hub.stamp_port, version_of(self.line))
                with _session(self.line, self.hub, version, address, self._random) as session:
                    failures = 0
                    await self._measure(session, address)
            except ProbeFailure as failure:
                self._emit(_failed(at_ms, self.line, self.hub, failure))
                await self._clock.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _measure(self, session: Session, address: SocketAddress) -> None:
        """Until the socket is of no use any more."""
        self._has_moved = False
        watch = asyncio.create_task(self._watch_name(address))
        try:
            stream = ALWAYS
            beat = _Beat(self._clock, self._random)
            while not self._wants_another_socket():
                if session.window_is_over:
                    stream = self._next_stream()
                    session.begin_window(stream, wall_ms(self._clock), WINDOW_S, self._agenda)
                _send(session, self.line, self.hub)
                await beat.next(stream.period_ns)
                for closed in session.close_due():
                    self._tell(closed)
        finally:
            watch.cancel()
            for closed in session.close_all():
                self._tell(closed)

    def _next_stream(self) -> Stream:
        if self._burst_windows:
            self._burst_windows -= 1
            return BURST
        self._agenda = ""
        return ALWAYS

    def _wants_another_socket(self) -> bool:
        due = self._silent in REOPEN_AFTER_SILENT or (self._silent and self._silent % REOPEN_EACH_SILENT == 0)
        if due:
            self._silent += 1  # so that one silence is one new socket
        return bool(due) or self._has_moved

    async def _watch_name(self, address: SocketAddress) -> None:
        """A hub that has moved to another address is followed there."""
        with contextlib.suppress(ValueError):
            ip_address(self.hub.host.partition("%")[0])
            return
        while not self._has_moved:
            await self._clock.sleep(RESOLVE_EVERY_S)
            with contextlib.suppress(ProbeFailure):
                _, now = await resolve(self.hub.host, self.hub.stamp_port, version_of(self.line))
                self._has_moved = now[0] != address[0]

    def _tell(self, closed: Closed) -> None:
        self._silent = 0 if closed.measured.failure is None else self._silent + 1
        self._look_closer(closed)
        self._emit(_report_of(closed, self.line, self.hub))

    def _look_closer(self, closed: Closed) -> None:
        """After a bad window burst by ourselves, where the room allows it, but not again and again."""
        now_ns = self._clock.monotonic_ns()
        rested = self._alarmed_ns is None or now_ns - self._alarmed_ns >= ALARM_EVERY_S * SECOND_NS
        if closed.stream is ALWAYS and rested and _is_bad(closed) and not self._burst_windows and self._may("burst"):
            self._alarmed_ns = now_ns
            self.burst(ALARM_BURST_S)


class Paths:
    """Every line of the site to every hub."""

    def __init__(
        self,
        lines: Sequence[Line],
        hubs: Sequence[HubTarget],
        clock: Clock,
        emit: Emit,
        may: Callable[[str], bool] = lambda do: True,
    ) -> None:
        self._paths = [Path(line, hub, clock, emit, may) for line in lines for hub in hubs]

    async def run(self) -> None:
        """Measure until cancelled."""
        async with asyncio.TaskGroup() as group:
            for path in self._paths:
                group.create_task(path.run())

    def take(self, ask: Ask) -> None:
        """Do what the agenda asks: `burst`, to one hub or line or to all; anything else is not for the link."""
        if ask.do != "burst":
            return
        for path in self._paths:
            if ask.args.get("hub", path.hub.id) == path.hub.id and ask.args.get("line", path.line.id) == path.line.id:
                path.burst(float(ask.args.get("seconds", BURST_S)), ask.id)


async def run(ctx: Context) -> None:
    """The agent's runner: measures, and bursts when asked, until cancelled."""
    paths = Paths(ctx.config.lines, ctx.config.hubs, ctx.clock, ctx.emit, ctx.may)
    async with asyncio.TaskGroup() as group:
        group.create_task(paths.run())
        while True:
            paths.take(await ctx.asks.get())


async def once(config: SiteConfig, clock: Clock, seconds: float = WINDOW_S, stream: Stream = ALWAYS) -> list[Report]:
    """One report for each line and hub, after `seconds` of sending and the last answer."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_once(line, hub, clock, seconds, stream)) for line in config.lines for hub in config.hubs
        ]
    return [task.result() for task in tasks]


async def _once(line: Line, hub: HubTarget, clock: Clock, seconds: float, stream: Stream) -> Report:
    chance = random.Random()
    at_ms = wall_ms(clock)
    try:
        version, address = await resolve(hub.host, hub.stamp_port, version_of(line))
        with _session(line, hub, version, address, chance) as session:
            session.begin_window(stream, at_ms, seconds)
            beat = _Beat(clock, chance)
            while not (session.window_is_over and session.all_are_answered):
                if closed := session.close_due():
                    return _report_of(closed[0], line, hub)
                _send(session, line, hub)
                await beat.next(stream.period_ns)
                if session.window_is_over:
                    session.end_window()
            await clock.sleep(REPORT_LINGER_S)  # a copy of the last answer may follow it
            return _report_of(session.close_all()[0], line, hub)
    except ProbeFailure as failure:
        return _failed(at_ms, line, hub, failure)


def _is_bad(closed: Closed) -> bool:
    """Whether a window that was answered lost as much as a meeting would feel."""
    if closed.measured.failure is not None:
        return False
    return any(closed.measured.values.get(f"loss_{way}_ratio", 0.0) >= ALARM_RATIO for way in ("up", "down", "round"))


def _report_of(closed: Closed, line: Line, hub: HubTarget) -> Report:
    values, labels, failure = closed.measured
    labels = {**labels, "stream": closed.stream.name}
    if closed.agenda:
        labels["agenda"] = closed.agenda[:MAX_LABEL_CHARS]
    rounded = {name: round(value, 4 if name.endswith("_ms") else 6) for name, value in values.items()}
    return Report(
        PROBE,
        closed.at_ms,
        round(closed.seconds * 1000),
        target=hub.id,
        line=line.id,
        failure=failure,
        values=rounded,
        labels=labels,
    )


def _failed(at_ms: int, line: Line, hub: HubTarget, failure: ProbeFailure) -> Report:
    return Report(PROBE, at_ms, target=hub.id, line=line.id, failure=failure.failure)


class _Beat:
    """A beat a period, each up to a tenth early or late; beats slept through are not made up for."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self._clock, self._random = clock, chance
        self._due_ns = clock.monotonic_ns()

    async def next(self, period_ns: int) -> None:
        now_ns = self._clock.monotonic_ns()
        self._due_ns += period_ns
        if now_ns - self._due_ns > period_ns:
            self._due_ns = now_ns
        at_ns = self._due_ns + round(self._random.uniform(-JITTER, JITTER) * period_ns)
        await self._clock.sleep(max(0, at_ns - now_ns) / SECOND_NS)


def _send(session: Session, line: Line, hub: HubTarget) -> None:
    try:
        session.send()
    except BlockingIOError:
        pass  # the device's own queue is full: the packet was not sent, so it cannot be lost
    except OSError as error:
        raise failure_of(error, f"the line {line.id} to {hub.host}") from error


@contextlib.contextmanager
def _session(
    line: Line, hub: HubTarget, version: int, address: SocketAddress, chance: random.Random
) -> Iterator[Session]:
    """A session on a socket of its own, heard by the running loop."""
    channel = Channel.open(line, version, address)
    loop = asyncio.get_running_loop()
    try:
        key = bytes.fromhex(hub.stamp_key) if hub.stamp_key else None
        ssid = hub.ssid if hub.ssid is not None else chance.randrange(1, 1 << 16)
        session = Session(channel, ssid, key, line.dscp, chance)
        loop.add_reader(channel.fileno(), session.hear)
        yield session
    finally:
        loop.remove_reader(channel.fileno())
        channel.close()
