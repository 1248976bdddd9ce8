"""Sends the spool to the centre, newest first: a fresh report never waits behind an old one.

Nothing leaves the spool but on a 200 of the centre that accounts for every report of the batch, or when the centre
refuses a report for ever while it takes others: then it becomes `gone`, and the log says why.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from probes.centre import UNREACHABLE, Centre, Reply
from probes.clock import Clock, wall_ms
from probes.config import CentreTarget, SpoolConfig
from probes.pace import BACKFILL_BYTES_PER_S, CALM_BYTES_PER_S, CALM_REPORTS, Backoff, Pace, retry_after_s
from probes.report import (
    MAX_GONE,
    MAX_UNPACKED_BYTES,
    MAX_WIRE_BYTES,
    WIRE,
    Answer,
    Batch,
    Gone,
    Report,
    encode,
    pack,
)
from probes.shelf import Identity
from probes.spool import SPOOL_FILE, Spool

SLOW_RETRY_S = 60.0
"""After an answer that only people can mend: a token revoked, a site moved, a wrong address."""
LAST_WORDS_S = 2.0
"""What a program sends after the order to stop."""
POLL_WAIT_S = 25
POLL_SPACING_S = 5.0
"""Between two polls at least, should the centre not hold them back."""

log = logging.getLogger(__name__)

TakeAgenda = Callable[[list[Any]], None]
"""Is handed the centre's agenda as it came, unchecked."""

ENCODINGS: dict[str | None, Callable[[bytes], bytes]] = {"zstd": pack, "gzip": gzip.compress, None: bytes}
"""In the order tried: a centre (or a proxy before it) that answers 415 gets the next."""


class Outcome(NamedTuple):
    """What became of a batch."""

    delivered: bool
    wait_s: float = 0.0
    """Before anything else is sent."""


def _always() -> bool:
    return True


