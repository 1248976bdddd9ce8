"""Taking reports in, exactly once: the reports and the ranges that say they are there are one transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from monitor.store.protocol import Intake, Taken
from monitor.store.ranges import Ranges
from monitor.store.runs import Run, Shape, shape_of, to_row
from probes.report import Refused, Report

SHAPES = 1_000
"""Sets of metrics remembered; healthy devices have a few each probe."""

MAX_RANGES = 5_000
"""Ranges a spool may be in: they are written at every commit, and a device that scatters its sequences may not make
that slow for all. A healthy one has a few, after a bad outage some dozens."""
TOO_MANY_GAPS = f"This boot has left {MAX_RANGES} gaps between its sequences; send those in between first."

_encode = msgspec.json.Encoder().encode
_pairs = msgspec.json.Decoder(list[tuple[int, int]])


class Spool:
    """What has arrived of one device's boot: stored, and given up by the device. Both close a sequence.

    They are kept apart so that a report whose range was told gone while it was under way is still stored.
    """

    __slots__ = ("gone", "id", "stored")

    def __init__(self, spool_id: int, stored: Ranges, gone: Ranges) -> None:
        self.id, self.stored, self.gone = spool_id, stored, gone


def read_ranges(text: str) -> Ranges:
    return Ranges(_pairs.decode(text))


class Takings:
    """The intake of one writer. `take` belongs inside its transaction, `flush` before its commit.

    After a transaction that failed, `forget` makes it read everything again.
    """

    def __init__(self) -> None:
        self._spools: dict[tuple[str, str], Spool] = {}
        self._changed: dict[tuple[str, str], Spool] = {}
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._entry: int | None = None

    def take(self, connection: sqlite3.Connection, intake: Intake) -> Taken:
        runs: list[Run] = []
        refused: list[Refused] = []
        known = 0
        entry = self._entry if self._entry is not None else _last_entry(connection)
        for site, report in intake.reports:
            spool = self._spool(connection, intake.device, report.boot)
            if len(spool.stored) >= MAX_RANGES and spool.stored.would_split(report.seq):
                refused.append(Refused(report.boot, report.seq, TOO_MANY_GAPS))
                continue
            if not spool.stored.add(report.seq):
                known += 1
                continue
            self._changed[intake.device, report.boot] = spool
            entry += 1
            run = Run(entry, intake.device, site, intake.received_at, intake.skew_ms, report)
            shape = self._shape(report)
            self._rows.setdefault(shape.insert, []).append(to_row(run, spool.id, shape))
            runs.append(run)
        self._entry = entry
        self._close(connection, intake)
        if intake.unknown:
            connection.executemany(
                "INSERT OR IGNORE INTO unknown_metrics VALUES (?, ?, ?)",
                [(intake.device, name, intake.received_at) for name in intake.unknown],
            )
        return Taken(runs, known, refused)

    def _close(self, connection: sqlite3.Connection, intake: Intake) -> None:
        for gone in intake.gone:
            spool = self._spool(connection, intake.device, gone.boot)
            if len(spool.gone) >= MAX_RANGES and spool.gone.would_split(gone.from_seq):
                continue  # stays open, and `verify` says so
            before = spool.gone.size
            spool.gone.add_range(gone.from_seq, gone.to_seq)
            if spool.gone.size == before:
                continue
            self._changed[intake.device, gone.boot] = spool
            connection.execute(
                "INSERT INTO gone VALUES (?, ?, ?, ?, ?)",
                (spool.id, gone.from_seq, gone.to_seq, gone.why, intake.received_at),
            )

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write what `take` gathered: rows by table, and the ranges of every spool that changed."""
        for insert, rows in self._rows.items():
            connection.executemany(insert, rows)
        if self._changed:
            connection.executemany(
                "UPDATE spools SET stored = ?, gone = ? WHERE id = ?",
                [(_text(spool.stored), _text(spool.gone), spool.id) for spool in self._changed.values()],
            )
            connection.execute("UPDATE counters SET value = ? WHERE name = 'entry'", (self._entry,))
        self._rows.clear()
        self._changed.clear()

    def forget(self) -> None:
        self._spools.clear()
        self._changed.clear()
        self._rows.clear()
        self._entry = None

    def _shape(self, report: Report) -> Shape:
        key = (report.probe, *report.values)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= SHAPES:
                self._shapes.clear()
            shape = self._shapes[key] = shape_of(report.probe, key[1:])
        return shape

    def _spool(self, connection: sqlite3.Connection, device: str, boot: str) -> Spool:
        key = device, boot
        spool = self._spools.get(key)
        if spool is None:
            spool = self._spools[key] = _load(connection, device, boot)
        return spool


def _last_entry(connection: sqlite3.Connection) -> int:
    (entry,) = connection.execute("SELECT value FROM counters WHERE name = 'entry'").fetchone()
    return int(entry)


def _load(connection: sqlite3.Connection, device: str, boot: str) -> Spool:
    row = connection.execute(
        "SELECT id, stored, gone FROM spools WHERE device = ? AND boot = ?", (device, boot)
    ).fetchone()
    if row is not None:
        return Spool(row[0], read_ranges(row[1]), read_ranges(row[2]))
    cursor = connection.execute(
        "INSERT INTO spools (device, boot, stored, gone) VALUES (?, ?, '[]', '[]')", (device, boot)
    )
    assert cursor.lastrowid is not None
    return Spool(cursor.lastrowid, Ranges(), Ranges())


def _text(ranges: Ranges) -> str:
    return _encode(list(ranges)).decode()
