"""The durable log: once, in any order, and nothing acknowledged that is not on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from monitor.store.database import reading
from monitor.store.hot import QUEUE_REPORTS, HotStore
from monitor.store.intake import MAX_RANGES
from monitor.store.protocol import Intake, StoreUnavailable
from monitor.store.reads import runs_after
from monitor.store.runs import Run
from monitor.store.verify import verify
from probes.report import Gone, Report


def intake(*seqs: int, boot: str = "b1", gone: list[Gone] | None = None) -> Intake:
    reports = [
        ("31-1", Report("link", 1_000 + seq, boot=boot, seq=seq, values={"rtt_p50_ms": float(seq)})) for seq in seqs
    ]
    return Intake("d-1", 5_000, None, reports, gone or [])


def stored(data: Path) -> list[int]:
    with reading(data) as connection:
        assert verify(connection).faults == []
        return [run.report.seq for run in runs_after(connection, 0)]


async def test_a_batch_that_is_overtaken_by_a_later_one_is_still_stored(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    later = await store.take(intake(4, 5, 6))
    earlier = await store.take(intake(1, 2, 3))
    again = await store.take(intake(1, 2, 3, 4, 5, 6))
    store.close()
    assert (len(later.runs), len(earlier.runs), len(again.runs), again.known) == (3, 3, 0, 6)
    assert sorted(stored(tmp_path)) == [1, 2, 3, 4, 5, 6]


async def test_a_sequence_twice_in_one_batch_is_known_the_second_time(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    taken = await store.take(intake(1, 2, 1))
    store.close()
    assert ([run.report.seq for run in taken.runs], taken.known) == ([1, 2], 1)
    assert stored(tmp_path) == [1, 2]


async def test_what_was_stored_is_known_after_a_restart(tmp_path: Path) -> None:
    first = HotStore(tmp_path, lambda runs: None)
    await first.take(intake(1, 2, 5))
    first.close()
    second = HotStore(tmp_path, lambda runs: None)
    taken = await second.take(intake(1, 2, 3, 5))
    second.close()
    assert ([run.report.seq for run in taken.runs], taken.known) == ([3], 3)
    assert taken.runs[0].entry == 4, "entries go on where they stopped"


async def test_a_device_that_scatters_its_sequences_is_stopped_and_may_close_its_gaps(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    scattered = range(2, 2 * MAX_RANGES + 4, 2)
    taken = await store.take(intake(*scattered))
    assert (len(taken.runs), [each.seq for each in taken.refused]) == (MAX_RANGES, [2 * MAX_RANGES + 2])
    assert "gaps" in taken.refused[0].why
    closing = await store.take(intake(3, 2 * MAX_RANGES + 2))
    store.close()
    assert (len(closing.runs), closing.refused) == (2, [])


async def test_another_boot_counts_for_itself(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    await store.take(intake(1, 2))
    taken = await store.take(intake(1, 2, boot="b2"))
    store.close()
    assert len(taken.runs) == 2


async def test_gone_closes_sequences_and_a_report_under_way_is_still_taken(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    await store.take(intake(1, 8, gone=[Gone("b1", 2, 6, "thinned")]))
    with reading(tmp_path) as connection:
        (spool,) = verify(connection).spools
    assert (spool.stored, spool.gone, spool.open) == (2, 5, [(7, 7)])
    late = await store.take(intake(3, 7))
    store.close()
    assert len(late.runs) == 2
    with reading(tmp_path) as connection:
        (spool,) = verify(connection).spools
    assert (spool.stored, spool.gone, spool.open) == (4, 4, [])


async def test_listeners_hear_of_runs_in_the_order_of_their_entries_before_anyone_is_answered(tmp_path: Path) -> None:
    heard: list[int] = []

    def hear(runs: list[Run]) -> None:
        heard.extend(run.entry for run in runs)

    store = HotStore(tmp_path, hear)

    async def send(seq: int) -> None:
        taken = await store.take(intake(seq))
        assert taken.runs[0].entry in heard

    await asyncio.gather(*(send(seq) for seq in range(1, 200)))
    store.close()
    assert heard == list(range(1, 200))


async def test_a_change_that_fails_undoes_only_itself(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO counters VALUES ('half', 1)")
        raise LookupError("no such thing")

    taken, failed, more = await asyncio.gather(
        store.take(intake(1)), store.change(fail), store.take(intake(2)), return_exceptions=True
    )
    assert isinstance(failed, LookupError)
    found = await store.read(
        lambda connection: connection.execute("SELECT 1 FROM counters WHERE name = 'half'").fetchone()
    )
    store.close()
    assert found is None
    assert not isinstance(taken, BaseException)
    assert not isinstance(more, BaseException)
    assert stored(tmp_path) == [1, 2]


async def test_a_report_that_cannot_be_stored_does_not_stop_its_neighbours(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    broken = Intake("d-2", 5_000, None, [("31-1", Report("link", 1 << 70, boot="b1", seq=1))])
    results = await asyncio.gather(
        store.take(intake(1)), store.take(broken), store.take(intake(2)), return_exceptions=True
    )
    store.close()
    assert [isinstance(result, StoreUnavailable) for result in results] == [False, True, False]
    assert stored(tmp_path) == [1, 2]


async def test_a_queue_that_is_full_says_so_and_takes_nothing(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    with pytest.raises(StoreUnavailable, match="wait for the disk"):
        await store.take(intake(*range(1, QUEUE_REPORTS + 2)))
    store.close()
    assert stored(tmp_path) == []


async def test_a_store_that_is_closing_takes_nothing_more(tmp_path: Path) -> None:
    store = HotStore(tmp_path, lambda runs: None)
    store.close()
    with pytest.raises(StoreUnavailable, match="stopping"):
        await store.take(intake(1))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"needs a tmpfs of its own (root): {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


async def test_a_full_disk_acknowledges_nothing_and_heals_when_there_is_room(small_disk: Path) -> None:
    heard: list[int] = []
    store = HotStore(small_disk, lambda runs: heard.extend(run.report.seq for run in runs))
    await store.take(intake(1))
    filler = small_disk / "filler"
    fill(filler)
    acknowledged = {1}
    refused: set[int] = set()
    for start in range(2, 4002, 400):
        seqs = range(start, start + 400)
        try:
            await store.take(intake(*seqs))
        except StoreUnavailable as error:
            assert "send it again" in str(error)
            refused |= set(seqs)
        else:
            acknowledged |= set(seqs)
    assert refused, "the disk was full"
    assert store.fault() is not None
    assert set(heard) == acknowledged, "the live state knows nothing that is not stored"
    filler.unlink()
    taken = await store.take(intake(*sorted(refused | acknowledged)))
    assert store.fault() is None
    store.close()
    assert {run.report.seq for run in taken.runs} == refused
    assert sorted(stored(small_disk)) == sorted(acknowledged | refused)