class Push:
    """One device's spool on its way to the centre. `may_hurry`: whether old reports may fill the line just now."""

    def __init__(
        self,
        centre: Centre,
        device: str,
        spool: Spool,
        clock: Clock,
        take_agenda: TakeAgenda,
        random: Random,
        may_hurry: Callable[[], bool] = _always,
    ) -> None:
        self._centre = centre
        self._device = device
        self._spool = spool
        self._clock = clock
        self._take_agenda = take_agenda
        self._pace = Pace()
        self._backoff = Backoff(random)
        self._random = random
        self._may_hurry = may_hurry
        self._encodings = list(ENCODINGS)
        self._fresh = 0
        self._woken = asyncio.Event()
        self._trouble = ""
        self._sent_bytes = 0

    @property
    def trouble(self) -> str:
        """Why nothing is delivered at present; "" while all goes well."""
        return self._trouble

    def wake(self, fresh: int) -> None:
        """So many reports were just stored."""
        self._fresh += fresh
        self._woken.set()

    async def run(self) -> None:
        """Send whatever waits, and each fresh report at once, until cancelled."""
        while True:
            self._woken.clear()
            backfill_bytes, outcome = await self._round(self._limit())
            if outcome.wait_s:
                await self._clock.sleep(outcome.wait_s)
            elif backfill_bytes:
                await self._rest(backfill_bytes / (BACKFILL_BYTES_PER_S if self._may_hurry() else CALM_BYTES_PER_S))
            elif outcome.delivered:
                await self._woken.wait()

    async def _rest(self, seconds: float) -> None:
        """Leave the line to others between two backfill batches; fresh reports still leave at once."""
        rest = asyncio.ensure_future(self._clock.sleep(seconds))
        while not rest.done():
            woken = asyncio.ensure_future(self._woken.wait())
            await asyncio.wait((rest, woken), return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            if self._woken.is_set() and not rest.done():
                self._woken.clear()
                _, outcome = await self._round(max(1, min(self._fresh, self._limit())))
                await self._clock.sleep(outcome.wait_s)
        await rest

    def _limit(self) -> int:
        return self._pace.limit if self._may_hurry() else min(self._pace.limit, CALM_REPORTS)

    async def flush(self) -> bool:
        """Send until nothing waits; False when something does and the centre does not take it now."""
        while True:
            _, outcome = await self._round(self._pace.limit)
            if not outcome.delivered:
                return False
            held = await asyncio.to_thread(self._spool.held)
            if not held.reports and not held.gone:
                return True

    async def last_words(self, limit_s: float = LAST_WORDS_S) -> None:
        """Send what waits, as far as the centre takes it in `limit_s`; the rest stays in the spool."""
        try:
            async with asyncio.timeout(limit_s):
                await self.flush()
        except TimeoutError:
            log.info("The centre did not take everything in time; the rest stays in the spool.")

    async def _round(self, limit: int) -> tuple[int, Outcome]:
        """Send the newest `limit`; returns how many bytes that was if more of it waits, else 0."""
        self._fresh = 0
        gone_limit = min(MAX_GONE, 4 * limit)
        reports = await asyncio.to_thread(self._spool.newest, limit)
        gone = await asyncio.to_thread(self._spool.gone, gone_limit)
        if not reports and not gone:
            return 0, Outcome(delivered=True)
        start, sent = self._clock.monotonic_ns(), self._sent_bytes
        outcome = await self._deliver(reports, gone)
        if outcome.delivered:
            self._pace.took((self._clock.monotonic_ns() - start) / 1e9, len(reports))
        more = len(reports) >= limit or len(gone) >= gone_limit
        return (self._sent_bytes - sent if more else 0), outcome

    async def _deliver(self, reports: Sequence[Report], gone: Sequence[Gone], reads_us: bool = False) -> Outcome:
        """Send one batch and do what the answer asks. `reads_us`: the centre is known to take other batches."""
        reply = await self._post(reports, gone)
        match reply.status:
            case 200:
                return await self._account(reply, reports, gone)
            case 403 | 413 | 422:
                return await self._split(reply, reports, gone, reads_us)
            case 415 if len(self._encodings) > 1:
                log.warning("The centre does not take %s; trying the next encoding.", self._encodings[0])
                self._encodings.pop(0)
                return await self._deliver(reports, gone, reads_us)
            case _:
                return self._hold(reply)

    async def _post(self, reports: Sequence[Report], gone: Sequence[Gone]) -> Reply:
        plain = encode(Batch(WIRE, self._device, wall_ms(self._clock), list(reports), list(gone)))
        body = ENCODINGS[self._encodings[0]](plain)
        if len(plain) > MAX_UNPACKED_BYTES or len(body) > MAX_WIRE_BYTES:
            return Reply(413, text="larger than the wire allows")
        self._sent_bytes += len(body)
        return await self._centre.post_reports(body, self._encodings[0])

    async def _account(self, reply: Reply, reports: Sequence[Report], gone: Sequence[Gone]) -> Outcome:
        """The centre took the batch: believe it when its answer accounts for every report."""
        try:
            answer = msgspec.json.decode(reply.body, type=Answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._hold(reply._replace(text="but its answer is not that of a diemcau centre"))
        sent = {(report.boot, report.seq) for report in reports}
        refused = {(entry.boot, entry.seq): entry.why for entry in answer.refused if (entry.boot, entry.seq) in sent}
        if answer.stored + answer.known + len(answer.refused) != len(reports):
            return self._hold(reply._replace(text="but its answer does not account for every report sent"))
        if len(refused) != len(answer.refused):
            return await self._split(reply, reports, gone, reads_us=True)
        for (boot, seq), why in refused.items():
            log.error("The centre refuses report %s/%d for ever: %s", boot, seq, why[:300])
        await self._forget(sent - refused.keys(), gone, refused)
        self._worked()
        if answer.agenda:
            self._take_agenda(answer.agenda)
        return Outcome(delivered=True)

    async def _split(self, reply: Reply, reports: Sequence[Report], gone: Sequence[Gone], reads_us: bool) -> Outcome:
        """The batch as a whole was refused: find what is at fault in it by halves, and deliver the rest.

        A centre that refuses an empty batch as well is itself at fault: then everything is kept. Once it took that,
        the batch is tried again, lest a report be condemned for a trouble that is just over.
        """
        if not reads_us:
            reads_us = (await self._post([], [])).status == 200
            return await self._deliver(reports, gone, reads_us) if reads_us else self._hold(reply)
        count = len(reports) + len(gone)
        if reply.status == 413:
            self._pace.too_large(count)
        if count <= 1:
            return await self._condemn(reply, reports, gone)
        half = len(reports) // 2
        halves = [(reports[:half], gone), (reports[half:], [])] if len(reports) > 1 else [(reports, []), ([], gone)]
        if not reports:
            halves = [([], gone[: count // 2]), ([], gone[count // 2 :])]
        for some, told in halves:
            outcome = await self._deliver(some, told, reads_us=True) if some or told else Outcome(delivered=True)
            if not outcome.delivered:
                return outcome
        return Outcome(delivered=True)

    async def _condemn(self, reply: Reply, reports: Sequence[Report], gone: Sequence[Gone]) -> Outcome:
        """This one alone is refused while others are taken: set it aside for good, and say so."""
        for report in reports:
            log.error(
                "The centre cannot take report %s/%d of %s (%d %s). It is set aside and told as refused.",
                report.boot,
                report.seq,
                report.probe,
                reply.status,
                reply.text,
            )
        for lost in gone:
            log.error("The centre does not take the range %s (%d %s); it is not told again.", lost, *reply[0::3])
        await self._forget((), gone, [(report.boot, report.seq) for report in reports])
        return Outcome(delivered=True)

    async def _forget(self, taken: Iterable[Identity], told: Iterable[Gone], refused: Collection[Identity]) -> None:
        if refused:
            self._woken.set()  # what is refused becomes a range to tell
        await asyncio.to_thread(self._spool.acknowledge, taken, told, refused)

    def _worked(self) -> None:
        self._backoff.over()
        if self._trouble:
            log.warning("The centre takes reports again.")
        self._trouble = ""

    def _hold(self, reply: Reply) -> Outcome:
        """Nothing was delivered and everything is kept: how long to wait, and a word in the log when that is new."""
        sentence = _say(reply)
        if sentence != self._trouble:
            log.warning("%s Everything is kept.", sentence)
        self._trouble = sentence
        asked_s = retry_after_s(reply.retry_after, wall_ms(self._clock))
        if asked_s is not None:
            return Outcome(False, asked_s + self._random.uniform(0, 1))
        if reply.status == UNREACHABLE or reply.status == 429 or reply.status >= 500:
            return Outcome(False, self._backoff.next_s())
        return Outcome(False, SLOW_RETRY_S * self._random.uniform(0.8, 1.2))

    async def listen(self) -> None:
        """Ask for the agenda over and over, until cancelled; the centre holds each answer back while there is none."""
        backoff, etag = Backoff(self._random, first_s=1.0, most_s=60.0), None
        while True:
            start = self._clock.monotonic_ns()
            reply = await self._centre.get_agenda(POLL_WAIT_S, etag)
            wait_s = POLL_SPACING_S - (self._clock.monotonic_ns() - start) / 1e9
            if reply.status == 200:
                etag = reply.etag
                self._take_agenda(_items(reply.body))
            if reply.status in (200, 304):
                backoff.over()
            else:
                wait_s = retry_after_s(reply.retry_after, wall_ms(self._clock)) or max(wait_s, backoff.next_s())
            await self._clock.sleep(max(0.0, wait_s))


async def flush_spool(spool_config: SpoolConfig, target: CentreTarget, clock: Clock) -> str:
    """Send all that waits in a spool; returns "" once nothing does, else why the centre does not take it."""
    spool = Spool(Path(spool_config.dir) / SPOOL_FILE, spool_config.max_bytes, clock)
    try:
        async with Centre(target) as centre:
            push = Push(centre, target.device, spool, clock, lambda agenda: None, Random())
            return "" if await push.flush() else push.trouble
    finally:
        spool.close()


def _items(body: bytes) -> list[Any]:
    try:
        return msgspec.json.decode(body, type=list[Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        log.warning("The agenda of the centre cannot be read; it is left alone.")
        return []


def _say(reply: Reply) -> str:
    """What is wrong, and who can mend it."""
    match reply.status:
        case 0:
            return f"The centre cannot be reached ({reply.text})."
        case 401:
            return "The centre does not know this device's token (401). Enrol the device again."
        case 403:
            return f"The centre does not let this device report (403 {reply.text}). Was it revoked, or moved?"
        case 422 | 413 | 415:
            return f"The centre cannot read this device at all ({reply.status} {reply.text}). Do their versions fit?"
        case status if 300 <= status < 400:
            return f"The centre's address redirects ({status} to {reply.text}); set centre.url to where it really is."
        case status:
            return f"The centre answered {status} {reply.text}".rstrip(" .") + "."
