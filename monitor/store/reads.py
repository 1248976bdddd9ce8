"""Questions to the hot store; each runs on a reader's connection."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator
from typing import Any

from monitor.store.runs import Run, Table, all_tables, select_runs, table_of, to_run

MAX_POINTS = 20_000


class TooMuch(ValueError):
    """The answer would be too long; the sentence says how to ask for less."""


def runs_after(connection: sqlite3.Connection, entry: int) -> Iterator[Run]:
    """Every run after an entry, of all probes, in the order in which they became durable."""
    return heapq.merge(*(_of_table(connection, table, entry) for table in all_tables()), key=lambda run: run.entry)


def _of_table(connection: sqlite3.Connection, table: Table, entry: int) -> Iterator[Run]:
    probe = table.name.removeprefix("runs_")
    for row in connection.execute(f"{table.select} WHERE entry > ? ORDER BY entry", (entry,)):
        yield to_run(row, probe, table)


def last_entry(connection: sqlite3.Connection) -> int:
    (entry,) = connection.execute("SELECT value FROM counters WHERE name = 'entry'").fetchone()
    return int(entry)


def revisions(connection: sqlite3.Connection) -> tuple[int, int]:
    """How often sites, and devices with all that hangs on them, have changed."""
    found = dict(connection.execute("SELECT name, value FROM counters WHERE name LIKE 'revision.%'").fetchall())
    return found["revision.sites"], found["revision.devices"]


def access_revision(connection: sqlite3.Connection) -> int:
    """How often people, sessions and API tokens have changed."""
    (found,) = connection.execute("SELECT value FROM counters WHERE name = 'revision.access'").fetchone()
    return int(found)


def unknown_metrics(connection: sqlite3.Connection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for device, name in connection.execute("SELECT device, name FROM unknown_metrics"):
        found.setdefault(device, set()).add(name)
    return found


def load_snapshot(connection: sqlite3.Connection, name: str, version: str) -> tuple[bytes, int] | None:
    """A kept state and the entry it was taken at, if this program can read it."""
    row = connection.execute(
        "SELECT body, entry FROM snapshots WHERE name = ? AND version = ?", (name, version)
    ).fetchone()
    return None if row is None else (row[0], row[1])


def keep_snapshot(connection: sqlite3.Connection, name: str, version: str, entry: int, body: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)", (name, entry, version, body))


def runs_of_site(
    connection: sqlite3.Connection, site: str, probe: str, from_ms: int, to_ms: int, before: int | None, limit: int
) -> list[Run]:
    """The raw runs of one probe at a site, newest entry first."""
    where, arguments = "site = ? AND at >= ? AND at < ?", [site, from_ms, to_ms]
    if before is not None:
        where, arguments = f"{where} AND entry < ?", [*arguments, before]
    return select_runs(connection, probe, where, arguments, "entry DESC", limit)


def series(
    connection: sqlite3.Connection,
    site: str,
    probe: str,
    name: str,
    target: str | None,
    line: str,
    from_ms: int,
    to_ms: int,
    step_ms: int | None,
) -> list[list[Any]]:
    """`[at, value]` of every run, or `[at, min, mean, max]` of each step that has one; where nothing was measured
    there is no point.

    Raises:
        TooMuch: more than `MAX_POINTS` points.
    """
    table = table_of(probe)
    known = name in table.known
    value = f"v_{name}" if known else "json_extract(more, '$.' || ?)"
    where = f"site = ? AND at >= ? AND at < ? AND coalesce(line, 'main') = ? AND {value} IS NOT NULL"
    arguments: list[Any] = [site, from_ms, to_ms, line, *([] if known else [name])]
    if target is not None:
        where, arguments = f"{where} AND target = ?", [*arguments, target]
    if table.name == "runs_other":
        where, arguments = f"{where} AND probe = ?", [*arguments, probe]
    columns: list[Any] = [] if known else [name]
    if step_ms is None:
        sql, first = f"SELECT at, {value} FROM {table.name} WHERE {where} ORDER BY at LIMIT ?", columns
    else:
        sql = (
            f"SELECT at - at % ?, min({value}), avg({value}), max({value}) FROM {table.name} "
            f"WHERE {where} GROUP BY 1 ORDER BY 1 LIMIT ?"
        )
        first = [step_ms, *columns * 3]
    points = [list(row) for row in connection.execute(sql, (*first, *arguments, MAX_POINTS + 1))]
    if len(points) > MAX_POINTS:
        raise TooMuch(f"There are more than {MAX_POINTS} points from {from_ms} to {to_ms}; ask with a larger step.")
    return points
