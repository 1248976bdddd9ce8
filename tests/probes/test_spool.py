"""What the spool has taken is never lost, never twice, and what had to go is told: after any kill and any disk."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from probes import spool as spool_module
from probes.report import Gone, Report
from probes.shelf import Shelf
from probes.spool import BALLAST_BYTES, LEAST_BYTES, Spool
from tests.probes.fakes import HandClock, link_report

MINUTE_MS = 60_000


def open_spool(path: Path, max_bytes: int = LEAST_BYTES, clock: HandClock | None = None) -> Spool:
    return Spool(path, max_bytes, clock or HandClock())


def every_10_s(number: int, start: int = 1_800_000_000_000) -> list[Report]:
    return [link_report(start + 10_000 * index) for index in range(number)]


def all_of(spool: Spool) -> list[Report]:
    """What waits, oldest first."""
    return spool.newest(1_000_000)[::-1]


def told(spool: Spool) -> list[Gone]:
    return spool.gone(1_000_000)


def closed(spool: Spool, boot: str) -> set[int]:
    return {seq for gone in told(spool) if gone.boot == boot for seq in range(gone.from_seq, gone.to_seq + 1)}


def waits_in_memory(spool: Spool) -> bool:
    return spool.in_memory


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    folder = tmp_path / "small_disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder]).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """Take every free block, as a log gone wild does."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_report_gets_the_boot_and_the_next_sequence(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    first, second = spool.add(link_report()), spool.add(link_report())
    assert first.boot == second.boot == spool.boot
    assert (first.seq, second.seq) == (1, 2)
    assert all_of(spool) == [first, second]


def test_sequences_go_on_after_a_restart_even_when_all_was_acknowledged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    spool.acknowledge([(report.boot, report.seq) for report in spool.add_all(every_10_s(3))])
    boot = spool.boot
    spool.close()
    again = open_spool(tmp_path / "spool")
    assert (again.boot, again.add(link_report()).seq) == (boot, 4)
    assert again.held().reports == 1


def test_after_a_start_of_the_machine_no_number_can_come_twice(tmp_path: Path) -> None:
    """An image restored from yesterday has forgotten the numbers of today: under a new boot none can collide."""
    path = tmp_path / "spool"
    spool = Spool(path, LEAST_BYTES, HandClock(), machine="monday")
    monday = spool.add_all(every_10_s(3))
    spool.close()
    spool = Spool(path, LEAST_BYTES, HandClock(), machine="monday")
    assert spool.boot == monday[0].boot, "the process alone was started again"
    spool.close()
    spool = Spool(path, LEAST_BYTES, HandClock(), machine="tuesday")
    tuesday = spool.add(link_report())
    assert tuesday.boot != monday[0].boot
    assert tuesday.seq == 1
    assert all_of(spool) == [*monday, tuesday], "what waited keeps the name it was given"


