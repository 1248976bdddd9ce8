"""What the devices know against what the centre holds, read from its database without its own code."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from monitor.store.database import reading
from monitor.store.runs import select_runs
from probes.report import Failure, Report
from tests.bench.exactly_once.reports import sum_of
from tests.bench.exactly_once.truth import OWN_WORDS, Identity, Truth


@dataclass
class Held:
    """What the centre holds of one device."""

    reports: dict[Identity, Report] = field(default_factory=dict)
    twice: list[Identity] = field(default_factory=list)
    gone: list[tuple[str, int, int, str]] = field(default_factory=list)
    ranges: dict[str, tuple[set[int], set[int]]] = field(default_factory=dict)
    """By boot what the centre itself says to have stored, and to have been told gone."""

    def told_gone(self) -> set[Identity]:
        return {(boot, seq) for boot, low, high, _ in self.gone for seq in range(low, high + 1)}


@dataclass
class Verdict:
    """One device's account. Every list but the counts must be empty."""

    made: int
    stored: int
    known: int
    gone: Counter[str]
    missing: list[Identity]
    acknowledged_missing: list[Identity]
    twice: list[object]
    altered: list[Identity]
    open: list[Identity]
    ranges_wrong: list[str]
    lost_in_memory: int
    """Held in memory while the disk took nothing, and killed there."""
    both: int
    """Told gone, and stored all the same: the answer to its sending was lost."""

    def faults(self) -> dict[str, int]:
        found = {
            "missing": len(self.missing),
            "acknowledged but missing": len(self.acknowledged_missing),
            "twice": len(self.twice),
            "altered": len(self.altered),
            "open sequences": len(self.open),
            "ranges that disagree with the reports": len(self.ranges_wrong),
            "lost in memory": self.lost_in_memory,
        }
        return {name: count for name, count in found.items() if count}


def read_centre(database: Path) -> dict[str, Held]:
    """All that the centre holds, by device."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    held: dict[str, Held] = {}
    boots: dict[int, tuple[str, str]] = {}
    for row in connection.execute("SELECT * FROM spools"):
        boots[row["id"]] = row["device"], row["boot"]
        stored, gone = (set(_numbers(json.loads(row[column]))) for column in ("stored", "gone"))
        held.setdefault(row["device"], Held()).ranges[row["boot"]] = stored, gone
    for table in [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'runs_%'")]:
        if connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0] == "table":
            for row in connection.execute(f"SELECT * FROM {table}"):
                device, boot = boots[row["spool"]]
                _keep(held[device], (boot, row["seq"]), _report(row, table.removeprefix("runs_")))
    for row in connection.execute("SELECT * FROM gone"):
        device, boot = boots[row["spool"]]
        held[device].gone.append((boot, row["from_seq"], row["to_seq"], row["why"]))
    connection.close()
    return held


def _keep(held: Held, identity: Identity, report: Report) -> None:
    if identity in held.reports:
        held.twice.append(identity)
    held.reports[identity] = report


def _numbers(pairs: Iterable[tuple[int, int]]) -> Iterator[int]:
    for low, high in pairs:
        yield from range(low, high + 1)


def _report(row: sqlite3.Row, probe: str) -> Report:
    keys = row.keys()
    values: dict[str, Any] = {key[2:]: row[key] for key in keys if key.startswith("v_") and row[key] is not None}
    return Report(
        row["probe"] if "probe" in keys else probe,
        row["at"],
        row["took_ms"],
        target=row["target"],
        line=row["line"],
        failure=Failure(row["failure_code"], row["failure_text"]) if row["failure_code"] else None,
        values=values | json.loads(row["more"] or "{}"),
        labels=json.loads(row["labels"] or "{}"),
    )


def disagreements(database: Path, held: dict[str, Held]) -> int:
    """How many reports the centre's own reader gives otherwise than they stand in the tables."""
    mine = {(device, *identity): report for device, each in held.items() for identity, report in each.reports.items()}
    with reading(database.parent) as connection:
        theirs = {
            (run.device, run.report.boot, run.report.seq): run.report
            for probe in {report.probe for report in mine.values()}
            for run in select_runs(connection, probe, "1", ())
        }
    plain = {key: msgspec.structs.replace(report, boot="", seq=0) for key, report in theirs.items()}
    return sum(plain.get(key) != mine.get(key) for key in plain.keys() | mine.keys())


def last_given(spool: Path) -> tuple[str, int]:
    """The boot of a spool, and the last sequence it gave."""
    connection = sqlite3.connect(f"file:{spool}?mode=ro", uri=True)
    try:
        boot, next_seq = connection.execute("SELECT boot, next_seq FROM identity").fetchone()
        return boot, next_seq - 1
    finally:
        connection.close()


def number_of(report: Report) -> str:
    return report.labels.get("number", OWN_WORDS)


def judge(truth: Truth, held: Held, last: tuple[str, int]) -> Verdict:
    """One device. `last` is the boot of its spool and the last sequence given."""
    told = held.told_gone()
    stored = held.reports.keys()
    closed = stored | told
    numbers = Counter(number_of(report) for report in held.reports.values())
    expected = {**truth.safe, **truth.in_memory}
    return Verdict(
        made=len(truth.safe) + len(truth.in_memory),
        stored=len(stored),
        known=truth.known,
        gone=Counter(
            {why: sum(high - low + 1 for _, low, high, each in held.gone if each == why) for *_, why in held.gone}
        ),
        missing=sorted(truth.safe.keys() - closed),
        acknowledged_missing=sorted(truth.acknowledged - stored),
        twice=[*held.twice, *(each for each, count in numbers.items() if count > 1 and each != OWN_WORDS)],
        altered=[
            identity
            for identity, report in held.reports.items()
            if expected.get(identity, number_of(report)) != number_of(report)
            or (number_of(report) != OWN_WORDS and report.labels["sum"] != sum_of(report))
        ],
        open=_open(closed, last, expected.keys()),
        ranges_wrong=_disagreeing(held),
        lost_in_memory=len(truth.in_memory.keys() - closed),
        both=len(stored & told),
    )


def _open(closed: set[Identity], last: tuple[str, int], known: Iterable[Identity]) -> list[Identity]:
    """Sequences that are neither stored nor told gone, up to the last that each boot is known to have given."""
    ends = dict([last])
    for boot, seq in (*closed, *known):
        ends[boot] = max(seq, ends.get(boot, 0))
    return sorted((boot, seq) for boot, end in ends.items() for seq in range(1, end + 1) if (boot, seq) not in closed)


def _disagreeing(held: Held) -> list[str]:
    """The boots whose ranges are not those of the reports and of what was told."""
    told = held.told_gone()
    return [
        boot
        for boot, (stored, gone) in held.ranges.items()
        if stored != {seq for each, seq in held.reports if each == boot}
        or gone != {seq for each, seq in told if each == boot}
    ]
