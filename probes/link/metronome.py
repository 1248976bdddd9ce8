"""One beat for all sessions of a device: it wakes once for all of them, so that ten packets a second cost ten wakes."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Protocol

from probes.clock import Clock
from probes.probe import ProbeFailure

SECOND_NS = 1_000_000_000
GRID_NS = 20_000_000
"""The finest beat: 50 a second."""
IDLE_NS = 5 * GRID_NS
LATE_NS = 100_000_000
"""Beats late by less are made up for; by more, the machine slept, and nobody wants its packets in one heap."""
JITTER = 0.1
"""Of the period, either way: keeps runs of loss in ms and falls out of step with periodic faults."""


class Player(Protocol):
    """What plays to the beat, until `beat` says that it is over or raises `ProbeFailure`."""

    @property
    def period_ns(self) -> int:
        """Time between two beats, a multiple of `GRID_NS`."""

    @property
    def size(self) -> int:
        """Of the next packet: small ones go first, so that no large one of ours stands before them in a queue."""

    def beat(self) -> bool:
        """Send and listen once; whether to go on."""


class Metronome:
    """Beats all who play on one grid from a random start."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock, self._random = clock, random
        self._players: dict[Player, asyncio.Future[None]] = {}

    async def play(self, player: Player) -> None:
        """Take part until over.

        Raises:
            ProbeFailure: what `beat` raised.
        """
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._players[player] = over
        try:
            await over
        finally:
            del self._players[player]

    async def run(self) -> None:
        """Beat until cancelled."""
        await self._clock.sleep(self._random.random() * GRID_NS / SECOND_NS)
        start_ns = self._clock.monotonic_ns()
        place = 0
        while True:
            period_ns = min((player.period_ns for player in self._players), default=IDLE_NS)
            now_ns = self._clock.monotonic_ns()
            steps = period_ns // GRID_NS
            place = max(place + steps, (now_ns - LATE_NS - start_ns) // GRID_NS)
            place += -place % steps
            wait_ns = start_ns + place * GRID_NS + self._random.uniform(-JITTER, JITTER) * period_ns - now_ns
            await self._clock.sleep(max(0.0, wait_ns / SECOND_NS))
            due = [player for player in self._players if place * GRID_NS % player.period_ns == 0]
            for player in sorted(due, key=lambda player: player.size):
                self._beat(player)

    def _beat(self, player: Player) -> None:
        over = self._players[player]
        if over.done():
            return
        try:
            if not player.beat():
                over.set_result(None)
        except ProbeFailure as failure:
            over.set_exception(failure)
