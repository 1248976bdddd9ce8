"""What the agent costs a small box: `python -m tests.bench.light [--minutes 10]`.

The real agent at a site in a network namespace of its own, a router as its gateway, two real hubs and a small centre
beyond it; once with plain packets and once authenticated. CPU time as the kernel counts it for the process, from its
start on; memory as the kernel states it at the end; bytes counted at the site's port by IP's own length field, with
the headers of IP and UDP. The device has done its daily path run (some 2 MB to each hub) before, as it has for all but
one minute of its day.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from probes.clock import SystemClock, wall_ms
from probes.errands import daily_path_id
from probes.schedule import site_day
from probes.spool import SPOOL_FILE, Spool
from tests.world.namespaces import Namespace, chain, why_not

ROOT = Path(__file__).parents[3]
HUBS = {"hp": 8620, "hd": 8621}
CENTRE_PORT = 8080
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
SSID = 77
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

LIMITS = {
    "cpu_percent": 1.0,
    "rss_mb": 60.0,
    "first_link_report_s": 15.0,
    "kbps_plain": 16.0,
    "kbps_sealed": 24.0,
}


@dataclass
class Came:
    """What reached the centre: (monotonic ns, probe, target, failure) of each report."""

    reports: list[dict[str, Any]] = field(default_factory=list)

    def first_s(self, probe: str, since_ns: int) -> float:
        return next((each["now_ns"] - since_ns) / 1e9 for each in self.reports if each["probe"] == probe)


@contextmanager
def process(space: Namespace, *words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program of ours inside a namespace, ended with the block."""
    started = space.start(sys.executable, "-m", *words, cwd=ROOT, **options)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def site_toml(folder: Path, hub_ip: str, sealed: bool) -> Path:
    path = folder / "site.toml"
    secret = f'ssid = {SSID}\nstamp_key = "{KEY}"\n' if sealed else ""
    path.write_text(
        f'site = "31-11329"\n[centre]\nurl = "http://{hub_ip}:{CENTRE_PORT}"\ndevice = "d-1"\ntoken = "secret-token"\n'
        + '[spool]\ndir = "site-spool"\n'
        + "".join(f'[[hubs]]\nid = "{id}"\nhost = "{hub_ip}"\nstamp_port = {HUBS[id]}\n{secret}' for id in HUBS)
    )
    path.chmod(0o600)
    return path


def hub_toml(folder: Path, id: str, hub_ip: str) -> Path:
    path = folder / f"{id}.toml"
    path.write_text(
        f'site = "{id}"\nlisten = "{hub_ip}:{HUBS[id]}"\nmetrics_listen = "127.0.0.1:{HUBS[id] + 1000}"\n'
        f'[centre]\nurl = "http://{hub_ip}:{CENTRE_PORT}"\ndevice = "h-{id}"\ntoken = "secret-token"\n'
        f'[spool]\ndir = "{id}-spool"\n'
    )
    path.chmod(0o600)
    return path


def remember_path_run(folder: Path) -> None:
    """The spool of a device that has measured its paths today."""
    clock = SystemClock()
    spool = Spool(folder / "site-spool" / SPOOL_FILE, 1 << 29, clock)
    now_ms = wall_ms(clock)
    for day in (site_day(now_ms), site_day(now_ms) + 1):
        spool.remember_asked(daily_path_id(day), now_ms + 86_400_000)
    spool.close()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_mb(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(name + ":"))


