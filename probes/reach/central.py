"""`diemcau-probe central`: a device at the centre that asks every site's router, before any site has a device."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

from probes.centre import Centre
from probes.clock import Clock, SystemClock
from probes.config import CentralConfig, ConfigError
from probes.delivery import Delivery
from probes.push import Push
from probes.reach.measure import Router, router_of
from probes.reach.probe import Reach
from probes.reach.routers import RouterList
from probes.spool import SPOOL_FILE, Spool

LIST_FILE = "routers.json"


async def serve(config: CentralConfig, clock: Clock | None = None, stop: asyncio.Event | None = None) -> None:
    """Run until `stop` is set, SIGTERM or SIGINT; then everything is stored, and sent if the centre takes it quickly.

    The routers are those of the configuration, or where it names none those of the centre's list of sites.

    Raises:
        ConfigError: a router of the configuration cannot be read.
    """
    clock, stop = clock or SystemClock(), stop or _on_signal()
    async with AsyncExitStack() as stack:
        spool = Spool(Path(config.spool.dir) / SPOOL_FILE, config.spool.max_bytes, clock)
        stack.callback(spool.close)
        await Central(config, clock, spool, Random()).live(stop, stack)


class Central:
    """Everything a running central prober consists of."""

    def __init__(self, config: CentralConfig, clock: Clock, spool: Spool, random: Random) -> None:
        self._config = config
        self._clock = clock
        self._spool = spool
        self._random = random
        self._push: Push | None = None
        self._delivery = Delivery(spool, self._wake)
        self._reach = Reach(clock, self._delivery.emit, config.every_s)

    async def live(self, stop: asyncio.Event, stack: AsyncExitStack) -> None:
        """Until `stop` is set, or a part fails: then that error is raised, for the manager to start us again."""
        self._reach.know(_configured(self._config))
        work = [self._reach.run()]
        if self._config.centre is not None:
            centre = await stack.enter_async_context(Centre(self._config.centre))
            device = self._config.centre.device
            self._push = Push(centre, device, self._spool, self._clock, lambda agenda: None, self._random)
            work.append(self._push.run())
            if not self._config.routers:
                routers = RouterList(Path(self._config.spool.dir) / LIST_FILE)
                self._reach.know(routers.routers)
                work.append(routers.keep_fresh(centre, self._reach.know, self._clock, self._random))
        storing = asyncio.create_task(self._delivery.run())
        tasks = [asyncio.create_task(each) for each in work]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((stopped, storing, *tasks), return_when=asyncio.FIRST_COMPLETED)
            for task in (storing, *tasks):
                if task.done():
                    task.result()
        finally:
            await self._end([stopped, *tasks], storing)

    async def _end(self, tasks: Sequence[asyncio.Task[Any]], storing: asyncio.Task[None]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._delivery.close()
        await storing
        if self._push is not None:
            await self._push.last_words()

    def _wake(self, fresh: int) -> None:
        if self._push is not None:
            self._push.wake(fresh)


def _configured(config: CentralConfig) -> list[Router]:
    try:
        return [router_of(site, address) for site, address in config.routers.items()]
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop
