"""The city before anything runs: folders, small disks, the centre's sites and devices, configurations."""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

from monitor.devices import Device, Role, add_device
from monitor.sites import import_sites, parse_sites
from monitor.store.database import transaction
from tests.bench.exactly_once.city import HUB, City, probe_command
from tests.bench.exactly_once.clock import step
from tests.bench.exactly_once.disk import SmallDisk
from tests.bench.exactly_once.plan import CENTRE, PROBE
from tests.bench.exactly_once.programs import Program

ROOT = Path(__file__).parents[3]
DEVICE_DISK_BYTES = 16 << 20
SPOOL_BYTES = 4 << 20
CENTRE_DISK_BYTES = 512 << 20
PYTHON = (sys.executable, "-X", "faulthandler", "-m", "tests.bench.exactly_once")


def build(folder: Path, devices: int, reports_per_s: float) -> City:
    """A centre, a hub, a probe, and devices to be fed, each on a disk of its own; nothing runs yet."""
    city = City(folder)
    port = free_port(socket.SOCK_STREAM)
    make_home(city, CENTRE, CENTRE_DISK_BYTES)
    program(city, CENTRE, f"{PYTHON[-1]}.centre", str(city.home(CENTRE)), str(port))
    probe, *fed = _register(city, devices + 1)
    _make_probe(city, probe, port)
    for number, added in enumerate(fed):
        home = _make_device(city, f"device{number + 1}", added, port, 'probes = ["feed"]')
        (home / "feed.json").write_text(json.dumps({"reports_per_s": reports_per_s, "each_its_own": number == 0}))
        program(city, home.name, f"{PYTHON[-1]}.device", str(home))
    return city


def _register(city: City, count: int) -> list[tuple[Device, str]]:
    """The real sites, and a device with its token at each of the first of them."""
    sites = parse_sites((ROOT / "deploy" / "sites.csv").read_text(encoding="utf-8"))
    homes = [site.id for site in sites if site.type != "bridge"][:count]
    with transaction(city.home(CENTRE) / "disk") as connection:
        import_sites(connection, sites)
        return [add_device(connection, site, Role.PROBE, time.time_ns() // 1_000_000) for site in homes]


def _make_probe(city: City, added: tuple[Device, str], port: int) -> None:
    """The programs as people start them: a probe that measures the link to a hub, over loopback."""
    hub_port = free_port(socket.SOCK_DGRAM)
    city.home(HUB).mkdir()
    listen = f"127.0.0.1:{hub_port}"
    city.programs[HUB] = Program(HUB, probe_command("hub", "--listen", listen), city.home(HUB) / "log")
    hubs = f'[{{id = "hp", host = "127.0.0.1", stamp_port = {hub_port}}}]'
    home = _make_device(city, PROBE, added, port, f'probes = ["link", "host"]\nhubs = {hubs}')
    command = probe_command("run", "--config", str(home / "site.toml"))
    city.programs[PROBE] = Program(PROBE, command, home / "log")


def _make_device(city: City, name: str, added: tuple[Device, str], port: int, more: str) -> Path:
    device, token = added
    make_home(city, name, DEVICE_DISK_BYTES)
    city.ids[name] = device.id
    home = city.home(name)
    (home / "ledger").touch()
    (home / "site.toml").touch(mode=0o600)
    (home / "site.toml").write_text(
        f"""site = "{device.site}"
{more}
[centre]
url = "http://127.0.0.1:{port}"
device = "{device.id}"
token = "{token}"
[spool]
dir = "disk"
max_bytes = {SPOOL_BYTES}
"""
    )
    return home


def make_home(city: City, name: str, disk_bytes: int) -> None:
    home = city.home(name)
    home.mkdir(parents=True)
    city.disks[name] = SmallDisk(home / "disk", disk_bytes)
    step(home / "clock", 0)


def program(city: City, name: str, *module: str) -> None:
    city.programs[name] = Program(name, (*PYTHON[:-1], *module), city.home(name) / "log")


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
