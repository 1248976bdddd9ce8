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
from probes.link.metronome import Metronome
from probes.link.session import ALWAYS, BURST, SECOND_NS, Closed, Session, Stream
from probes.probe import Ask, Context, Emit, ProbeFailure
from probes.report import MAX_LABEL_CHARS, Report

WINDOW_S = 10.0
BURST_S = 60.0
ALARM_RATIO = 0.03
"""Lost in one window: the limit of poor."""
ALARM_BURST_S = 30.0
ALARM_EVERY_S = 600.0
RETRY_S = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Between tries to open a line; the last for ever, so that each window has its report."""
REOPEN_AFTER_SILENT = frozenset((1, 2, 4, 8, 16))
"""Windows without answer after which another socket is tried: a router may have forgotten the way, or a name moved."""
REOPEN_EACH_SILENT = 30
RESOLVE_EVERY_S = 300.0


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

    async def run(self, metronome: Metronome) -> None:
        """Measure until cancelled."""
        failures = 0
        while True:
            at_ms = wall_ms(self._clock)
            try:
                version, address = await resolve(self.hub.host, self.hub.stamp_port, version_of(self.line))
                with _session(self.line, self.hub, version, address, self._random) as session:
                    failures = 0
                    await self._measure(session, address, metronome)
            except ProbeFailure as failure:
                self._emit(_failed(at_ms, self.line, self.hub, failure))
                await self._clock.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    async def _measure(self, session: Session, address: SocketAddress, metronome: Metronome) -> None:
        """Until the socket is of no use any more."""
        self._has_moved = False
        watch = asyncio.create_task(self._watch_name(address))
        try:
            await metronome.play(_Always(self, session))
        finally:
            watch.cancel()
            for closed in session.close_all():
                self.tell(closed)

    def begin_window(self, session: Session) -> None:
        """The next ten seconds, at the rate that is wanted."""
        session.begin_window(self._next_stream(), wall_ms(self._clock), WINDOW_S, self._agenda)

    def _next_stream(self) -> Stream:
        if self._burst_windows:
            self._burst_windows -= 1
            return BURST
        self._agenda = ""
        return ALWAYS

    def wants_another_socket(self) -> bool:
        """Whether this one has been silent for long, or the hub has moved."""
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

    def tell(self, closed: Closed) -> None:
        """A window has closed: report it, and look closer where it was bad."""
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


class _Always:
    """Plays one session's part: window after window."""

    def __init__(self, path: Path, session: Session) -> None:
        self._path, self._session = path, session

    @property
    def period_ns(self) -> int:
        return self._session.stream.period_ns

    @property
    def size(self) -> int:
        return self._session.next_size

    def beat(self) -> bool:
        session = self._session
        session.hear()
        for closed in session.close_due():
            self._path.tell(closed)
        if session.window_is_over:
            self._path.begin_window(session)
        _send(session, self._path.line, self._path.hub)
        return not self._path.wants_another_socket()


class _Once:
    """Plays one window, and on until its last packet is answered or lost."""

    def __init__(self, session: Session, line: Line, hub: HubTarget) -> None:
        self._session, self._line, self._hub = session, line, hub
        self.closed: Closed | None = None

    @property
    def period_ns(self) -> int:
        return self._session.stream.period_ns

    @property
    def size(self) -> int:
        return self._session.next_size

    def beat(self) -> bool:
        session = self._session
        session.hear()
        if session.window_is_over:
            session.end_window()
            due = session.close_all() if session.all_are_answered else session.close_due()
            if due:
                self.closed = due[0]
                return False
        _send(session, self._line, self._hub)
        return True


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
        self._metronome = Metronome(clock, random.Random())

    async def run(self) -> None:
        """Measure until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._metronome.run())
            for path in self._paths:
                group.create_task(path.run(self._metronome))

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
    metronome = Metronome(clock, random.Random())
    beating = asyncio.create_task(metronome.run())
    try:
        runs = [_once(line, hub, clock, metronome, seconds, stream) for line in config.lines for hub in config.hubs]
        return list(await asyncio.gather(*runs))
    finally:
        beating.cancel()


async def _once(
    line: Line, hub: HubTarget, clock: Clock, metronome: Metronome, seconds: float, stream: Stream
) -> Report:
    at_ms = wall_ms(clock)
    try:
        version, address = await resolve(hub.host, hub.stamp_port, version_of(line))
        with _session(line, hub, version, address, random.Random()) as session:
            session.begin_window(stream, at_ms, seconds)
            player = _Once(session, line, hub)
            await metronome.play(player)
            assert player.closed is not None
            return _report_of(player.closed, line, hub)
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
    """A session on a socket of its own."""
    channel = Channel.open(line, version, address)
    try:
        key = bytes.fromhex(hub.stamp_key) if hub.stamp_key else None
        ssid = hub.ssid if hub.ssid is not None else chance.randrange(1, 1 << 16)
        session = Session(channel, ssid, key, line.dscp, chance)
        with _heard_at_once(session) if not channel.is_stamped else contextlib.nullcontext():
            yield session
    finally:
        channel.close()


@contextlib.contextmanager
def _heard_at_once(session: Session) -> Iterator[None]:
    """Without the kernel's stamps an answer's time is when we read it."""
    loop, socket_number = asyncio.get_running_loop(), session.channel.fileno()
    loop.add_reader(socket_number, session.hear)
    try:
        yield
    finally:
        loop.remove_reader(socket_number)
