"""Reports on disk until the centre has acknowledged them.

What `add` has returned survives a kill, a power cut and a full disk; what had to be given up is told in `gone`, which
is kept as safely as the reports themselves. Room is made in this order: raw reports are thinned to the first of each
minute, oldest first; only when none is left the oldest of all are dropped.

While the disk takes nothing at all (broken, read-only, filled by others beyond the ballast) reports wait in memory,
bounded, under a boot of their own: no identity can ever be given twice. They move to disk when it is back.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from probes.clock import Clock, wall_ms
from probes.report import Gone, Report
from probes.shelf import BLOCK_BYTES, CHUNK, Held, Identity, Shelf, base_code

BALLAST_BYTES = 1 << 20
"""Given back to a full disk, so that making room has room to work in."""
MEMORY_BYTES = 4 << 20
"""What may wait in memory while the disk takes nothing: some 3,000 reports."""
LOOK_AT_DISK_NS = 30_000_000_000
LEAST_BYTES = 4 << 20
SPOOL_FILE = "spool.db"
"""Of every device, in the folder that its configuration names."""

_BROKEN = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_Result = TypeVar("_Result")
log = logging.getLogger(__name__)


class Spool:
    """The reports of one device. Safe to call from several threads; several processes may share the file.

    Args:
        path: the database; its folder is made when missing.
        max_bytes: the most that database, log and ballast take on disk.
        clock: tells when to look at a broken disk again.
        machine: names this run of the machine; None asks the kernel. Another one means a new boot.
    """

    def __init__(self, path: Path, max_bytes: int, clock: Clock, machine: str | None = None) -> None:
        self._path = path
        self._shelf_bytes = max(max_bytes, LEAST_BYTES) - BALLAST_BYTES - 2 * BLOCK_BYTES
        self._clock = clock
        self._machine = read_boot_id() if machine is None else machine
        self._lock = threading.Lock()
        self._ballast = path.with_name(path.name + "-ballast")
        self._in_memory = False
        self._look_at_ns = clock.monotonic_ns() + LOOK_AT_DISK_NS
        self._shelf = self._open()

    @property
    def boot(self) -> str:
        """What a report added now is identified by, beside its sequence number."""
        return self._shelf.boot

    @property
    def in_memory(self) -> bool:
        """Whether the disk takes nothing at present."""
        return self._in_memory

    def add(self, report: Report) -> Report:
        """Store one report; returns it with its boot and seq once it is safe."""
        return self.add_all([report])[0]

    def add_all(self, reports: Sequence[Report]) -> list[Report]:
        """Store reports, a group of `CHUNK` in one commit: a larger one may be more than a full disk's log can take."""
        groups = (reports[start : start + CHUNK] for start in range(0, len(reports), CHUNK))
        return [report for group in groups for report in self._do(partial(Shelf.add, reports=group))]

    def lose(self, number: int) -> None:
        """So many reports were lost before they could be stored: give them numbers, and tell these as gone."""
        self._do(lambda shelf: shelf.lose(number))

    def newest(self, limit: int) -> list[Report]:
        """At most `limit` reports that wait, newest first."""
        return self._do(lambda shelf: shelf.newest(limit))

    def gone(self, limit: int) -> list[Gone]:
        """At most `limit` ranges that will never come and that the centre has not been told of."""
        return self._do(lambda shelf: shelf.gone(limit))

    def acknowledge(
        self, taken: Iterable[Identity], told: Iterable[Gone] = (), refused: Iterable[Identity] = ()
    ) -> None:
        """The centre has `taken` and knows what is gone; `refused` will never be taken and becomes `gone`."""
        kept = (list(taken), list(told), list(refused))
        if any(kept):
            self._do(lambda shelf: shelf.acknowledge(*kept))

    def remember_asked(self, id: str, until: int) -> None:
        """This item of the agenda was taken up; remembered until `until` (ms UTC)."""
        now = wall_ms(self._clock)
        self._do(lambda shelf: shelf.remember_asked(id, until, now))

    def asked(self) -> set[str]:
        """The ids of the agenda already taken up."""
        return self._do(lambda shelf: shelf.asked())

    def held(self) -> Held:
        """How much waits."""
        return self._do(lambda shelf: shelf.held())

    def close(self) -> None:
        with self._lock:
            self._shelf.close()

    def _do(self, work: Callable[[Shelf], _Result]) -> _Result:
        with self._lock:
            if self._clock.monotonic_ns() >= self._look_at_ns:
                self._look_at_disk()
            try:
                return work(self._shelf)
            except sqlite3.DatabaseError as error:
                self._mend(error)
            try:
                return work(self._shelf)
            except sqlite3.DatabaseError as error:
                self._go_to_memory(error)
            return work(self._shelf)

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """After a failed write: a broken file is set aside, a full disk gets the ballast, any other is left alone."""
        if self._in_memory:
            raise error
        if base_code(error) in _BROKEN:
            self._shelf.close()
            self._set_aside(error)
            self._shelf = self._open()
        elif not self._release_ballast():
            self._go_to_memory(error)

    def _open(self) -> Shelf:
        """The shelf on disk, or one in memory when that cannot be had."""
        try:
            return self._open_disk()
        except (sqlite3.DatabaseError, OSError) as error:
            failure = error
        if isinstance(failure, sqlite3.Error) and base_code(failure) in _BROKEN:
            self._set_aside(failure)
        else:
            self._release_ballast()
        try:
            return self._open_disk()
        except (sqlite3.DatabaseError, OSError) as error:
            return self._memory_shelf(error)

    def _open_disk(self) -> Shelf:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        shelf = Shelf(self._path, self._shelf_bytes, self._machine)
        self._keep_ballast()
        return shelf

    def _memory_shelf(self, error: Exception) -> Shelf:
        log.error(
            "The spool %s cannot be used (%s). Reports wait in memory, at most %d MiB, until the disk is back.",
            self._path,
            error,
            MEMORY_BYTES >> 20,
        )
        self._in_memory = True
        return Shelf(None, MEMORY_BYTES)

    def _go_to_memory(self, error: Exception) -> None:
        self._shelf.close()
        self._shelf = self._memory_shelf(error)

    def _look_at_disk(self) -> None:
        self._look_at_ns = self._clock.monotonic_ns() + LOOK_AT_DISK_NS
        if self._in_memory:
            self._return_to_disk()
        else:
            self._keep_ballast()

    def _return_to_disk(self) -> None:
        try:
            disk = Shelf(self._path, self._shelf_bytes, self._machine)
        except (sqlite3.DatabaseError, OSError):
            return
        try:
            disk.adopt(self._shelf)
        except (sqlite3.DatabaseError, OSError):
            disk.close()
            return
        self._shelf.close()
        self._shelf, self._in_memory = disk, False
        log.warning("The spool %s is back on disk; what waited in memory has moved there.", self._path)
        self._keep_ballast()

    def _keep_ballast(self) -> None:
        """Own some blocks of the disk, unless they are owned already or the disk is short of them."""
        try:
            if self._ballast.exists() or shutil.disk_usage(self._path.parent).free < 4 * BALLAST_BYTES:
                return
            with self._ballast.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
        except OSError as error:
            log.warning("No ballast beside the spool %s: %s.", self._path, error)

    def _release_ballast(self) -> bool:
        try:
            self._ballast.unlink()
        except OSError:
            return False
        log.warning("The disk of the spool %s is full; its ballast was given up to go on.", self._path)
        return True

    def _set_aside(self, error: Exception) -> None:
        """Move a file that is no database out of the way, over the last such one: two would eat the disk."""
        aside = self._path.with_name(self._path.name + ".broken")
        log.error(
            "The spool %s is broken (%s). It is kept as %s; reports in it that were not sent are lost to the centre. "
            "A new spool begins with a new boot.",
            self._path,
            error,
            aside,
        )
        self._path.replace(aside)
        for ending in ("-wal", "-shm"):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def read_boot_id() -> str:
    """The kernel's name for this run of the machine (random(4)); "" where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
