"""The workers of a hub: started, listened to, told the list of sites, and started again when they die."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec

import probes
from probes.clock import Clock
from probes.hub.presence import Roll
from probes.hub.sockets import drops_of
from probes.hub.talk import HubSite, Start, Status
from probes.hub.waits import Waits
from probes.link.reflect import REASONS
from probes.pace import Backoff

MAX_LINE_BYTES = 16 << 20
WELL_AFTER_S = 60.0
"""A worker that lived so long was not stillborn: the next one starts at once."""
STOP_LIMIT_S = 3.0

log = logging.getLogger(__name__)

Told = Callable[[list[str], bool], None]
"""Is handed sites, and whether they fell silent (or came back)."""


class Totals(msgspec.Struct, frozen=True):
    """Counts since the hub's start, over all workers that ever were."""

    answered: int
    refused: dict[str, int]
    sessions: int
    """Open now."""
    drops: int | None
    """By the kernel at our own sockets; None where it does not tell."""
    workers: int
    """Alive now."""
    restarts: int
    silent: list[str]
    cpu_s: float


class Crew:
    """One worker for each group of sockets. The sockets stay open here, so packets wait while a worker is replaced."""

    def __init__(self, sockets: Sequence[Sequence[socket.socket]], start: Start, told: Told, clock: Clock) -> None:
        self._sockets = sockets
        self._start = start
        self._told = told
        self._clock = clock
        self._roll = Roll()
        self._waits = Waits()
        self._alive: dict[int, Process] = {}
        self._latest = [Status() for _ in sockets]
        self._past = Status(refused=dict.fromkeys(REASONS, 0))
        self._restarts = 0

    async def run(self) -> None:
        """Keep all workers alive until cancelled; then none is left."""
        async with asyncio.TaskGroup() as group:
            for slot in range(len(self._sockets)):
                group.create_task(self._keep(slot))
            group.create_task(self._watch_grace())

    async def know(self, sites: list[HubSite]) -> None:
        """Give every worker, and those to come, a renewed list."""
        self._start = msgspec.structs.replace(self._start, sites=sites)
        line = msgspec.json.encode(sites) + b"\n"
        for process in list(self._alive.values()):
            await _tell(process, line)

    def totals(self) -> Totals:
        """What all workers did so far, as of their last status."""
        past = self._past
        drops = [drops_of(sock) for sock in _flat(self._sockets)]
        return Totals(
            answered=past.answered + sum(each.answered for each in self._latest),
            refused={
                reason: count + sum(each.refused.get(reason, 0) for each in self._latest)
                for reason, count in past.refused.items()
            },
            sessions=sum(each.sessions for each in self._latest),
            drops=None if None in drops else sum(each or 0 for each in drops),
            workers=len(self._alive),
            restarts=self._restarts,
            silent=self._roll.silent(),
            cpu_s=past.cpu_s + sum(each.cpu_s for each in self._latest),
        )

    def take_waits(self) -> dict[int, int]:
        """How long packets waited in the hub since the last call."""
        return self._waits.take()

    async def _keep(self, slot: int) -> None:
        backoff = Backoff(Random(os.urandom(8)))
        while True:
            born_ns = self._clock.monotonic_ns()
            await self._live(slot)
            if self._clock.monotonic_ns() - born_ns > WELL_AFTER_S * 1e9:
                backoff.over()
            self._restarts += 1
            await self._clock.sleep(backoff.next_s())

    async def _live(self, slot: int) -> None:
        """One worker's life."""
        start = msgspec.structs.replace(self._start, fds=[sock.fileno() for sock in self._sockets[slot]])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "probes.hub.worker"),
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=start.fds,
            env=_environment(),
            limit=MAX_LINE_BYTES,
        )
        self._alive[slot] = process
        try:
            await _tell(process, msgspec.json.encode(start) + b"\n")
            if start.sites != self._start.sites:  # renewed while this one was being born
                await _tell(process, msgspec.json.encode(self._start.sites) + b"\n")
            await self._listen(slot, process)
        finally:
            del self._alive[slot]
            await _end(process)
            self._bury(slot)
        log.error("Worker %d of the hub ended with %s; another one takes its sockets.", slot, process.returncode)

    async def _listen(self, slot: int, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            status = msgspec.json.decode(line, type=Status)
            self._latest[slot] = status
            self._waits.merge(status.waits)
            self._tell(self._roll.came(slot, status.came), silent=False)
            self._tell(self._roll.went(slot, status.went), silent=True)

    def _tell(self, sites: list[str], silent: bool) -> None:
        if sites:
            self._told(sites, silent)

    def _bury(self, slot: int) -> None:
        """What a worker counted stays counted; what it heard is for another to hear."""
        past, last = self._past, self._latest[slot]
        self._past = Status(
            answered=past.answered + last.answered,
            refused={reason: count + last.refused.get(reason, 0) for reason, count in past.refused.items()},
            cpu_s=past.cpu_s + last.cpu_s,
        )
        self._latest[slot] = Status()
        self._roll.died(slot, self._clock.monotonic_ns())

    async def _watch_grace(self) -> None:
        while True:
            await self._clock.sleep(1.0)
            self._tell(self._roll.overdue(self._clock.monotonic_ns()), silent=True)


async def _tell(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # it died; whoever listens to it will see that
        process.stdin.write(line)
        await process.stdin.drain()


async def _end(process: Process) -> None:
    """A worker ends when its stdin does; one that does not is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    """Ours, with the way to this very package: it may not be installed."""
    folder = str(Path(probes.__path__[0]).parent)
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{path}" if path else folder}


def _flat(sockets: Sequence[Sequence[socket.socket]]) -> list[socket.socket]:
    return [each for group in sockets for each in group]
