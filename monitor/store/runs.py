"""One wide table a probe, a column a declared metric: a reading is a few bytes, and a new metric is a new column.

`entry` counts all runs of all probes in the order they became durable: it is the cursor for whoever reads on.
What no declaration names (a metric, a whole probe) is kept as JSON in `more`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from probes.catalog import METRICS, PROBES
from probes.report import Failure, Report

OTHER = "runs_other"
"""Where runs of probes that nobody declared are kept."""

HEAD = (
    "entry", "spool", "seq", "site", "at", "received_at", "skew_ms", "took_ms",
    "target", "line", "room", "failure_code", "failure_text", "labels", "more",
)  # fmt: skip

_encode = msgspec.json.Encoder().encode
_labels = msgspec.json.Decoder(dict[str, str])
_more = msgspec.json.Decoder(dict[str, float])


class Run(NamedTuple):
    """A stored report and what the centre knows of it."""

    entry: int
    device: str
    site: str
    received_at: int
    skew_ms: int | None
    """How far the device's clock was behind the centre's, when that was too much to be the line."""
    report: Report


class Table(NamedTuple):
    """The table of one probe: its name, its metrics in the order of the columns, and its statement."""

    name: str
    metrics: tuple[str, ...]
    known: frozenset[str]
    select: str


class Shape(NamedTuple):
    """How runs with the same metrics are written: only the columns they fill.

    Naming the empty columns too would cost four times the CPU: a probe declares many metrics and a run has some.
    """

    insert: str
    strange: frozenset[str]
    """The metrics that no declaration knows."""


def _table(name: str, metrics: tuple[str, ...]) -> Table:
    columns = (*HEAD, *(("probe",) if name == OTHER else ()), *(f"v_{metric}" for metric in metrics))
    return Table(
        name,
        metrics,
        frozenset(metrics),
        f"SELECT spools.device, spools.boot, {', '.join(columns)} FROM {name} JOIN spools ON spools.id = {name}.spool",
    )


def shape_of(probe: str, names: tuple[str, ...]) -> Shape:
    """The shape of a probe's runs that have these metrics, in this order."""
    table = table_of(probe)
    strange = frozenset(names) - table.known
    last = ("probe",) if table.name == OTHER else ()
    columns = (*HEAD, *last, *(f"v_{name}" for name in names if name not in strange))
    marks = ", ".join("?" * len(columns))
    return Shape(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({marks})", strange)


TABLES: dict[str, Table] = {
    probe: _table(f"runs_{probe}", tuple(metric.name for metric in METRICS.values() if metric.probe == probe))
    for probe in PROBES
}
OTHER_TABLE = _table(OTHER, ())


def table_of(probe: str) -> Table:
    return TABLES.get(probe, OTHER_TABLE)


def all_tables() -> list[Table]:
    return [*TABLES.values(), OTHER_TABLE]


def create_tables(connection: sqlite3.Connection) -> None:
    """Make every table and column that the declarations ask for and that is not there yet."""
    for table in all_tables():
        probe = ", probe TEXT NOT NULL" if table is OTHER_TABLE else ""
        connection.execute(
            f"""CREATE TABLE IF NOT EXISTS {table.name} (
                entry INTEGER PRIMARY KEY, spool INTEGER NOT NULL, seq INTEGER NOT NULL, site TEXT NOT NULL,
                at INTEGER NOT NULL, received_at INTEGER NOT NULL, skew_ms INTEGER, took_ms INTEGER NOT NULL,
                target TEXT, line TEXT, room TEXT, failure_code TEXT, failure_text TEXT,
                labels TEXT, more TEXT{probe})"""
        )
        connection.execute(f"CREATE INDEX IF NOT EXISTS {table.name}_by_site ON {table.name} (site, at)")
        there = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        for metric in table.metrics:
            if f"v_{metric}" not in there:
                connection.execute(f"ALTER TABLE {table.name} ADD COLUMN v_{metric} REAL")


def to_row(run: Run, spool: int, shape: Shape) -> tuple[Any, ...]:
    """The run as the columns of its shape."""
    report = run.report
    values: Mapping[str, float] = report.values
    failure = report.failure
    strange = shape.strange
    head = (
        run.entry, spool, report.seq, run.site, report.at, run.received_at, run.skew_ms, report.took_ms,
        report.target, report.line, report.room,
        failure.code if failure else None, failure.text if failure else None,
        _text(report.labels), _text({name: values[name] for name in values if name in strange}) if strange else None,
    )  # fmt: skip
    if report.probe not in TABLES:
        return (*head, report.probe)
    if strange:
        return (*head, *(value for name, value in values.items() if name not in strange))
    return (*head, *values.values())


def _text(pairs: Mapping[str, Any]) -> str | None:
    return _encode(pairs).decode() if pairs else None


def to_run(row: tuple[Any, ...], probe: str, table: Table) -> Run:
    """The run back out of a row of `table.select`."""
    device, boot, entry, _, seq, site, at, received_at, skew_ms, took_ms, target, line, room = row[:13]
    code, text, labels, more = row[13:17]
    rest = row[17:]
    if table is OTHER_TABLE:
        probe = rest[0]
        values: dict[str, float] = {}
    else:
        values = {name: value for name, value in zip(table.metrics, rest, strict=True) if value is not None}
    if more:
        values |= _more.decode(more)
    report = Report(
        probe, at, took_ms, boot, seq, target, line, room, None,
        None if code is None else Failure(code, text or ""),
        values,
        _labels.decode(labels) if labels else {},
    )  # fmt: skip
    return Run(entry, device, site, received_at, skew_ms, report)


def select_runs(
    connection: sqlite3.Connection,
    probe: str,
    where: str,
    arguments: Sequence[Any],
    order: str = "at",
    limit: int = -1,
) -> list[Run]:
    """The runs of one probe that meet `where`, in the `order` given; both are SQL of ours, never of a stranger."""
    tables = [TABLES[probe]] if probe in TABLES else []
    found: list[Run] = []
    for table in tables:
        sql = f"{table.select} WHERE {where} ORDER BY {order} LIMIT ?"
        found += [to_run(row, probe, table) for row in connection.execute(sql, (*arguments, limit))]
    sql = f"{OTHER_TABLE.select} WHERE ({where}) AND probe = ? ORDER BY {order} LIMIT ?"
    strange = [to_run(row, probe, OTHER_TABLE) for row in connection.execute(sql, (*arguments, probe, limit))]
    if strange:
        found += strange
        column, _, way = order.partition(" ")
        found.sort(key=lambda run: run.entry if column == "entry" else run.report.at, reverse=way == "DESC")
    return found[:limit] if limit >= 0 else found
