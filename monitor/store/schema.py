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


def _count_changes(connection: sqlite3.Connection, table: str, counter: str, columns: str = "") -> None:
    """A running centre sees by the counter that a command changed the table; `columns`: `OF a, b` for those alone."""
    for verb in ("INSERT", "UPDATE", "DELETE"):
        of = columns if verb == "UPDATE" else ""
        connection.execute(
            f"CREATE TRIGGER {table}_{verb.lower()} AFTER {verb} {of} ON {table} BEGIN "
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


def _access(connection: sqlite3.Connection) -> None:
    """People, their sessions and tokens, and what was changed by whom."""
    connection.execute("INSERT INTO counters VALUES ('revision.access', 0)")
    connection.execute(
        """CREATE TABLE users (
            name TEXT PRIMARY KEY, shown TEXT NOT NULL, role TEXT NOT NULL, sites TEXT, password TEXT,
            password_at INTEGER, created_at INTEGER NOT NULL, disabled_at INTEGER) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE links (
            code_hash TEXT PRIMARY KEY, user TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
            used_at INTEGER) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE sessions (
            id TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, user TEXT NOT NULL, created_at INTEGER NOT NULL,
            seen_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, address TEXT NOT NULL, agent TEXT NOT NULL,
            ended_at INTEGER) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE tries (
            key TEXT PRIMARY KEY, fails INTEGER NOT NULL, last_at INTEGER NOT NULL) WITHOUT ROWID"""
    )
    for column in ("role TEXT NOT NULL DEFAULT 'viewer'", "sites TEXT", "expires_at INTEGER", "used_at INTEGER",
                   "made_by TEXT NOT NULL DEFAULT 'command'"):  # fmt: skip
        connection.execute(f"ALTER TABLE api_tokens ADD COLUMN {column}")
    for verb in ("insert", "update", "delete"):
        connection.execute(f"DROP TRIGGER api_tokens_{verb}")
    # Not when something was last used: that is no change, and happens all the time.
    _count_changes(connection, "users", "revision.access")
    _count_changes(connection, "sessions", "revision.access", "OF ended_at, expires_at")
    _count_changes(connection, "api_tokens", "revision.access", "OF role, sites, expires_at")
    connection.execute(
        """CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT NOT NULL, address TEXT NOT NULL,
            action TEXT NOT NULL, target TEXT NOT NULL, reason TEXT, before TEXT, after TEXT)"""
    )
    connection.execute("CREATE INDEX audit_by_target ON audit (target, id)")
    for verb in ("UPDATE", "DELETE"):
        connection.execute(
            f"CREATE TRIGGER audit_{verb.lower()} BEFORE {verb} ON audit BEGIN "
            "SELECT RAISE(ABORT, 'the audit log only grows'); END"
        )


def _rotation(connection: sqlite3.Connection) -> None:
    """The token a device had before its present one, while it is still good."""
    connection.execute("ALTER TABLE devices ADD COLUMN old_token_hash TEXT")
    connection.execute("ALTER TABLE devices ADD COLUMN old_until INTEGER")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_first_form, _meetings, _access, _rotation]


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
