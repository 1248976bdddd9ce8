"""What goes wrong, and when: drawn from a seed before the run begins."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

MEAN_BETWEEN_KILLS_S = 0.9
CENTRE_SHARE = 0.35
AGAIN_SHARE = 0.15
"""So many kills hit a program that was just started again: in its start."""

PROBE_SHARE = 0.06
"""The program `diemcau-probe run`, which must live some ten seconds to measure anything."""

CENTRE, PROBE = "centre", "probe"


@dataclass(frozen=True)
class Kill:
    at_s: float
    who: str
    aim: str
    """What the victim is waited to be doing: `start`, `anything`; a device `adding` or `forgetting`, the centre
    `committing`."""
    delay_s: float
    """From the sight of that to the kill."""


@dataclass(frozen=True)
class Fill:
    """The disk of one program is full for some seconds."""

    at_s: float
    who: str
    seconds: float


@dataclass(frozen=True)
class Step:
    """The wall clock of one program is set to this much beside the truth."""

    at_s: float
    who: str
    offset_s: float


@dataclass(frozen=True)
class Away:
    """The centre is down for some seconds, so that reports pile up."""

    at_s: float
    seconds: float


Event = Kill | Fill | Step | Away


def draw(random: Random, kills: int, devices: list[str]) -> list[Event]:
    """The events of a run in their order.

    Early the centre is away for a while with every disk sound. Later all disks of devices are full, within that time
    the centre's too, and then the centre is away: there reports pile up that find no room.
    """
    events: list[Event] = list(_kills(random, kills, devices))
    seconds = events[-1].at_s
    full_s = min(60.0, seconds / 2.5)
    middle = seconds * 0.4
    events.append(Away(seconds * 0.15, full_s / 12))
    events += [Fill(middle + random.uniform(0, full_s / 12), who, full_s) for who in [*devices, PROBE]]
    events.append(Fill(middle + full_s / 6, CENTRE, full_s / 3))
    events.append(Away(middle + full_s / 2, full_s / 2))
    for who in [*devices, CENTRE]:
        turns = [3600.0, 0.0, -3600.0, 0.0]
        starts = sorted(random.uniform(0.05, 0.95) * seconds for _ in turns)
        events += [Step(at_s, who, offset_s) for at_s, offset_s in zip(starts, turns, strict=True)]
    return sorted(events, key=lambda event: event.at_s)


def _kills(random: Random, kills: int, devices: list[str]) -> list[Kill]:
    drawn: list[Kill] = []
    at_s = 3.0
    for _ in range(kills):
        if drawn and random.random() < AGAIN_SHARE:
            drawn.append(Kill(at_s, drawn[-1].who, "start", random.uniform(0, 1.2)))
        else:
            at_s += random.expovariate(1 / MEAN_BETWEEN_KILLS_S)
            who = _victim(random, devices)
            aims = ["anything", "committing"] if who == CENTRE else ["anything", "adding", "forgetting"]
            drawn.append(Kill(at_s, who, random.choice(aims), random.choice((0, 0.001, 0.01)) * random.random()))
    return drawn


def _victim(random: Random, devices: list[str]) -> str:
    chance = random.random()
    if chance < CENTRE_SHARE:
        return CENTRE
    return PROBE if chance < CENTRE_SHARE + PROBE_SHARE else random.choice(devices)
