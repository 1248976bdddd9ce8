"""The centre is killed under load at any moment: what it acknowledged is there, once; the rest is sent again."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from monitor.store.database import reading
from monitor.store.reads import runs_after
from monitor.store.verify import verify
from probes.report import Batch, Report, encode
from tests.monitor.house import GOOD_LINK, NOW_MS
from tests.monitor.test_cli import city, run, serving

SENDERS = 8
BATCH = 5
PER_SENDER = 4_000


class Sender:
    """One device's spool: batches go out in any order, several at a time; unacknowledged ones are sent again."""

    def __init__(self, device: str, token: str, random: random.Random) -> None:
        self.device, self.token, self.random = device, token, random
        self.waiting = set(range(1, PER_SENDER + 1))
        self.acknowledged: set[int] = set()

    async def send(self, client: httpx.AsyncClient, url: str) -> None:
        """Until the centre is gone or nothing waits."""
        with suppress(httpx.TransportError):
            while self.waiting:
                await self.send_some(client, url)

    async def send_some(self, client: httpx.AsyncClient, url: str) -> None:
        seqs = self.random.sample(sorted(self.waiting)[:100], min(BATCH, len(self.waiting)))
        answer = await client.post(
            f"{url}/api/v1/reports", content=self.body(seqs), headers={"Authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert said["stored"] + said["known"] == len(seqs)
        self.acknowledged |= set(seqs)
        self.waiting -= set(seqs)

    def body(self, seqs: list[int]) -> bytes:
        values = {name: float(value) for name, value in GOOD_LINK.items()}
        reports = [Report("link", NOW_MS + seq, boot="b1", seq=seq, target="hd", values=values) for seq in seqs]
        return encode(Batch(1, self.device, NOW_MS, reports))


async def storm(senders: list[Sender], url: str) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        await asyncio.gather(*(sender.send(client, url) for sender in senders for _ in range(2)))


async def one_life(senders: list[Sender], url: str, centre: subprocess.Popen[bytes], seconds: float) -> None:
    """Send to the centre and kill it meanwhile."""
    sending = asyncio.create_task(storm(senders, url))
    await asyncio.sleep(seconds)
    centre.kill()
    centre.wait()
    await sending


@pytest.mark.slow
def test_kills_lose_nothing_that_was_acknowledged_and_double_nothing(tmp_path: Path) -> None:
    data = city(tmp_path)
    chance = random.Random(20261120)
    senders = []
    for _ in range(SENDERS):
        added = json.loads(run("devices", "add", "31-1", "--json", "--data", data))
        senders.append(Sender(added["device"], added["token"], chance))

    for _ in range(12):
        with serving(data) as (url, process):
            asyncio.run(one_life(senders, url, process, chance.uniform(0.05, 0.8)))
        check(data, senders)
    assert any(sender.waiting for sender in senders), "every kill came while there was something to send"
    with serving(data) as (url, _):
        asyncio.run(storm(senders, url))
    check(data, senders)
    with reading(data) as connection:
        assert [(spool.stored, spool.open) for spool in verify(connection).spools] == [(PER_SENDER, [])] * SENDERS


def check(data: Path, senders: list[Sender]) -> None:
    """Every acknowledged report is there, and none twice."""
    with reading(data) as connection:
        assert verify(connection).faults == []
        stored = [(run.device, run.report.seq) for run in runs_after(connection, 0)]
    assert len(set(stored)) == len(stored)
    acknowledged = {(sender.device, seq) for sender in senders for seq in sender.acknowledged}
    assert acknowledged <= set(stored)
