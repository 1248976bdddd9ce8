"""A small city on its own disks: one centre, some devices, and the faults that a plan brings upon them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.exactly_once.clock import step
from tests.bench.exactly_once.disk import SmallDisk
from tests.bench.exactly_once.plan import CENTRE, PROBE, Away, Event, Fill, Kill, Step
from tests.bench.exactly_once.programs import Program
from tests.bench.exactly_once.truth import OWN_WORDS, Ledger

HUB = "hub"
AIM_S = 0.6
"""A victim that does not do in this time what it is to be killed at is killed at whatever it does."""


@dataclass
class City:
    """The programs under test and what has been done to them."""

    folder: Path
    programs: dict[str, Program] = field(default_factory=dict)
    disks: dict[str, SmallDisk] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    """The device id of each device program."""
    full_until: dict[str, float] = field(default_factory=dict)
    full_s: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    hit: Counter[str] = field(default_factory=Counter)
    """How many kills met their victim at what they were aimed at."""
    away_until: float = 0.0
    resting: set[str] = field(default_factory=set)
    """Programs that were told to stop, and are not to be started again."""

    def devices(self) -> list[str]:
        """The devices that are fed, not the one that measures."""
        return [name for name in self.ids if name != PROBE]

    def home(self, name: str) -> Path:
        return self.folder / name

    def database(self) -> Path:
        return self.home(CENTRE) / "disk" / "diemcau.db"

    def spool(self, name: str) -> Path:
        return self.home(name) / "disk" / "spool.db"

    def start(self, limit_s: float) -> None:
        """Start everything and wait until each device has its spool: a disk that is full before a spool was ever made
        on it leaves memory only, and that is no promise."""
        for program in self.programs.values():
            program.start()
        until = time.monotonic() + limit_s
        while not all(self.spool(name).exists() and _is_made(self.spool(name)) for name in self.ids):
            if time.monotonic() > until:
                raise TimeoutError(f"Not every device has made its spool within {limit_s:g} s.")
            self.tend(time.monotonic())
            time.sleep(0.1)

    # --- what is done to it ---------------------------------------------------------------------------------------

    def suffer(self, events: list[Event]) -> None:
        """Let the plan's events happen at their times; a program that ended is started again meanwhile."""
        start = time.monotonic()
        for event in events:
            while (now := time.monotonic()) < start + event.at_s:
                self.tend(now)
                time.sleep(min(0.02, max(0.0, start + event.at_s - now)))
            match event:
                case Kill():
                    self._kill(event)
                case Fill():
                    self.full_until[event.who] = time.monotonic() + event.seconds
                    self.full_s[event.who] = self.full_s.get(event.who, 0.0) + event.seconds
                case Step():
                    step(self.home(event.who) / "clock", event.offset_s)
                    self.steps[event.who] = self.steps.get(event.who, 0) + 1
                case Away():
                    self.away_until = time.monotonic() + event.seconds
                    self.programs[CENTRE].kill()

    def tend(self, now: float) -> None:
        """Full disks stay full until their time is over; what ended begins again."""
        for who, until in list(self.full_until.items()):
            if now < until:
                self.disks[who].fill()
            else:
                self.disks[who].empty()
                del self.full_until[who]
        for name, program in self.programs.items():
            if name not in self.resting and (name != CENTRE or now >= self.away_until):
                if program.down:
                    program.start()
                program.keep("while its disk was full" if name in self.full_until else "with room on its disk")

    def _kill(self, kill: Kill) -> None:
        program = self.programs[kill.who]
        if program.down:  # the centre is away: a device is hit in its place
            program = self.programs[self.devices()[program.kills % len(self.devices())]]
        if kill.aim == "start":
            met = "start" if time.monotonic() < program.started_at + kill.delay_s else "anything"
            time.sleep(max(0.0, program.started_at + kill.delay_s - time.monotonic()))
        else:
            seen = self._signs_of(kill.aim, program.name)
            before, until = seen(), time.monotonic() + AIM_S
            while kill.aim != "anything" and seen() == before and time.monotonic() < until:
                time.sleep(0.0002)
            met = kill.aim if seen() != before else "anything"
            time.sleep(kill.delay_s)
        program.kill()
        self.hit[met] += 1
        if program.name == PROBE:
            self._note_what_waits()
        if program.name != CENTRE or time.monotonic() >= self.away_until:
            program.start()

    def _note_what_waits(self) -> None:
        """The ledger of a program that keeps none: what its spool held when it was killed. Looked at in a copy, so
        that the next start finds what the kill has left."""
        with TemporaryDirectory() as folder:
            for file in self.spool(PROBE).parent.glob("spool.db*"):
                if file.name in ("spool.db", "spool.db-wal"):
                    shutil.copy(file, folder)
            connection = sqlite3.connect(Path(folder) / "spool.db")
            try:
                waiting = connection.execute("SELECT boot, seq FROM report").fetchall()
            except sqlite3.OperationalError:  # killed before it had made its tables
                waiting = []
            finally:
                connection.close()
        Ledger(self.home(PROBE) / "ledger").write("S", ((boot, seq, OWN_WORDS) for boot, seq in waiting))

    def _signs_of(self, aim: str, who: str) -> Callable[[], object]:
        """What changes at the moment the victim does what it is to be killed at."""
        match aim:
            case "committing":
                return lambda: _written(self.database().with_name("diemcau.db-wal"))
            case "adding":
                return lambda: _written(self.spool(who).with_name("spool.db-wal"))
            case "forgetting":
                return lambda: _last_ledger_letter(self.home(who) / "ledger")
        return lambda: None

    # --- its end --------------------------------------------------------------------------------------------------

    def drain(self, limit_s: float) -> list[str]:
        """Nothing new is made; wait until every spool is empty. Returns the devices whose spools are not.

        The probe is told to stop, and what it leaves in its spool is sent by `diemcau-probe spool flush`.
        """
        for name in self.devices():
            (self.home(name) / "enough").touch()
        self.resting.add(PROBE)
        self.programs[PROBE].stop()
        until = time.monotonic() + limit_s
        while (left := [name for name in self.devices() if _waits(self.spool(name))]) and time.monotonic() < until:
            self.tend(time.monotonic())
            time.sleep(0.25)
        while _waits(self.spool(PROBE)) and time.monotonic() < until:
            flush = probe_command("spool", "flush", "--config", str(self.home(PROBE) / "site.toml"))
            subprocess.run(flush, check=False, timeout=limit_s)
        return [*left, *([PROBE] if _waits(self.spool(PROBE)) else [])]

    def stop(self) -> dict[str, int]:
        """SIGTERM to all, the centre last; their exit codes.

        -15 is right too: the server ends cleanly and then by the signal, and in its start a program knows no better.
        """
        for name in [*self.ids, HUB, CENTRE]:
            self.programs[name].stop()
        return {name: program.exit_code for name, program in self.programs.items()}


