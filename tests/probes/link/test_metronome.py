"""The beat, on a clock moved by hand."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from probes.link.metronome import GRID_NS, Metronome
from probes.probe import ProbeFailure
from tests.probes.fakes import HandClock, running

SECOND = 1_000_000_000


class Player:
    """Notes when it was beaten; over after `beats`."""

    def __init__(self, clock: HandClock, period_ns: int, beats: int, size: int = 44) -> None:
        self._clock, self.period_ns, self._beats, self.size = clock, period_ns, beats, size
        self.at_ns: list[int] = []
        self.before: list[int] = []

    def beat(self) -> bool:
        self.at_ns.append(self._clock.monotonic_ns())
        return len(self.at_ns) < self._beats


async def test_a_player_is_beaten_once_a_period_within_a_tenth() -> None:
    clock = HandClock()
    metronome, player = Metronome(clock, Random(5)), Player(clock, 5 * GRID_NS, 200)
    async with running(metronome.run()):
        await metronome.play(player)
    start = player.at_ns[0]
    away = [(at - start - place * player.period_ns) / player.period_ns for place, at in enumerate(player.at_ns)]
    assert max(map(abs, away)) <= 0.2, "each at most a tenth from the grid, the first one too"
    assert max(away) - min(away) > 0.15, "and not all at the same place"


async def test_players_of_one_period_share_their_beats_and_small_packets_go_first() -> None:
    clock = HandClock()
    metronome = Metronome(clock, Random(5))
    large, small = Player(clock, 5 * GRID_NS, 50, size=1200), Player(clock, 5 * GRID_NS, 50)
    order: list[int] = []
    for player in (large, small):
        beat, size = player.beat, player.size
        player.beat = lambda beat=beat, size=size: (order.append(size), beat())[1]  # type: ignore[method-assign, misc]
    async with running(metronome.run()):
        await asyncio.gather(metronome.play(large), metronome.play(small))
    assert large.at_ns == small.at_ns
    assert order == [44, 1200] * 50


async def test_a_fast_player_beside_a_slow_one_does_not_hurry_it() -> None:
    clock = HandClock()
    metronome = Metronome(clock, Random(5))
    fast, slow = Player(clock, GRID_NS, 500), Player(clock, 5 * GRID_NS, 100)
    async with running(metronome.run()):
        await asyncio.gather(metronome.play(fast), metronome.play(slow))
    assert (slow.at_ns[-1] - slow.at_ns[0]) / 99 == pytest.approx(5 * GRID_NS, rel=0.01)
    assert (fast.at_ns[-1] - fast.at_ns[0]) / 499 == pytest.approx(GRID_NS, rel=0.01)


async def test_beats_slept_through_do_not_come_in_a_heap() -> None:
    clock = HandClock()
    metronome, player = Metronome(clock, Random(5)), Player(clock, 5 * GRID_NS, 20)
    beat = player.beat

    def sleepy() -> bool:
        if len(player.at_ns) == 10:
            clock.pass_s(60)
        return beat()

    player.beat = sleepy  # type: ignore[method-assign]
    async with running(metronome.run()):
        await metronome.play(player)
    after = [at for at in player.at_ns if at > player.at_ns[9] + 30 * SECOND]
    assert after[-1] - after[0] > 8 * 5 * GRID_NS * 0.8


async def test_what_a_player_raises_reaches_who_plays_it_and_nobody_else() -> None:
    clock = HandClock()
    metronome = Metronome(clock, Random(5))
    well, ill = Player(clock, 5 * GRID_NS, 50), Player(clock, 5 * GRID_NS, 50)

    def fail() -> bool:
        raise ProbeFailure("no_route", "There is no route.")

    ill.beat = fail  # type: ignore[method-assign]
    async with running(metronome.run()):
        done = await asyncio.gather(metronome.play(well), metronome.play(ill), return_exceptions=True)
    assert done[0] is None
    assert isinstance(done[1], ProbeFailure)
    assert len(well.at_ns) == 50
