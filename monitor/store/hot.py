"""The durable log of the centre: SQLite in WAL mode, one writer thread with group commit, readers beside it.

An answer waits for its commit; all that arrived while the last commit ran goes into the next one.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from monitor.store.database import connect, lock, path_in, prepare
from monitor.store.intake import Takings
from monitor.store.protocol import Intake, StoreUnavailable, Taken
from monitor.store.runs import Run

GROUP_REPORTS = 4_000
"""How many reports one commit takes at most: past that its gain is spent and the first in it waits for nothing."""
QUEUE_REPORTS = 20_000
QUEUE_JOBS = 1_000
READERS = 4

Result = TypeVar("Result")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """One thing to do in a transaction, and who waits for it."""

    do: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    weight: int
    alone: bool
    """What it raises undoes only itself (a savepoint); otherwise it undoes the group."""
    outcome: Any = None
    error: Exception | None = None


class HotStore:
    """The store over one SQLite file.

    Args:
        data: the centre's folder.
        on_stored: told of the new runs of each commit, on the event loop, in the order in which they became durable
            and before anybody is answered.
    """

    def __init__(self, data: Path, on_stored: Callable[[list[Run]], None]) -> None:
        self._lock = lock(data)
        prepare(data)
        self._path = path_in(data)
        self._on_stored = on_stored
        self._jobs: deque[_Job] = deque()
        self._waiting_reports = 0
        self._wake = threading.Condition()
        self._closing = False
        self._fault: str | None = None
        self._takings = Takings()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        for _ in range(READERS):
            self._readers.put(connect(self._path, read_only=True))
        self._reading = asyncio.Semaphore(READERS)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    async def take(self, intake: Intake) -> Taken:
        taken: Taken = await self._submit(
            lambda connection: self._takings.take(connection, intake), len(intake.reports) + len(intake.gone), False
        )
        return taken

    async def change(self, change: Callable[[sqlite3.Connection], Result]) -> Result:
        result: Result = await self._submit(change, 1, True)
        return result

    async def read(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        async with self._reading:
            connection = self._readers.get_nowait()
            try:
                return await asyncio.to_thread(query, connection)
            finally:
                self._readers.put(connection)

    def fault(self) -> str | None:
        return self._fault

    @property
    def waiting_reports(self) -> int:
        return self._waiting_reports

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self._lock.close()

    async def _submit(self, do: Callable[[sqlite3.Connection], Any], weight: int, alone: bool) -> Any:
        job = _Job(do, self._loop.create_future(), weight, alone)
        with self._wake:
            if self._closing:
                raise StoreUnavailable("The centre is stopping; send again when it is back.")
            if self._waiting_reports + weight > QUEUE_REPORTS or len(self._jobs) >= QUEUE_JOBS:
                raise StoreUnavailable(f"{self._waiting_reports} reports wait for the disk already; send later.", 5)
            self._jobs.append(job)
            self._waiting_reports += weight
            self._wake.notify()
        # The reports are stored even when their sender has left; nobody may cancel that.
        return await asyncio.shield(job.future)

    # --- the writer thread --------------------------------------------------------------------------------------

    def _write(self) -> None:
        connection: sqlite3.Connection | None = None
        while group := self._next_group():
            connection = self._try(connection, group)
            self._loop.call_soon_threadsafe(self._answer, group)
        if connection is not None:
            connection.close()

    def _try(self, connection: sqlite3.Connection | None, group: list[_Job]) -> sqlite3.Connection | None:
        """Commit the group; returns the connection while it is good for another."""
        try:
            connection = connection or connect(self._path)
            _commit(connection, group, self._takings)
            self._fault = None
            return connection
        except sqlite3.Error as error:
            self._give_up(group, error)
        except Exception as error:
            log.exception("A change that the writer cannot make.")
            self._give_up(group, error)
            if len(group) > 1:
                _close(connection)
                return self._try_apart(group)
        _close(connection)
        return None

    def _try_apart(self, group: list[_Job]) -> sqlite3.Connection | None:
        """Each by itself: one that cannot be stored must not stop its neighbours."""
        connection: sqlite3.Connection | None = None
        for job in group:
            connection = self._try(connection, [job])
        return connection

    def _next_group(self) -> list[_Job]:
        """What waits, up to a group's size; empty when the store is closing and nothing waits."""
        with self._wake:
            while not self._jobs and not self._closing:
                self._wake.wait()
            group: list[_Job] = []
            weight = 0
            while self._jobs and (not group or weight + self._jobs[0].weight <= GROUP_REPORTS):
                group.append(self._jobs.popleft())
                weight += group[-1].weight
            self._waiting_reports -= weight
            return group

    def _give_up(self, group: list[_Job], error: Exception) -> None:
        """Nobody in the group is acknowledged: the transaction is undone and its memory with it."""
        self._takings.forget()
        sentence = f"The centre cannot store at present ({error}); nothing of this was taken, send it again later."
        if self._fault is None:
            log.error("The store takes nothing: %s", error)
        self._fault = f"The store takes nothing: {error}."
        for job in group:
            job.outcome, job.error = None, StoreUnavailable(sentence)

    def _answer(self, group: list[_Job]) -> None:
        runs = [run for job in group if isinstance(job.outcome, Taken) for run in job.outcome.runs]
        try:
            if runs:
                self._on_stored(runs)
        except Exception:
            # What is durable is durable: no fault in what looks at it may keep its senders waiting for ever.
            log.exception("Reports are stored, but not all that follows from them was done.")
        for job in group:
            if job.future.done():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.outcome)


def _commit(connection: sqlite3.Connection, group: list[_Job], takings: Takings) -> None:
    """The whole group in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    for job in group:
        job.outcome, job.error = None, None
        if not job.alone:
            job.outcome = job.do(connection)
            continue
        connection.execute("SAVEPOINT job")
        try:
            job.outcome = job.do(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:
            job.error = error
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
    takings.flush(connection)
    connection.execute("COMMIT")


def _close(connection: sqlite3.Connection | None) -> None:
    """Close, if there is anything to close; what was not committed is undone by that."""
    if connection is not None:
        connection.close()
