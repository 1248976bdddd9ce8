"""The far end at a main bridge as one service: workers that reflect, a supervisor that reports. It is a device.

The supervisor carries no packet: it opens the sockets, keeps the workers alive, fetches the list of sites, tells the
centre of its own health each 10 s and of a silent site at once, and measures the other hubs.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from socket import socket

import probes.host.probe as host
import probes.link.probe as link
from probes.agent import Work, keep_running, switched_off
from probes.centre import Centre
from probes.clock import Clock, SystemClock, wall_ms
from probes.config import CentreTarget, ConfigError, HubConfig, SiteConfig
from probes.delivery import Delivery
from probes.hub.crew import Crew
from probes.hub.exposition import exposition
from probes.hub.health import EVERY_S, health, presence_reports, wait_p99_ms
from probes.hub.http import serve_metrics
from probes.hub.metrics import PROBE
from probes.hub.sites import SiteList
from probes.hub.sockets import open_sockets, parse_listen
from probes.hub.talk import Start
from probes.hub.waits import Waits
from probes.link.packet import STAMP_PORT
from probes.link.reflect import AGREED_PPS, OPEN_PPS
from probes.notify import notify, watchdog_s
from probes.probe import Context, Emit
from probes.push import Push
from probes.report import Report
from probes.spool import Spool

METRICS_PORT = 9862
LAG_EVERY_S = 0.05
FLUSH_LIMIT_S = 3.0

log = logging.getLogger(__name__)


class Hub:
    """Everything a running hub consists of, but the sockets' packets, which the workers see alone."""

    def __init__(self, config: HubConfig, sockets: Sequence[Sequence[socket]], near: bool, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._random = Random()
        self._mode = "open" if near else "listed"
        self._site_list = SiteList(Path(config.spool.dir) / "sites.json") if config.centre else None
        self._crew = Crew(sockets, self._start_of(sockets, near), self._tell, clock)
        self._emit: Emit = _nowhere
        self._loop_waits = Waits()
        self._lag_p99_ms: float | None = None
        self._wait_p99_ms: float | None = None

    def _start_of(self, sockets: Sequence[Sequence[socket]], near: bool) -> Start:
        config = self._config
        return Start(
            fds=[],
            own_ports=sorted({each.getsockname()[1] for group in sockets for each in group}),
            sites=self._site_list.sites if self._site_list else [],
            near=near,
            packets_per_second=max(1, config.packets_per_second // config.workers),
            sessions=config.sessions,
            source_pps=OPEN_PPS if near else 2 * AGREED_PPS,
            clock_window_s=config.clock_window_s,
        )

    async def run(self) -> None:
        """Until cancelled; then everything measured is stored, and sent if the centre takes it quickly."""
        work: dict[str, Work] = {
            "workers": self._crew.run,
            "loop": self._watch_loop,
            "health": self._report_health,
            "manager": self._tell_manager,
        }
        async with AsyncExitStack() as stack:
            if self._config.metrics_listen is not None:
                await self._serve_metrics(self._config.metrics_listen, stack)
            if self._config.centre is not None:
                work |= await self._be_a_device(self._config.centre, stack)
            async with asyncio.TaskGroup() as group:
                for name, each in work.items():
                    group.create_task(keep_running(name, each, self._emit, self._clock, self._random))

    async def _be_a_device(self, target: CentreTarget, stack: AsyncExitStack) -> dict[str, Work]:
        """What a device does beside its own work; stopped last, so that nothing emitted is lost."""
        config, clock = self._config, self._clock
        centre = await stack.enter_async_context(Centre(target))
        spool = Spool(Path(config.spool.dir) / "spool.db", config.spool.max_bytes, clock)
        stack.callback(spool.close)
        push = Push(centre, target.device, spool, clock, lambda agenda: None, self._random)
        delivery = Delivery(spool, push.wake)
        stack.push_async_callback(_end_delivery, delivery, asyncio.create_task(delivery.run()), push, clock)
        self._emit = delivery.emit
        site = SiteConfig(config.site, hubs=config.peers, spool=config.spool)
        context = Context(site, clock, delivery.emit, held=spool.held)
        know, site_list = self._crew.know, self._site_list
        assert site_list is not None
        return {
            "push": push.run,
            "sites": lambda: site_list.keep_fresh(centre, know, clock, self._random),
            "link": lambda: link.run(context),
            "host": lambda: host.run(context),
        }

    async def _serve_metrics(self, listen: str, stack: AsyncExitStack) -> None:
        address, port = parse_listen(listen, METRICS_PORT)
        try:
            server = await serve_metrics(address, port, self._metrics_text)
        except OSError as error:
            raise ConfigError(
                f"metrics_listen = {listen!r}: the port cannot be opened ({error.strerror}); choose another."
            ) from error
        stack.callback(server.close)

    def _metrics_text(self) -> str:
        lag, wait = (None if each is None else each / 1e3 for each in (self._lag_p99_ms, self._wait_p99_ms))
        return exposition(self._crew.totals(), self._mode, lag, wait)

    async def _report_health(self) -> None:
        before = self._crew.totals()
        while True:
            at, start_ns = wall_ms(self._clock), self._clock.monotonic_ns()
            await self._clock.sleep(EVERY_S)
            now, loop_waits, packet_waits = self._crew.totals(), self._loop_waits.take(), self._crew.take_waits()
            self._lag_p99_ms, self._wait_p99_ms = wait_p99_ms(loop_waits), wait_p99_ms(packet_waits)
            took_ms = (self._clock.monotonic_ns() - start_ns) // 1_000_000
            values = health(before, now, loop_waits, packet_waits)
            self._emit(Report(PROBE, at, took_ms, values=values, labels={"hub": self._mode}))
            before = now

    def _tell(self, sites: list[str], silent: bool) -> None:
        if silent:
            log.warning("Not heard for 3 s: %s.", ", ".join(sites[:20]) + (" …" if len(sites) > 20 else ""))
        for report in presence_reports(sites, silent, wall_ms(self._clock)):
            self._emit(report)

    async def _watch_loop(self) -> None:
        """How late the loop wakes what asked to be woken."""
        while True:
            start_ns = self._clock.monotonic_ns()
            await self._clock.sleep(LAG_EVERY_S)
            self._loop_waits.add(max(0, self._clock.monotonic_ns() - start_ns - int(LAG_EVERY_S * 1e9)))

    async def _tell_manager(self) -> None:
        """READY, then a sign of life at least twice within the service manager's patience."""
        every_s = (watchdog_s() or 60.0) / 3
        notify("READY=1")
        while True:
            totals = self._crew.totals()
            notify(f"WATCHDOG=1\nSTATUS={totals.sessions} sessions, {totals.workers} workers")
            await asyncio.sleep(every_s)


def _nowhere(report: Report) -> None:
    """Where reports of a hub without a centre go: /metrics tells what there is to tell."""


async def _end_delivery(delivery: Delivery, storing: asyncio.Task[None], push: Push, clock: Clock) -> None:
    delivery.emit(switched_off(wall_ms(clock)))
    delivery.close()
    await storing
    await push.last_words(FLUSH_LIMIT_S)


async def serve(config: HubConfig, clock: Clock | None = None) -> None:
    """Run a hub from its configuration until cancelled, SIGTERM or SIGINT.

    Raises:
        ConfigError: a port cannot be opened, or an address cannot be read; nothing runs.
    """
    await _serve(config, near=False, clock=clock or SystemClock())


async def open_mode(listen: str, metrics_listen: str | None = None, clock: Clock | None = None) -> None:
    """Run a hub for trying out, without configuration or centre, until cancelled; raises as `serve`.

    It answers loopback and private sources only, 100 packets/s each, and says so.
    """
    config = HubConfig(site="open", listen=listen, metrics_listen=metrics_listen)
    await _serve(config, near=True, clock=clock or SystemClock())


async def _serve(config: HubConfig, near: bool, clock: Clock) -> None:
    sockets = open_sockets(config.listen, STAMP_PORT, config.workers)
    try:
        addresses = ", ".join(_name(each) for each in sockets[0])
        log.warning("%s", _greeting(addresses, config, near))
        with _stopped_by(signal.SIGTERM, signal.SIGINT):
            await Hub(config, sockets, near, clock).run()
    finally:
        for each in (each for group in sockets for each in group):
            each.close()


@contextmanager
def _stopped_by(*signals: signal.Signals) -> Iterator[None]:
    """The block ends in order, and as if it were done, when one of the signals comes."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[signal.Signals] = []

    def stop(which: signal.Signals) -> None:
        came.append(which)
        task.cancel()

    with suppress(ValueError, RuntimeError):  # not the main thread: whoever started it ends it
        for each in signals:
            loop.add_signal_handler(each, stop, each)
    try:
        yield
    except asyncio.CancelledError:
        if not came:
            raise
        task.uncancel()
        log.info("Stopped by %s.", came[0].name)
    finally:
        with suppress(ValueError, RuntimeError):
            for each in signals:
                loop.remove_signal_handler(each)


def _greeting(addresses: str, config: HubConfig, near: bool) -> str:
    if near:
        return (
            f"Hub in open mode (hub=open) on UDP {addresses}: for trying out. Anyone on loopback or a private network "
            f"is answered without a key, {OPEN_PPS} packets/s each; nobody else is."
        )
    return (
        f"Hub {config.site} on UDP {addresses}, {config.workers} worker(s): only listed or proven senders are answered."
    )


def _name(sock: socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
