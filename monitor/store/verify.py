"""Does the store hold what it says it holds? Rows against ranges, and which sequences are still open."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from monitor.store.intake import read_ranges
from monitor.store.ranges import Ranges
from monitor.store.runs import all_tables


class SpoolState(NamedTuple):
    """One boot of one device: what is there, what was given up, what is still to come."""

    device: str
    boot: str
    stored: int
    gone: int
    open: list[tuple[int, int]]
    """Ranges below the last sequence that neither came nor were given up: under way, or lost."""


class Verified(NamedTuple):
    spools: list[SpoolState]
    faults: list[str]

    @property
    def open_sequences(self) -> int:
        return sum(high - low + 1 for spool in self.spools for low, high in spool.open)


def verify(connection: sqlite3.Connection) -> Verified:
    """Hold rows and ranges against each other; `faults` are sentences, none when all is well."""
    faults = [
        f"The database file is damaged: {row[0]}."
        for row in connection.execute("PRAGMA quick_check(20)")
        if row[0] != "ok"
    ]
    rows = _sequences(connection)
    spools = []
    for spool, device, boot, stored_text, gone_text in connection.execute(
        "SELECT id, device, boot, stored, gone FROM spools ORDER BY device, boot"
    ):
        stored, gone = read_ranges(stored_text), read_ranges(gone_text)
        found, doubled = rows.pop(spool, (Ranges(), []))
        if found != stored:
            faults.append(f"Device {device}, boot {boot}: rows {list(found)} differ from ranges {list(stored)}.")
        if doubled:
            faults.append(f"Device {device}, boot {boot}: sequences {doubled[:5]} are there twice.")
        closed = Ranges([*stored, *gone])
        only_gone = closed.size - stored.size
        spools.append(SpoolState(device, boot, stored.size, only_gone, closed.holes(closed.last)))
    faults += [f"There are rows of spool {spool}, which is not known." for spool in rows]
    return Verified(spools, faults)


def _sequences(connection: sqlite3.Connection) -> dict[int, tuple[Ranges, list[int]]]:
    """By spool: the sequences that have a row, and those that have more than one."""
    union = " UNION ALL ".join(f"SELECT spool, seq FROM {table.name}" for table in all_tables())
    found: dict[int, tuple[Ranges, list[int]]] = {}
    for spool, seq in connection.execute(f"SELECT spool, seq FROM ({union}) ORDER BY spool, seq"):
        ranges, doubled = found.setdefault(spool, (Ranges(), []))
        if not ranges.add(seq):
            doubled.append(seq)
    return found
