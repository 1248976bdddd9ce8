"""`diemcau-probe run`: the light probes side by side, what they say to disk and to the centre, and a clean end.

A probe that crashes is started again, ever more slowly, and the centre is told. Switched off in order, the device says
so: silence then means "off", not "lost".
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import probes.host.probe as host
import probes.lan.probe as lan
import probes.link.probe as link
from probes.centre import Centre
from probes.clock import Clock, SystemClock, wall_ms
from probes.config import SiteConfig
from probes.delivery import Delivery
from probes.errands import Errands
from probes.notify import notify, watchdog_s
from probes.pace import Backoff
from probes.probe import Context, Emit, Runner
from probes.push import Push
from probes.report import MAX_TEXT_CHARS, Failure, Report
from probes.spool import SPOOL_FILE, Spool

RUNNERS: Mapping[str, Runner] = {
    "link": link.run,
    "lan": lan.run,
    "host": host.run,
}
"""The light probes that live in the agent, each until it is cancelled."""

STEADY_S = 600.0
"""A runner that lasted so long is no longer held to be failing."""

log = logging.getLogger(__name__)


def run(config: SiteConfig) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    asyncio.run(_until_signal(config))


async def _until_signal(config: SiteConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    await serve(config, SystemClock(), stop)


async def serve(config: SiteConfig, clock: Clock, stop: asyncio.Event, runners: Mapping[str, Runner] = RUNNERS) -> None:
    """Run the agent until `stop` is set; then everything is stored, and sent if the centre takes it quickly."""
    async with AsyncExitStack() as stack:
        spool = Spool(Path(config.spool.dir) / SPOOL_FILE, config.spool.max_bytes, clock)
        stack.callback(spool.close)
        await Agent(config, clock, spool, Random(), runners).live(stop, stack)


class Agent:
    """One device at a site."""

    def __init__(
        self, config: SiteConfig, clock: Clock, spool: Spool, random: Random, runners: Mapping[str, Runner]
    ) -> None:
        self._config = config
        self._clock = clock
        self._spool = spool
        self._random = random
        self._push: Push | None = None
        self._delivery = Delivery(spool, self._wake)
        contexts = {name: self._context() for name in config.probes if name in runners}
        asks = {name: context.asks for name, context in contexts.items()}
        self._errands = Errands(config, clock, spool, self._delivery.emit, asks)
        self._work = {name: _bind(runners[name], context) for name, context in contexts.items()}
        for name in config.probes:
            if name not in runners:
                log.warning("The probe %r is not known to this version; it does not run.", name)

    async def live(self, stop: asyncio.Event, stack: AsyncExitStack) -> None:
        """Until `stop` is set."""
        work: dict[str, Work] = {**self._work, "errands": self._errands.run}
        if self._config.centre is not None:
            centre = await stack.enter_async_context(Centre(self._config.centre))
            self._push = Push(
                centre,
                self._config.centre.device,
                self._spool,
                self._clock,
                take_agenda=self._errands.take,
                random=self._random,
                may_hurry=lambda: self._errands.may("path"),
            )
            work |= {"push": self._push.run, "agenda": self._push.listen}
        storing = asyncio.create_task(self._delivery.run())
        emit = self._delivery.emit
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(keep_running(name, each, emit, self._clock, self._random))
            for name, each in work.items()
        ]
        tasks.append(asyncio.create_task(self._tell_manager()))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopped, storing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end([stopped, *tasks], storing)

    async def _end(self, tasks: list[asyncio.Task[Any]], storing: asyncio.Task[None]) -> None:
        notify("STOPPING=1")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._delivery.emit(switched_off(wall_ms(self._clock)))
        self._delivery.close()
        await storing
        if self._push is not None:
            await self._push.last_words()

    async def _tell_manager(self) -> None:
        """READY once all is started, then a sign of life at least twice within the manager's patience."""
        every_s = (watchdog_s() or 60.0) / 3
        notify("READY=1")
        while True:
            held = await asyncio.to_thread(self._spool.held)
            trouble = self._push.trouble if self._push else ""
            notify(f"WATCHDOG=1\nSTATUS={', '.join(self._work)}; {held.reports} reports wait. {trouble}")
            await asyncio.sleep(every_s)

    def _context(self) -> Context:
        return Context(
            config=self._config,
            clock=self._clock,
            emit=self._emit,
            may=lambda do: self._errands.may(do),
            held=self._spool.held,
        )

    def _emit(self, report: Report) -> None:
        self._delivery.emit(report)
        self._errands.look_at(report)

    def _wake(self, fresh: int) -> None:
        if self._push is not None:
            self._push.wake(fresh)


Work = Callable[[], Awaitable[None]]


def _bind(runner: Runner, context: Context) -> Work:
    return lambda: runner(context)


async def keep_running(name: str, work: Work, emit: Emit, clock: Clock, random: Random) -> None:
    """Run `work` for ever: when it fails or ends, say so and start it again, ever more slowly, until cancelled."""
    backoff = Backoff(random, first_s=1.0, most_s=300.0)
    while True:
        start_ns = clock.monotonic_ns()
        try:
            await work()
            why = "it ended by itself"
        except Exception as error:
            log.exception("The part %r of the agent failed.", name)
            why = _cause(error)
        if clock.monotonic_ns() - start_ns > STEADY_S * 1e9:
            backoff.over()
        emit(failed(name, why, wall_ms(clock)))
        await clock.sleep(backoff.next_s())


def _cause(error: BaseException) -> str:
    """The first single error within a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def failed(name: str, why: str, at: int) -> Report:
    """Tells that a part of the agent failed and is started again."""
    text = f"{name} failed and is started again ({why})."
    return Report("host", at, failure=Failure("part_failed", text[:MAX_TEXT_CHARS]), labels={"part": name})


def switched_off(at: int) -> Report:
    """The last words of a device that is switched off in order."""
    failure = Failure("switched_off", "The device was switched off in order.")
    return Report("host", at, failure=failure, values={"off": 1.0})
