"""Every site's router asked once a second from one place, evenly spread, and a report of each every ten seconds.

Nothing is made per packet but the packet: sites share sockets, one timer sends for all, and a site's window is two
tallies. Windows end site by site, so that a nation's reports do not all come in the same instant.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from probes.asker import LOST_AFTER_NS, Asker, Tally
from probes.clock import Clock, wall_ms
from probes.icmp import EchoClient
from probes.lines import SocketAddress, resolve
from probes.probe import Emit, ProbeFailure
from probes.reach.measure import Router, figures
from probes.reach.metrics import PROBE
from probes.reach.twamp import TwampClient
from probes.report import Failure, Report

SECOND_NS = 1_000_000_000
TICKS = 25
"""A 25th of the sites every 40 ms: no burst that a router or a queue would feel."""
RESOLVE_EVERY_S = 300.0
RESOLVE_AT_ONCE = 16


class Target:
    """A site's router and its window under way."""

    __slots__ = ("address", "at_ms", "icmp", "router", "start_ns", "trouble", "twamp", "version")

    def __init__(self, router: Router) -> None:
        self.router = router
        self.version = 0
        """0 while its name is not resolved."""
        self.address: SocketAddress = ("", 0)
        self.trouble: Failure | None = None
        self.at_ms = 0
        self.start_ns = 0
        self.icmp = Tally()
        self.twamp = Tally() if router.twamp_port else None

    def begin(self, clock: Clock) -> None:
        """A new window; what is still on its way belongs to the old tallies."""
        self.at_ms, self.start_ns = wall_ms(clock), clock.monotonic_ns()
        self.icmp = Tally()
        self.twamp = Tally() if self.router.twamp_port else None


class Ended(NamedTuple):
    """A window whose last answers may still come."""

    due_ns: int
    took_ms: int
    at_ms: int
    router: Router
    icmp: Tally
    twamp: Tally | None
    trouble: Failure | None


class Reach:
    """All routers. `know` says which; `run` asks them and emits, until cancelled."""

    def __init__(self, clock: Clock, emit: Emit, every_s: int = 10) -> None:
        self._clock = clock
        self._emit = emit
        self._every_s = every_s
        self._targets: list[Target] = []
        self._ended: deque[Ended] = deque()
        self._askers: dict[tuple[type[Asker], int], Asker] = {}
        self._to_resolve = asyncio.Event()

    def know(self, routers: Sequence[Router]) -> None:
        """The list in force; a router that stays keeps its window, its turn and its address."""
        known = {target.router: target for target in self._targets}
        self._targets = [known.get(router) or Target(router) for router in routers]
        self._to_resolve.set()

    async def run(self) -> None:
        """Ask and report until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._resolve())
                group.create_task(self._turn())
        finally:
            for asker in self._askers.values():
                asker.close()
            self._askers.clear()

    # --- asking -----------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        """Tick by tick through all sites once a second; ticks missed by a stall are not made up for."""
        tick, step_ns = 0, SECOND_NS // TICKS
        due_ns = self._clock.monotonic_ns()
        while True:
            for index in range(tick % TICKS, len(self._targets), TICKS):
                self._visit(self._targets[index], is_last=(index + tick // TICKS) % self._every_s == 0)
            self._report_complete()
            tick += 1
            now_ns = self._clock.monotonic_ns()
            due_ns = max(due_ns + step_ns, now_ns)
            await self._clock.sleep((due_ns - now_ns) / SECOND_NS)

    def _visit(self, target: Target, is_last: bool) -> None:
        """Ask a router once; with `is_last` end its window first."""
        if not target.version and target.trouble is None:
            return  # its name is being looked up
        if is_last and target.start_ns:
            self._end(target)
        if is_last or not target.start_ns:
            target.begin(self._clock)
        if target.version:
            self._ask(target)

    def _ask(self, target: Target) -> None:
        port = target.router.twamp_port
        try:
            self._asker(EchoClient, target.version).send(target.address, target.icmp)
            target.trouble = None
        except ProbeFailure as failure:
            target.trouble = failure.failure
        if port is not None and target.twamp is not None:
            address: SocketAddress = (target.address[0], port)
            self._asker(TwampClient, target.version).send(address, target.twamp)

    def _asker(self, kind: type[EchoClient] | type[TwampClient], version: int) -> Asker:
        if (kind, version) not in self._askers:
            self._askers[kind, version] = kind.open(version, self._clock)
        return self._askers[kind, version]

    # --- reporting --------------------------------------------------------------------------------------------------

    def _end(self, target: Target) -> None:
        now_ns = self._clock.monotonic_ns()
        took_ms = (now_ns - target.start_ns) // 1_000_000
        due_ns = now_ns + LOST_AFTER_NS
        router, tallies = target.router, (target.icmp, target.twamp)
        self._ended.append(Ended(due_ns, took_ms, target.at_ms, router, *tallies, target.trouble))

    def _report_complete(self) -> None:
        now_ns = self._clock.monotonic_ns()
        while self._ended and self._ended[0].due_ns <= now_ns:
            self._emit(_report(self._ended.popleft()))

    # --- names ------------------------------------------------------------------------------------------------------

    async def _resolve(self) -> None:
        """New routers at once, all anew every five minutes: a name may have moved."""
        while True:
            self._to_resolve.clear()
            gate = asyncio.Semaphore(RESOLVE_AT_ONCE)
            await asyncio.gather(*(self._resolve_one(target, gate) for target in self._targets))
            wake = asyncio.ensure_future(self._to_resolve.wait())
            rest = asyncio.ensure_future(self._clock.sleep(RESOLVE_EVERY_S))
            try:
                await asyncio.wait((wake, rest), return_when=asyncio.FIRST_COMPLETED)
            finally:
                wake.cancel()
                rest.cancel()

    @staticmethod
    async def _resolve_one(target: Target, gate: asyncio.Semaphore) -> None:
        async with gate:
            try:
                target.version, target.address = await resolve(target.router.host)
            except ProbeFailure as failure:
                if not target.version:  # a name once known is asked where it was
                    target.trouble = failure.failure


def _report(ended: Ended) -> Report:
    values, labels, failure = figures(ended.router, ended.icmp, ended.twamp)
    if not values and ended.trouble is not None:
        failure = ended.trouble
    site, host = ended.router.site, ended.router.host
    return Report(
        PROBE, ended.at_ms, ended.took_ms, target=host, site=site, failure=failure, values=values, labels=labels
    )
