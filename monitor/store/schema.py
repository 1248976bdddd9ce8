"""The tables of the centre's database, as a list of steps that only grows; `PRAGMA user_version` counts those done.

The tables of the runs themselves follow the declarations and stand in `runs.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable


class SchemaError(RuntimeError):
    """The database was written by a newer program."""


def _first_form(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID")
    connection.executemany(
        "INSERT INTO counters VALUES (?, 0)", [("entry",), ("revision.sites",), ("revision.devices",), ("agenda",)]
    )
    connection.execute(
        """CREATE TABLE spools (
            id INTEGER PRIMARY KEY, device TEXT NOT NULL, boot TEXT NOT NULL,
            stored TEXT NOT NULL, gone TEXT NOT NULL, UNIQUE (device, boot))"""
    )
    connection.execute(
        """CREATE TABLE gone (
            spool INTEGER NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL,
            why TEXT NOT NULL, received_at INTEGER NOT NULL)"""
    )
    connection.execute(
        """CREATE TABLE unknown_metrics (
            device TEXT NOT NULL, name TEXT NOT NULL, first_at INTEGER NOT NULL,
            PRIMARY KEY (device, name)) WITHOUT ROWID"""
    )
    connection.execute("CREATE TABLE sites (id TEXT PRIMARY KEY, position INTEGER NOT NULL, row TEXT NOT NULL)")
    connection.execute(
        """CREATE TABLE devices (
            id TEXT PRIMARY KEY, site TEXT NOT NULL, role TEXT NOT NULL, token_hash TEXT NOT NULL UNIQUE,
            ssid INTEGER NOT NULL UNIQUE, hub_secret TEXT, created_at INTEGER NOT NULL, revoked_at INTEGER)"""
    )
    connection.execute(
        """CREATE TABLE codes (
            code_hash TEXT PRIMARY KEY, site TEXT NOT NULL, role TEXT NOT NULL,
            created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, used_at INTEGER, device TEXT)"""
    )
    connection.execute(
        """CREATE TABLE api_tokens (
            token_hash TEXT PRIMARY KEY, name TEXT NOT NULL, created_at INTEGER NOT NULL)"""
    )
    connection.execute(
        """CREATE TABLE agenda (
            id TEXT PRIMARY KEY, device TEXT NOT NULL, do TEXT NOT NULL, at INTEGER NOT NULL, until INTEGER NOT NULL,
            args TEXT NOT NULL, created_at INTEGER NOT NULL, done_at INTEGER)"""
    )
    connection.execute("CREATE INDEX agenda_by_device ON agenda (device, until)")
    connection.execute(
        """CREATE TABLE snapshots (
            name TEXT PRIMARY KEY, entry INTEGER NOT NULL, version TEXT NOT NULL, body BLOB NOT NULL)"""
    )
    _count_changes(connection, "sites", "revision.sites")
    for table in ("devices", "codes", "api_tokens", "agenda"):
        _count_changes(connection, table, "revision.devices")


def _count_changes(connection: sqlite3.Connection, table: str, counter: str) -> None:
    """A running centre sees by the counter that a command changed the table."""
    for verb in ("INSERT", "UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER {table}_{verb.lower()} AFTER {verb} ON {table} BEGIN "
            f"UPDATE counters SET value = value + 1 WHERE name = '{counter}'; END"
        )


def _meetings(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO counters VALUES ('meeting', 0)")
    connection.execute(
        """CREATE TABLE meetings (
            id TEXT PRIMARY KEY, title TEXT NOT NULL, starts_at INTEGER NOT NULL, ends_at INTEGER NOT NULL,
            sites TEXT, importance TEXT NOT NULL, revision INTEGER NOT NULL,
            created_at INTEGER NOT NULL, changed_at INTEGER NOT NULL, cancelled_at INTEGER)"""
    )
    connection.execute("CREATE INDEX meetings_by_time ON meetings (starts_at, id)")
    _count_changes(connection, "meetings", "revision.devices")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_first_form, _meetings]


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to this program's form; each step and its count are one transaction.

    Raises:
        SchemaError: a newer program wrote it.
    """
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            (done,) = connection.execute("PRAGMA user_version").fetchone()
            if done > len(MIGRATIONS):
                raise SchemaError(
                    f"The database is of form {done}; this program knows {len(MIGRATIONS)}. Run the newer program."
                )
            if done == len(MIGRATIONS):
                connection.execute("COMMIT")
                return
            MIGRATIONS[done](connection)
            connection.execute(f"PRAGMA user_version = {done + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
