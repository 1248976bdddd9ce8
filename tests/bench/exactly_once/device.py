"""A device under load: the real agent with its spool and its sender, and a runner that feeds it.

    python -m tests.bench.exactly_once.device FOLDER

FOLDER holds site.toml, clock (the offset of its clock), ledger (what is true) and feed.json (what to feed). It feeds
until there is a file `enough`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import msgspec

import probes.agent
from probes.centre import Centre, Reply
from probes.clock import wall_ms
from probes.config import CentreTarget, load_site
from probes.probe import Context
from probes.report import Answer, Gone, Report
from probes.shelf import Identity
from probes.spool import Spool
from tests.bench.exactly_once.clock import SteppedClock
from tests.bench.exactly_once.reports import make
from tests.bench.exactly_once.truth import OWN_WORDS, Ledger


@dataclass(frozen=True)
class Feed:
    """What a device is to be fed with."""

    folder: Path
    reports_per_s: float
    each_its_own: bool


class ToldSpool(Spool):
    """The spool, with a ledger of what it promised and of what it was allowed to forget."""

    def __init__(self, path: Path, max_bytes: int, clock: SteppedClock, ledger: Ledger) -> None:
        super().__init__(path, max_bytes, clock)
        self._ledger = ledger

    def add_all(self, reports: Sequence[Report]) -> list[Report]:
        named = super().add_all(reports)
        letter = "M" if self.in_memory else "S"
        self._ledger.write(
            letter, ((report.boot, report.seq, report.labels.get("number", OWN_WORDS)) for report in named)
        )
        return named

    def acknowledge(
        self, taken: Iterable[Identity], told: Iterable[Gone] = (), refused: Iterable[Identity] = ()
    ) -> None:
        taken, told, refused = list(taken), list(told), list(refused)
        self._ledger.write("A", taken)
        self._ledger.write("T", ((gone.boot, gone.from_seq, gone.to_seq, gone.why) for gone in told))
        self._ledger.write("R", refused)
        super().acknowledge(taken, told, refused)


class HeardCentre(Centre):
    """The centre, with a ledger of what it answered."""

    def __init__(self, target: CentreTarget, ledger: Ledger) -> None:
        super().__init__(target)
        self._ledger = ledger

    async def post_reports(self, body: bytes, encoding: str | None) -> Reply:
        reply = await super().post_reports(body, encoding)
        stored = known = 0
        if reply.status == 200:
            answer = msgspec.json.decode(reply.body, type=Answer)
            stored, known = answer.stored, answer.known
        self._ledger.write("P", [(reply.status, stored + known, stored, known)])
        return reply


async def feed(told: Feed, context: Context) -> None:
    """A runner that emits so many reports a second, however late the loop is, until told that it is enough."""
    clock, random = context.clock, Random()
    life = f"{told.folder.name}.{random.getrandbits(48):x}"
    start, made = clock.monotonic_ns(), 0
    while not (told.folder / "enough").exists():
        due = int((clock.monotonic_ns() - start) / 1e9 * told.reports_per_s)
        for number in range(made, due):
            context.emit(make(f"{life}.{number}", wall_ms(clock), random, told.each_its_own))
        made = max(made, due)
        await clock.sleep(0.01 + 0.02 * random.random())
    await asyncio.Event().wait()


async def run(folder: Path) -> None:
    config = load_site(folder / "site.toml")
    clock, ledger, stop = SteppedClock(folder / "clock"), Ledger(folder / "ledger"), asyncio.Event()
    told = Feed(folder, **json.loads((folder / "feed.json").read_text()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # The agent makes its own way to the centre; what it is answered there is to be known.
    probes.agent.Centre = partial(HeardCentre, ledger=ledger)  # type: ignore[misc]
    async with AsyncExitStack() as stack:
        spool = ToldSpool(Path(config.spool.dir) / "spool.db", config.spool.max_bytes, clock, ledger)
        agent = probes.agent.Agent(config, clock, spool, Random(), {"feed": partial(feed, told)})
        await agent.live(stop, stack)
        spool.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(run(Path(sys.argv[1])))
