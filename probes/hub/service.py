"""The far end at a main bridge as one service: workers that reflect, a supervisor that reports. It is a device.

The supervisor carries no packet: it opens the sockets, keeps the workers alive, fetches the list of sites, tells the
centre of its own health each 10 s and of a silent site at once, and measures the other hubs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from socket import socket

from probes.centre import Centre
from probes.clock import Clock, SystemClock, wall_ms
from probes.config import CentreTarget, ConfigError, HubConfig
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
        self.config = config
        self.clock = clock
        self.mode = "open" if near else "listed"
        self.site_list = SiteList(Path(config.spool.dir) / "sites.json") if config.centre else None
        self.crew = Crew(sockets, self._start_of(sockets, near), self._tell, clock)
        self.loop_waits = Waits()
        self.spool: Spool | None = None
        self.push: Push | None = None
        self._lag_p99_ms: float | None = None
        self._wait_p99_ms: float | None = None

    def _start_of(self, sockets: Sequence[Sequence[socket]], near: bool) -> Start:
        config = self.config
        return Start(
            fds=[],
            own_ports=sorted({each.getsockname()[1] for group in sockets for each in group}),
            sites=self.site_list.sites if self.site_list else [],
            near=near,
            packets_per_second=max(1, config.packets_per_second // config.workers),
            sessions=config.sessions,
            source_pps=OPEN_PPS if near else 2 * AGREED_PPS,
        )

    async def run(self) -> None:
        """Until cancelled; then everything measured is stored, and sent if the centre takes it quickly."""
        async with AsyncExitStack() as stack:
            tasks: list[Coroutine[None, None, None]] = []
            if self.config.metrics_listen is not None:
                await self._serve_metrics(self.config.metrics_listen, stack)
            if self.config.centre is not None:
                tasks += await self._be_a_device(self.config.centre, stack)
            async with asyncio.TaskGroup() as group:
                for task in (*tasks, self.crew.run(), self._watch_loop(), self._report_health()):
                    group.create_task(task)

    async def _be_a_device(self, target: CentreTarget, stack: AsyncExitStack) -> list[Coroutine[None, None, None]]:
        """What a device does beside its work: push its reports, ask whom to answer."""
        centre = await stack.enter_async_context(Centre(target))
        self.spool = Spool(Path(self.config.spool.dir) / "spool.db", self.config.spool.max_bytes, self.clock)
        stack.callback(self.spool.close)
        random = Random(os.urandom(8))
        self.push = Push(centre, target.device, self.spool, self.clock, lambda agenda: None, random)
        stack.push_async_callback(self._flush)
        assert self.site_list is not None
        return [self.push.run(), self.site_list.keep_fresh(centre, self.crew.know, self.clock, random)]

    async def _serve_metrics(self, listen: str, stack: AsyncExitStack) -> None:
        host, port = parse_listen(listen, METRICS_PORT)
        try:
            server = await serve_metrics(host, port, self.metrics_text)
        except OSError as error:
            raise ConfigError(
                f"metrics_listen = {listen!r}: the port cannot be opened ({error.strerror}); choose another."
            ) from error
        stack.callback(server.close)

    def metrics_text(self) -> str:
        """What /metrics answers."""
        lag, wait = (None if each is None else each / 1e3 for each in (self._lag_p99_ms, self._wait_p99_ms))
        return exposition(self.crew.totals(), self.mode, lag, wait)

    async def _report_health(self) -> None:
        before = self.crew.totals()
        while True:
            at, start_ns = wall_ms(self.clock), self.clock.monotonic_ns()
            await self.clock.sleep(EVERY_S)
            now, loop_waits, packet_waits = self.crew.totals(), self.loop_waits.take(), self.crew.take_waits()
            self._lag_p99_ms, self._wait_p99_ms = wait_p99_ms(loop_waits), wait_p99_ms(packet_waits)
            took_ms = (self.clock.monotonic_ns() - start_ns) // 1_000_000
            values = health(before, now, loop_waits, packet_waits)
            self._store([Report(PROBE, at, took_ms, values=values, labels={"hub": self.mode})])
            before = now

    def _tell(self, sites: list[str], silent: bool) -> None:
        if silent:
            log.warning("Not heard for 3 s: %s.", ", ".join(sites[:20]) + (" …" if len(sites) > 20 else ""))
        self._store(presence_reports(sites, silent, wall_ms(self.clock)))

    def _store(self, reports: list[Report]) -> None:
        if self.spool is not None and self.push is not None:
            self.spool.add_all(reports)
            self.push.wake(len(reports))

    async def _watch_loop(self) -> None:
        """How late the loop wakes what asked to be woken."""
        while True:
            start_ns = self.clock.monotonic_ns()
            await self.clock.sleep(LAG_EVERY_S)
            self.loop_waits.add(max(0, self.clock.monotonic_ns() - start_ns - int(LAG_EVERY_S * 1e9)))

    async def _flush(self) -> None:
        assert self.push is not None
        try:
            async with asyncio.timeout(FLUSH_LIMIT_S):
                await self.push.flush()
        except TimeoutError:
            log.info("The centre did not take everything in time; the rest stays in the spool.")


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
