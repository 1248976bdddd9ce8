"""A small city on its own disks: one centre, some devices, and the faults that a plan brings upon them."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from monitor.devices import Role, add_device
from monitor.sites import import_sites, parse_sites
from monitor.store.database import transaction
from tests.bench.exactly_once.clock import step
from tests.bench.exactly_once.disk import SmallDisk
from tests.bench.exactly_once.plan import CENTRE, Away, Event, Fill, Kill, Step
from tests.bench.exactly_once.programs import Program

ROOT = Path(__file__).parents[3]
DEVICE_DISK_BYTES = 16 << 20
SPOOL_BYTES = 4 << 20
CENTRE_DISK_BYTES = 512 << 20
AIM_S = 0.6
"""A victim that does not do in this time what it is to be killed at is killed at whatever it does."""
PYTHON = (sys.executable, "-X", "faulthandler", "-m")


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
    away_until: float = 0.0

    def devices(self) -> list[str]:
        return list(self.ids)

    def home(self, name: str) -> Path:
        return self.folder / name

    def database(self) -> Path:
        return self.home(CENTRE) / "disk" / "diemcau.db"

    def spool(self, name: str) -> Path:
        return self.home(name) / "disk" / "spool.db"

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
            if name != CENTRE or now >= self.away_until:
                if program.down:
                    program.start()
                program.keep("while its disk was full" if name in self.full_until else "with room on its disk")

    def _kill(self, kill: Kill) -> None:
        program = self.programs[kill.who]
        if program.down:  # the centre is away: a device is hit in its place
            program = self.programs[self.devices()[program.kills % len(self.ids)]]
        if kill.aim == "start":
            time.sleep(max(0.0, program.started_at + kill.delay_s - time.monotonic()))
        else:
            seen = self._signs_of(kill.aim, program.name)
            before, until = seen(), time.monotonic() + AIM_S
            while kill.aim != "anything" and seen() == before and time.monotonic() < until:
                time.sleep(0.0002)
            time.sleep(kill.delay_s)
        program.kill()
        if program.name != CENTRE or time.monotonic() >= self.away_until:
            program.start()

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
        """Nothing new is made; wait until every spool is empty. Returns the devices whose spools are not."""
        for name in self.devices():
            (self.home(name) / "enough").touch()
        until = time.monotonic() + limit_s
        while (left := [name for name in self.devices() if _waits(self.spool(name))]) and time.monotonic() < until:
            self.tend(time.monotonic())
            time.sleep(0.25)
        return left

    def stop(self) -> dict[str, int]:
        """SIGTERM to all, the centre last; their exit codes."""
        order = [*self.devices(), *(name for name in self.programs if name not in self.ids)]
        return {name: self.programs[name].stop() for name in order}


def build(folder: Path, devices: int, reports_per_s: float) -> City:
    """A centre and its devices, each on a disk of its own; nothing runs yet."""
    city = City(folder)
    port = _free_port()
    _make_home(city, CENTRE, CENTRE_DISK_BYTES)
    _program(city, CENTRE, "tests.bench.exactly_once.centre", str(city.home(CENTRE)), str(port))
    sites = parse_sites((ROOT / "deploy" / "sites.csv").read_text(encoding="utf-8"))
    with transaction(city.home(CENTRE) / "disk") as connection:
        import_sites(connection, sites)
        homes = [site.id for site in sites if site.type != "bridge"]
        added = [add_device(connection, site, Role.PROBE, time.time_ns() // 1_000_000) for site in homes[:devices]]
    for number, (device, token) in enumerate(added):
        name = f"device{number + 1}"
        _make_home(city, name, DEVICE_DISK_BYTES)
        city.ids[name] = device.id
        home = city.home(name)
        (home / "site.toml").write_text(_site_toml(device.site, port, device.id, token))
        (home / "site.toml").chmod(0o600)
        (home / "ledger").touch()
        (home / "feed.json").write_text(json.dumps({"reports_per_s": reports_per_s, "each_its_own": number == 0}))
        _program(city, name, "tests.bench.exactly_once.device", str(home))
    return city


def _make_home(city: City, name: str, disk_bytes: int) -> None:
    home = city.home(name)
    home.mkdir(parents=True)
    city.disks[name] = SmallDisk(home / "disk", disk_bytes)
    step(home / "clock", 0)


def _program(city: City, name: str, *module: str) -> None:
    city.programs[name] = Program(name, (*PYTHON, *module), city.home(name) / "log")


def _site_toml(site: str, port: int, device: str, token: str) -> str:
    return f"""site = "{site}"
probes = ["feed"]
[centre]
url = "http://127.0.0.1:{port}"
device = "{device}"
token = "{token}"
[spool]
dir = "disk"
max_bytes = {SPOOL_BYTES}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
