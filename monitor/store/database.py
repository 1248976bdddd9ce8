"""Opening the database: the same settings for the centre, its readers and the commands beside it."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from monitor.store.runs import create_tables
from monitor.store.schema import migrate

FILE = "diemcau.db"
LOCK = "diemcau.lock"
BUSY_MS = 5_000


def path_in(data: Path) -> Path:
    return data / FILE


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """A connection that begins transactions only when told to.

    WAL with synchronous FULL: a commit returns when the log is on disk, so that what is acknowledged survives a power
    cut as far as the disk keeps its own promise.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
        return connection
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class InUse(RuntimeError):
    """Another centre writes to this folder."""


def lock(data: Path) -> TextIO:
    """Be the only writer of reports in this folder until the file is closed; a kill closes it too.

    Two centres on one folder would each believe their own ranges, and store a report twice.

    Raises:
        InUse: another centre is it.
    """
    data.mkdir(parents=True, exist_ok=True)
    file = (data / LOCK).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InUse(f"another centre is running with the data in {data}; stop it, or name another folder") from error
    return file


def prepare(data: Path) -> None:
    """Make the folder and the database, or bring them up to date. Only the owner may read it: it holds secrets."""
    data.mkdir(parents=True, exist_ok=True)
    path = path_in(data)
    if not path.exists():
        path.touch(mode=0o600)
    connection = connect(path)
    try:
        migrate(connection)
        connection.execute("BEGIN IMMEDIATE")
        create_tables(connection)
        connection.execute("COMMIT")
    finally:
        connection.close()


@contextmanager
def reading(data: Path) -> Iterator[sqlite3.Connection]:
    """One consistent look by a command; it never stands in the centre's way."""
    prepare(data)
    connection = connect(path_in(data), read_only=True)
    try:
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


@contextmanager
def transaction(data: Path) -> Iterator[sqlite3.Connection]:
    """One change by a command, while the centre may be running."""
    prepare(data)
    connection = connect(path_in(data))
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()