def probe_command(*words: str) -> list[str]:
    """`diemcau-probe` of this Python."""
    return [sys.executable, "-X", "faulthandler", "-c", "from probes.cli import main; main()", *words]


def _written(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _last_ledger_letter(file: Path) -> tuple[int, bytes]:
    """Changes when an acknowledgement has just been written and its reports are about to be forgotten."""
    with file.open("rb") as ledger:
        end = ledger.seek(0, os.SEEK_END)
        ledger.seek(max(0, end - 4096))
        tail = ledger.read()
    at = tail.rfind(b"\nA ")
    return (end - len(tail) + at, b"A") if at >= 0 else (0, b"")


def _is_made(spool: Path) -> bool:
    """Whether this spool has an identity, and with it blocks of its own."""
    try:
        connection = sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute("SELECT boot FROM identity").fetchone() is not None
        finally:
            connection.close()
    except sqlite3.OperationalError:  # its tables are being made
        return False


def _waits(spool: Path) -> bool:
    try:
        connection = sqlite3.connect(f"file:{spool}?mode=ro", uri=True, timeout=5)
    except sqlite3.OperationalError:
        return True
    try:
        query = "SELECT EXISTS (SELECT 1 FROM report) OR EXISTS (SELECT 1 FROM gone)"
        return bool(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