def measure(minutes: float, sealed: bool, folder: Path) -> dict[str, float]:
    """One run of the agent; its figures."""
    with chain(1) as world, ExitStack() as stack:
        start = stack.enter_context
        sites = folder / "sites.json"
        sender = {"ssid": SSID, "stamp_key": KEY} if sealed else {"ssid": None, "stamp_key": None}
        sites.write_text(json.dumps([{"site": "31-11329", "sources": [f"{world.left_ip}/32"], **sender}]))
        came = Came()
        centre = start(
            process(world.right, "tests.bench.light.centre", str(CENTRE_PORT), str(sites), stdout=subprocess.PIPE)
        )
        Thread(target=_read, args=(centre, came), daemon=True).start()
        for id in HUBS:
            start(process(world.right, "probes.cli", "hub", "--config", str(hub_toml(folder, id, world.right_ip))))
        _wait_for_hubs(came)
        counter = start(
            process(
                world.left,
                "tests.bench.light.count",
                _port_of(world.left),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert counter.stdin
        assert counter.stdout
        counter.stdout.readline()
        remember_path_run(folder)
        since_ns = time.monotonic_ns()
        agent = start(
            process(world.left, "probes.cli", "run", "--config", str(site_toml(folder, world.right_ip, sealed)))
        )
        time.sleep(60)
        cpu_after_minute = cpu_s(agent.pid)
        time.sleep(max(0.0, minutes * 60 - 60))
        seconds = (time.monotonic_ns() - since_ns) / 1e9
        figures = {
            "seconds": seconds,
            "cpu_percent": 100 * cpu_s(agent.pid) / seconds,
            "cpu_s": cpu_s(agent.pid),
            "cpu_steady_percent": 100 * (cpu_s(agent.pid) - cpu_after_minute) / max(1e-9, seconds - 60),
            "rss_mb": memory_mb(agent.pid, "VmRSS"),
            "rss_peak_mb": memory_mb(agent.pid, "VmHWM"),
            "first_report_s": min(came.first_s(probe, since_ns) for probe in ("link", "lan")),
            "first_link_report_s": came.first_s("link", since_ns),
            "link_reports": sum(each["probe"] == "link" for each in came.reports),
            "link_failures": sum(each["probe"] == "link" and bool(each["failure"]) for each in came.reports),
        }
        counter.stdin.close()
        counted = json.loads(counter.stdout.readline())
    for key, octets in sorted(counted.items()):
        figures[f"kbps {key}"] = octets * 8 / 1000 / seconds
    return figures


def _port_of(space: Namespace) -> str:
    links = json.loads(space.ip("-j link show"))
    return str(next(link["ifname"] for link in links if link["ifname"] != "lo"))


def _read(centre: subprocess.Popen[str], came: Came) -> None:
    assert centre.stdout
    for line in centre.stdout:
        came.reports.append(json.loads(line))


def _wait_for_hubs(came: Came) -> None:
    """A hub that reports its health runs and has its list."""
    give_up = time.monotonic() + 60
    while sum(each["probe"] == "hub" for each in came.reports) < 2:
        if time.monotonic() > give_up:
            raise TimeoutError("The hubs did not report within 60 s.")
        time.sleep(0.2)


def judge(figures: dict[str, float], sealed: bool) -> list[str]:
    """Every limit broken, as a sentence."""
    found = [
        f"{name} is {figures[name]:.2f}, more than {LIMITS[name]:g}"
        for name in ("cpu_percent", "rss_mb", "first_link_report_s")
        if figures[name] > LIMITS[name]
    ]
    most = LIMITS["kbps_sealed" if sealed else "kbps_plain"]
    for port in HUBS.values():
        for way in ("out", "in"):
            rate = figures.get(f"kbps udp {port} {way}", 0.0)
            if not 0 < rate <= most:
                found.append(f"{rate:.2f} kbit/s {way} at port {port}; more than 0 and at most {most:g} are right")
    if figures["link_reports"] < figures["seconds"] / 10 or figures["link_failures"]:
        found.append(f"{figures['link_reports']} link reports, {figures['link_failures']} of them failed")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long each of the two runs takes (default 10)")
    minutes = max(1.1, parser.parse_args().minutes)
    if reason := why_not():
        print(f"Not measured: {reason}.")
        return 3
    broken = []
    for sealed in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(minutes, sealed, Path(folder))
        print(f"\n{'authenticated' if sealed else 'plain'}, two hubs, {minutes:g} min")
        for name, value in figures.items():
            print(f"  {name:<28}{value:10.2f}", flush=True)
        broken += judge(figures, sealed)
    print("\n" + ("\n".join(broken) if broken else "Within all limits."))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