def test_a_large_group_is_stored_in_one_piece(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool", max_bytes=64 << 20)
    assert spool.add_all(every_10_s(3000))[-1].seq == 3000
    assert spool.held().reports == 3000


def test_the_newest_come_first(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    spool.add_all(every_10_s(10))
    assert [report.seq for report in spool.newest(3)] == [10, 9, 8]


def test_a_refused_report_is_told_as_gone_until_that_is_acknowledged(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    one, two, three = spool.add_all(every_10_s(3))
    spool.acknowledge([(one.boot, one.seq)], refused=[(two.boot, two.seq), (three.boot, three.seq)])
    spool.close()
    again = open_spool(tmp_path / "spool")
    assert told(again) == [Gone(one.boot, 2, 3, "refused")]
    again.acknowledge([], told=told(again))
    assert told(again) == []


def test_refusing_what_was_acknowledged_before_tells_nothing(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    report = spool.add(link_report())
    spool.acknowledge([(report.boot, report.seq)])
    spool.acknowledge([], refused=[(report.boot, report.seq)])
    assert told(spool) == []


def test_a_range_that_grew_while_it_was_being_told_is_told_again(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    one, two = spool.add_all(every_10_s(2))
    spool.acknowledge([], refused=[(one.boot, one.seq)])
    on_the_way = told(spool)
    spool.acknowledge([], refused=[(two.boot, two.seq)])
    spool.acknowledge([], told=on_the_way)
    assert told(spool) == [Gone(one.boot, 1, 2, "refused")]


def test_when_full_the_oldest_raw_reports_are_thinned_to_the_first_of_each_minute(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    unnamed = every_10_s(2000)
    reports = [named for start in range(0, 2000, 5) for named in spool.add_all(unnamed[start : start + 5])]
    kept = {report.seq for report in all_of(spool)}
    first_of_minute = {1} | {
        report.seq for before, report in pairwise(reports) if before.at // MINUTE_MS != report.at // MINUTE_MS
    }
    assert first_of_minute <= kept
    assert len(kept) < 2000
    raw_left = kept - first_of_minute
    assert min(raw_left) > max(closed(spool, spool.boot)), "the oldest are thinned first"
    assert {gone.why for gone in told(spool)} == {"thinned"}


def test_only_when_nothing_is_left_to_thin_the_oldest_minutes_are_dropped(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool")
    for start in range(0, 12_000, 100):
        spool.add_all(every_10_s(100, 1_800_000_000_000 + 10_000 * start))
    kept = [report.seq for report in all_of(spool)]
    assert kept[0] > 1
    gone = told(spool)
    assert gone[0] == Gone(spool.boot, 1, kept[0] - 1, "disk_full"), "what is dropped becomes one range"
    assert {entry.why for entry in gone[1:]} == {"thinned"}
    assert closed(spool, spool.boot) | set(kept) == set(range(1, 12_001)), "no hole"
    assert not closed(spool, spool.boot) & set(kept)


def test_each_source_keeps_its_own_minutes(tmp_path: Path) -> None:
    shelf = Shelf(None, LEAST_BYTES)
    shelf.add([link_report(target=target) for _ in range(5) for target in ("hp", "hd")])
    while any(report.seq > 2 for report in shelf.newest(100)):
        shelf.make_room()
    assert [(report.target, report.seq) for report in shelf.newest(100)] == [("hd", 2), ("hp", 1)]
    shelf.close()


def test_the_bound_on_the_disk_holds(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool", max_bytes=LEAST_BYTES)
    for start in range(0, 9000, 50):
        spool.add_all(every_10_s(50, 1_800_000_000_000 + 10_000 * start))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= LEAST_BYTES


def test_a_full_disk_thins_instead_of_failing(small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool", max_bytes=64 << 20)
    boot = spool.boot
    spool.add_all(every_10_s(500))
    fill(small_disk)
    for start in range(500, 3000, 20):
        spool.add_all(every_10_s(20, 1_800_000_000_000 + 10_000 * start))
    assert not waits_in_memory(spool)
    kept = {report.seq for report in all_of(spool)}
    assert closed(spool, boot) | kept == set(range(1, 3001))
    assert {gone.why for gone in told(spool)} <= {"thinned", "disk_full"}
    assert 3000 in kept


def test_a_disk_that_is_full_at_the_start_is_opened_with_the_ballast(small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool")
    stored = spool.add_all(every_10_s(20))
    spool.close()
    fill(small_disk)
    again = open_spool(small_disk / "spool")
    assert all_of(again) == stored
    assert again.add(link_report()).seq == 21
    assert not waits_in_memory(again)


def test_without_a_disk_reports_wait_in_memory_and_move_to_disk_when_it_is_back(small_disk: Path) -> None:
    clock = HandClock()
    filler = fill(small_disk)
    spool = open_spool(small_disk / "spool", clock=clock)
    waiting = spool.add_all(every_10_s(3))
    assert waits_in_memory(spool)
    assert all_of(spool) == waiting
    filler.unlink()
    clock.pass_s(31)
    later = spool.add(link_report())
    assert not waits_in_memory(spool)
    assert later.boot != waiting[0].boot, "the boot in memory dies with it: no identity is given twice"
    assert all_of(spool) == [*waiting, later]
    spool.acknowledge([(report.boot, report.seq) for report in waiting])
    spool.close()
    assert all_of(open_spool(small_disk / "spool")) == [later]


def test_memory_is_bounded_and_what_it_loses_is_told(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "MEMORY_BYTES", 1 << 20)
    clock = HandClock()
    filler = fill(small_disk)
    spool = open_spool(small_disk / "spool", clock=clock)
    boot = spool.boot
    for start in range(0, 2000, 20):
        spool.add_all(every_10_s(20, 1_800_000_000_000 + 10_000 * start))
    assert spool.held().bytes <= 1 << 20
    filler.unlink()
    clock.pass_s(31)
    kept = {report.seq for report in all_of(spool)}
    assert not waits_in_memory(spool)
    assert closed(spool, boot) | kept == set(range(1, 2001))


def test_the_ballast_comes_back_when_there_is_room(small_disk: Path) -> None:
    clock = HandClock()
    spool = open_spool(small_disk / "spool", clock=clock)
    ballast = small_disk / "spool-ballast"
    ballast.unlink()
    clock.pass_s(31)
    spool.add(link_report())
    assert ballast.stat().st_blocks * 512 >= BALLAST_BYTES


def test_a_broken_file_is_set_aside_and_a_new_boot_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool"
    path.write_bytes(b"this is no database" * 400)
    spool = open_spool(path)
    assert spool.add(link_report()).seq == 1
    assert not waits_in_memory(spool)
    assert (tmp_path / "spool.broken").read_bytes().startswith(b"this is no database")
    assert f"The spool {path} is broken" in caplog.text


def test_a_file_that_breaks_while_in_use_is_set_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = open_spool(path)
    spool.add_all(every_10_s(300))
    first_boot = spool.boot
    spool.close()
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(4096 * page)
            file.write(random.Random(page).randbytes(4096))
    spool = open_spool(path)
    stored = spool.add(link_report())
    assert stored.boot == spool.boot != first_boot
    assert all_of(spool) == [stored]


def test_a_group_costs_one_commit(tmp_path: Path) -> None:
    """Each commit is one fsync of the log: counted by the kernel, not by us."""
    script = (
        "import sys; from pathlib import Path; from probes.spool import *; from probes.clock import SystemClock\n"
        "from tests.probes.fakes import link_report\n"
        "s = Spool(Path(sys.argv[1]), 1 << 24, SystemClock())\n"
        "for _ in range(40): s.add_all([link_report()] * 3)\n"
        "import os; os._exit(0)\n"
    )
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
    command += [sys.executable, "-c", script, str(tmp_path / "s")]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    synced = [line for line in trace.read_text().splitlines() if "sync(" in line]
    assert len(synced) <= 40 + 60, "40 groups, the schema, and a checkpoint now and then"


WRITER = """
import sys
from pathlib import Path
from probes.clock import SystemClock
from probes.spool import Spool
from tests.probes.fakes import link_report
spool = Spool(Path(sys.argv[1]), 1 << 22, SystemClock())
while True:
    print("stored", *(report.seq for report in spool.add_all([link_report()] * 3)), flush=True)
    newest = [report for report in spool.newest(4) if report.seq % 4 == 0]
    print("taking", *(report.seq for report in newest), flush=True)
    spool.acknowledge([(report.boot, report.seq) for report in newest])
"""


def test_what_was_stored_survives_kill_9(tmp_path: Path) -> None:
    """A process is killed at any moment, over and over: what it said it stored is there, and no number comes twice."""
    path, rng = tmp_path / "spool", random.Random(7)
    stored: list[int] = []
    maybe_taken: set[int] = set()
    boots = set()
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        lines = [process.stdout.readline() for _ in range(rng.randrange(3, 80))]
        os.kill(process.pid, signal.SIGKILL)
        lines += [line for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
        for word, *seqs in (line.split() for line in lines):
            numbers = [int(seq) for seq in seqs]
            stored.extend(numbers if word == "stored" else [])
            maybe_taken.update(numbers if word == "taking" else [])
        spool = open_spool(path)
        kept = [report.seq for report in all_of(spool)]
        boots.add(spool.boot)
        stored.append(spool.add(link_report()).seq)
        spool.close()
        assert set(stored[:-1]) - maybe_taken <= set(kept)
        assert len(kept) == len(set(kept))
    assert len(boots) == 1
    assert len(stored) == len(set(stored)), "no number was given twice"
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_neighbour_that_takes_every_block_that_comes_free_costs_no_report_untold(small_disk: Path) -> None:
    """Whatever the ballast or a deletion gives back is taken at once by another program; then half of it returned."""
    clock = HandClock()
    spool = open_spool(small_disk / "spool", max_bytes=64 << 20, clock=clock)
    named = spool.add_all(every_10_s(300))
    filler = fill(small_disk)
    for start in range(300, 4000, 20):
        named += spool.add_all(every_10_s(20, 1_800_000_000_000 + 10_000 * start))
        fill(small_disk)
        clock.pass_s(7)
        if start % 400 == 0:
            os.truncate(filler, filler.stat().st_size // 2)
            clock.pass_s(31)
            named += spool.add_all([link_report()])
            fill(small_disk)
    filler.unlink()
    clock.pass_s(31)
    named.append(spool.add(link_report()))
    assert not waits_in_memory(spool)
    kept = {(report.boot, report.seq) for report in all_of(spool)}
    gone = {(boot, seq) for boot in {report.boot for report in named} for seq in closed(spool, boot)}
    assert kept | gone == {(report.boot, report.seq) for report in named}
    assert kept & gone == set()
    assert len(named) == len({(report.boot, report.seq) for report in named})


def without_ballast(disk: Path) -> None:
    """The ballast is for what nobody foresaw; these must do without."""
    fill(disk)
    (disk / "spool-ballast").write_bytes(b"")
    fill(disk)


def test_a_full_disk_is_thinned_on_without_ever_touching_a_block_that_is_not_owned(small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool")
    named = spool.add_all(every_10_s(100))
    without_ballast(small_disk)
    for start in range(100, 2000, 3):
        named += spool.add_all(every_10_s(3, 1_800_000_000_000 + 10_000 * start))
        fill(small_disk)
    assert not waits_in_memory(spool)
    assert {report.seq for report in all_of(spool)} | closed(spool, spool.boot) == {report.seq for report in named}
    assert (small_disk / "spool-ballast").exists(), "it was not needed"


def test_a_full_disk_lets_a_thousand_reports_be_forgotten_at_once(small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool", max_bytes=64 << 20)
    for start in range(0, 1500, 5):
        spool.add_all(every_10_s(5, 1_800_000_000_000 + 10_000 * start))
    without_ballast(small_disk)
    known = spool.newest(1000)
    assert len(known) == 1000
    spool.acknowledge([(report.boot, report.seq) for report in known])
    assert not waits_in_memory(spool)
    assert spool.newest(1000)[0].seq == 500


def test_a_full_disk_takes_a_group_larger_than_its_log(small_disk: Path) -> None:
    spool = open_spool(small_disk / "spool", max_bytes=64 << 20)
    spool.add_all(every_10_s(1500))
    without_ballast(small_disk)
    named = spool.add_all(every_10_s(600, 1_900_000_000_000))
    assert not waits_in_memory(spool)
    waiting = {report.seq for report in all_of(spool)}
    assert len(waiting) > 600, "a large group does not sweep out what was there"
    assert {report.seq for report in named} <= waiting | closed(spool, spool.boot)
