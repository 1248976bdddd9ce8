"""A device under load: the real spool and the real sender, fed with reports that carry their own proof.

    python -m tests.bench.exactly_once.device FOLDER

FOLDER holds site.toml, clock (the offset of its clock), ledger (what is true) and feed.json (what to feed). It feeds
until there is a file `enough`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from probes.centre import Centre, Reply
from probes.clock import wall_ms
from probes.config import CentreTarget, load_site
from probes.push import Push
from probes.report import Answer, Gone, Report
from probes.shelf import Identity
from probes.spool import Spool
from tests.bench.exactly_once.clock import SteppedClock
from tests.bench.exactly_once.reports import make
from tests.bench.exactly_once.truth import Ledger


class ToldSpool(Spool):
    """The spool, with a ledger of what it promised and of what it was allowed to forget."""

    def __init__(self, path: Path, max_bytes: int, clock: SteppedClock, ledger: Ledger) -> None:
        super().__init__(path, max_bytes, clock)
        self._ledger = ledger

    def add_all(self, reports: Sequence[Report]) -> list[Report]:
        named = super().add_all(reports)
        letter = "M" if self.in_memory else "S"
        self._ledger.write(letter, ((report.boot, report.seq, report.labels["number"]) for report in named))
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


async def feed(emit: Callable[[Report], None], clock: SteppedClock, folder: Path, random: Random) -> None:
    """Emit so many reports a second, however late the loop is, until told that it is enough."""
    told: dict[str, Any] = json.loads((folder / "feed.json").read_text())
    life = f"{folder.name}.{random.getrandbits(48):x}"
    start, made = clock.monotonic_ns(), 0
    while not (folder / "enough").exists():
        due = int((clock.monotonic_ns() - start) / 1e9 * told["reports_per_s"])
        for number in range(made, due):
            emit(make(f"{life}.{number}", wall_ms(clock), random, told["each_its_own"]))
        made = max(made, due)
        await asyncio.sleep(0.01 + 0.02 * random.random())


async def spend(queue: asyncio.Queue[Report], spool: Spool, push: Push) -> None:
    """Whatever was emitted goes to disk in one commit, then the sender is woken."""
    while True:
        reports = [await queue.get()]
        while not queue.empty():
            reports.append(queue.get_nowait())
        await asyncio.to_thread(spool.add_all, reports)
        push.wake(len(reports))


async def run(folder: Path) -> None:
    config = load_site(folder / "site.toml")
    assert config.centre is not None
    clock, ledger, random = SteppedClock(folder / "clock"), Ledger(folder / "ledger"), Random()
    spool = ToldSpool(Path(config.spool.dir) / "spool.db", config.spool.max_bytes, clock, ledger)
    queue: asyncio.Queue[Report] = asyncio.Queue()
    async with HeardCentre(config.centre, ledger) as centre, asyncio.TaskGroup() as group:
        push = Push(centre, config.centre.device, spool, clock, lambda items: None, random)
        group.create_task(spend(queue, spool, push))
        group.create_task(push.run())
        group.create_task(feed(queue.put_nowait, clock, folder, random))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(run(Path(sys.argv[1])))
