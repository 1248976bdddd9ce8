"""One SQLite database of reports that wait: gives them their identity, makes room when there is none, tells what went.

`Spool` (spool.py) holds one shelf on disk, and one in memory while the disk cannot be written. A shelf knows nothing
of that: it raises what SQLite raises, and every method is one transaction, so that a kill leaves all or nothing of it.
"""

from __future__ import annotations

import errno
import secrets
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from probes.report import Gone, Report

MINUTE_MS = 60_000
PAGE_BYTES = 4096
BLOCK_BYTES = 512 * 1024
"""The database grows by this much at a time, while the disk has room. What it owns it can always write again."""
FREE_BYTES = 3 << 20
"""A disk with less is left alone: growing into its last blocks would only meet the next writer there."""
CHUNK = 64
"""Reports given up at a time: some 60 KB."""
FULL = frozenset((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR))

SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (
    one INTEGER PRIMARY KEY CHECK (one = 1), boot TEXT NOT NULL, next_seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS report (
    boot TEXT NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, raw INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE (boot, seq));
CREATE INDEX IF NOT EXISTS raw ON report (raw) WHERE raw = 1;
CREATE TABLE IF NOT EXISTS gone (
    boot TEXT NOT NULL, from_seq INTEGER NOT NULL, to_seq INTEGER NOT NULL, why TEXT NOT NULL,
    PRIMARY KEY (boot, from_seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS machine (boot_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS reserve (block BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS asked (id TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
"""

Identity = tuple[str, int]
"""(boot, seq): with the device's id, the name of a report for ever."""


class Held(NamedTuple):
    """How much waits, and since when."""

    reports: int
    oldest_at: int | None
    """Start of the oldest report that waits, ms since 1970 UTC."""
    gone: int
    bytes: int


def base_code(error: sqlite3.Error) -> int:
    """SQLite's primary result code, whatever the extended one says (https://sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


class Shelf:
    """The database behind a spool. `path` None keeps it in memory; `machine` is what changes when the machine starts.

    A page that only the log owns cannot be written back on a full disk, and then the log grows for ever. So the
    database never takes a page that its file does not own: it grows by whole blocks, each written through at once
    (`_grow`), and is full in between.

    Raises:
        sqlite3.DatabaseError: the file cannot be opened, read or written; no method hides it.
        OSError: a new file finds no room on the disk.
    """

    def __init__(self, path: Path | None, max_bytes: int, machine: str = "") -> None:
        self._path = path
        self._max_pages = max_bytes // PAGE_BYTES
        self._minute: dict[tuple[str | None, ...], int] = {}
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=5.0, check_same_thread=False)
        try:
            self._prepare(machine)
            self.boot = str(self._one("SELECT boot FROM identity"))
        except (sqlite3.DatabaseError, OSError):
            self._db.close()
            raise

    def _prepare(self, machine: str) -> None:
        run = self._db.execute
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")
        run("PRAGMA wal_autocheckpoint = 64")
        run("PRAGMA cache_size = -512")
        if self._one("SELECT count(*) FROM sqlite_master WHERE name = 'machine'") == 0:
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        with self._transaction():
            run("INSERT OR IGNORE INTO identity VALUES (1, ?, 1)", (secrets.token_hex(4),))
            self._distrust_the_past(machine)
        self._own(self._one("PRAGMA page_count"))
        if not self._grow() and self._one("PRAGMA page_count") < BLOCK_BYTES // PAGE_BYTES:
            raise OSError(errno.ENOSPC, f"No room for {BLOCK_BYTES} bytes of spool", str(self._path))

    def _distrust_the_past(self, machine: str) -> None:
        """After a start of the machine, count anew under a new boot.

        A disk that lied about a flush, or a machine set back to an old image, has forgotten numbers it gave; given
        again, the centre would know them already and drop what is new. No start of the machine, no such loss.
        """
        before = self._db.execute("SELECT boot_id FROM machine").fetchone()
        if before == (machine,):
            return
        self._db.execute("DELETE FROM machine")
        self._db.execute("INSERT INTO machine VALUES (?)", (machine,))
        if before is not None:
            self._db.execute("UPDATE identity SET boot = ?, next_seq = 1", (secrets.token_hex(4),))

    def _grow(self) -> bool:
        """Own one block more of the disk: written, freed for use, and written through from the log to the file."""
        pages, block = self._one("PRAGMA page_count"), BLOCK_BYTES // PAGE_BYTES
        if pages + block > self._max_pages or not self._disk_has_room():
            return False
        self._own(pages + block)
        with self._transaction():
            pages_of_blob = self._one("PRAGMA freelist_count") + block - 8
            self._db.execute("INSERT INTO reserve VALUES (zeroblob(?))", (pages_of_blob * (PAGE_BYTES - 4),))
        with self._transaction():
            self._db.execute("DELETE FROM reserve")
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._own(self._one("PRAGMA page_count"))  # not one page more than were written through
        return True

    def _own(self, pages: int) -> None:
        self._db.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    def _disk_has_room(self) -> bool:
        return self._path is None or shutil.disk_usage(self._path.parent).free >= FREE_BYTES

    def _one(self, query: str) -> int:
        """The single number (or name) that a query answers."""
        value: int = self._db.execute(query).fetchone()[0]
        return value

    def add(self, reports: Sequence[Report]) -> list[Report]:
        """Store with the next sequence numbers, in one commit; when full, the oldest make room."""
        while True:
            try:
                return self._insert(reports)
            except sqlite3.OperationalError as error:
                if base_code(error) not in FULL or not (self._grow() or self.make_room()):
                    raise

    def _insert(self, reports: Sequence[Report]) -> list[Report]:
        minutes = dict(self._minute)
        with self._transaction():
            first = self._one("SELECT next_seq FROM identity")
            named = [
                msgspec.structs.replace(report, boot=self.boot, seq=first + index)
                for index, report in enumerate(reports)
            ]
            self._put((report, _is_raw(report, minutes)) for report in named)
            self._db.execute("UPDATE identity SET next_seq = ?", (first + len(named),))
        self._minute = minutes
        return named

    def _put(self, reports: Iterable[tuple[Report, bool]]) -> None:
        self._db.executemany(
            "INSERT OR IGNORE INTO report VALUES (?, ?, ?, ?, ?)",
            ((report.boot, report.seq, report.at, raw, msgspec.json.encode(report)) for report, raw in reports),
        )

    def lose(self, number: int) -> None:
        """The next `number` sequences will never come."""
        with self._transaction():
            first = self._one("SELECT next_seq FROM identity")
            self._db.execute("UPDATE identity SET next_seq = ?", (first + number,))
            self._close(Gone(self.boot, first, first + number - 1, "disk_full"))

    def make_room(self) -> bool:
        """Give up the oldest raw reports, keeping the first of each minute; when none is left, the oldest of all.

        Returns False when the shelf is empty.
        """
        with self._transaction():
            why, rows = "thinned", self._oldest("WHERE raw = 1")
            if not rows:
                why, rows = "disk_full", self._oldest("")
            self._db.executemany("DELETE FROM report WHERE rowid = ?", ((row[0],) for row in rows))
            for gone in _ranges([(boot, seq) for _, boot, seq in rows], why):
                self._close(gone)
        return bool(rows)

    def _oldest(self, which: str) -> list[tuple[int, str, int]]:
        return self._db.execute(f"SELECT rowid, boot, seq FROM report {which} ORDER BY rowid LIMIT {CHUNK}").fetchall()

    def _close(self, gone: Gone) -> None:
        """Keep a range as gone, joined with its neighbours: nothing between two ranges means one range.

        Where minutes are dropped between thinned ranges the joined one says `disk_full`, the graver of the two.
        """
        boot, low, high, why = gone.boot, gone.from_seq, gone.to_seq, gone.why
        joins = (why, "thinned") if why == "disk_full" else (why,)
        run = self._db.execute
        before = run(
            "SELECT from_seq, to_seq, why FROM gone WHERE boot = ? AND from_seq < ? ORDER BY from_seq DESC LIMIT 1",
            (boot, low),
        ).fetchone()
        if before and before[1] == low - 1 and before[2] in joins:
            low = before[0]
        after = run("SELECT to_seq, why FROM gone WHERE boot = ? AND from_seq = ?", (boot, high + 1)).fetchone()
        if after and after[1] in joins:
            run("DELETE FROM gone WHERE boot = ? AND from_seq = ?", (boot, high + 1))
            high = after[0]
        run("INSERT OR REPLACE INTO gone VALUES (?, ?, ?, ?)", (boot, low, high, why))

    def newest(self, limit: int) -> list[Report]:
        """At most `limit` reports that wait, newest first."""
        rows = self._db.execute("SELECT body FROM report ORDER BY rowid DESC LIMIT ?", (limit,))
        return [msgspec.json.decode(body, type=Report) for (body,) in rows]

    def gone(self, limit: int) -> list[Gone]:
        """At most `limit` ranges that the centre has not yet been told of."""
        rows = self._db.execute("SELECT boot, from_seq, to_seq, why FROM gone LIMIT ?", (limit,))
        return [Gone(*row) for row in rows]

    def acknowledge(
        self, taken: Iterable[Identity], told: Iterable[Gone] = (), refused: Iterable[Identity] = ()
    ) -> None:
        """Forget what the centre has; what it refuses for ever becomes a range in `gone`.

        Where that is more than a full disk's log can take, it is done piece by piece: what a kill leaves undone the
        centre says again.
        """
        taken, told, refused = list(taken), list(told), list(refused)
        most = max(len(taken), len(told), len(refused))
        try:
            self._acknowledge(taken, told, refused)
        except sqlite3.OperationalError as error:
            if base_code(error) not in FULL or most <= CHUNK:
                raise
            for start in range(0, most, CHUNK):
                piece = slice(start, start + CHUNK)
                self._acknowledge(taken[piece], told[piece], refused[piece])

    def _acknowledge(self, taken: list[Identity], told: list[Gone], refused: list[Identity]) -> None:
        with self._transaction():
            for gone in told:
                self._db.execute(
                    "DELETE FROM gone WHERE boot = ? AND from_seq = ? AND to_seq = ? AND why = ?",
                    (gone.boot, gone.from_seq, gone.to_seq, gone.why),
                )
            self._db.executemany("DELETE FROM report WHERE boot = ? AND seq = ?", taken)
            for boot, seq in refused:
                if self._db.execute("DELETE FROM report WHERE boot = ? AND seq = ?", (boot, seq)).rowcount:
                    self._close(Gone(boot, seq, seq, "refused"))

    def adopt(self, other: Shelf) -> None:
        """Take over everything another shelf holds, under the identities it already gave."""
        while True:
            try:
                return self._adopt(other)
            except sqlite3.OperationalError as error:
                if base_code(error) not in FULL or not (self._grow() or self.make_room()):
                    raise

    def _adopt(self, other: Shelf) -> None:
        rows = other._db.execute("SELECT boot, seq, at, raw, body FROM report ORDER BY rowid")
        asked = other._db.execute("SELECT id, until FROM asked")
        with self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO report VALUES (?, ?, ?, ?, ?)", rows)
            self._db.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?)", asked)
            for gone in other.gone(-1):
                self._close(gone)

    def remember_asked(self, id: str, until: int, now: int) -> None:
        """This item of the agenda was taken up: never again, even after a restart. `until` and `now` in ms UTC."""
        with self._transaction():
            self._db.execute("DELETE FROM asked WHERE until < ?", (now,))
            self._db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?)", (id, until))

    def asked(self) -> set[str]:
        """The ids of the agenda already taken up."""
        return {id for (id,) in self._db.execute("SELECT id FROM asked")}

    def held(self) -> Held:
        return _held(self._db)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def look(path: Path) -> Held:
    """How much waits in a spool, without touching it; its device may be running.

    Raises:
        sqlite3.DatabaseError: it is not there, or no spool.
    """
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        return _held(db)


def _held(db: sqlite3.Connection) -> Held:
    def one(query: str) -> Any:
        row = db.execute(query).fetchone()
        return row[0] if row else None

    return Held(
        reports=one("SELECT count(*) FROM report"),
        oldest_at=one("SELECT at FROM report ORDER BY rowid LIMIT 1"),
        gone=one("SELECT count(*) FROM gone"),
        bytes=(one("PRAGMA page_count") - one("PRAGMA freelist_count")) * PAGE_BYTES,
    )


def _is_raw(report: Report, minutes: dict[tuple[str | None, ...], int]) -> bool:
    """Whether thinning may take it: it is not the first of its minute from its probe, site, target, line and room."""
    source = (report.probe, report.site, report.target, report.line, report.room)
    minute = report.at // MINUTE_MS
    if minutes.get(source) == minute:
        return True
    minutes[source] = minute
    return False


def _ranges(identities: list[Identity], why: str) -> list[Gone]:
    """The same identities as few closed ranges."""
    ranges: list[Gone] = []
    for boot, seq in sorted(identities):
        if ranges and ranges[-1].boot == boot and ranges[-1].to_seq == seq - 1:
            ranges[-1] = msgspec.structs.replace(ranges[-1], to_seq=seq)
        else:
            ranges.append(Gone(boot, seq, seq, why))
    return ranges
