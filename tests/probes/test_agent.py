"""The agent as a whole: what fails is started again and told, and a clean end says so."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from probes.agent import RUNNERS, keep_running, serve
from probes.clock import SystemClock
from probes.config import CentreTarget, SiteConfig, SpoolConfig
from probes.notify import notify, watchdog_s
from probes.probe import Context, Runner
from probes.push import LAST_WORDS_S
from probes.report import Report
from probes.spool import LEAST_BYTES, SPOOL_FILE, Spool
from tests.probes.centres import SmallCentre, serving
from tests.probes.fakes import HandClock, running, until


def config_of(folder: Path, url: str, probes: list[str]) -> SiteConfig:
    return SiteConfig("a", CentreTarget(url, "d-1", "secret-token"), probes=probes, spool=SpoolConfig(str(folder)))


def waiting_in(folder: Path) -> list[Report]:
    spool = Spool(folder / SPOOL_FILE, LEAST_BYTES, HandClock())
    try:
        return spool.newest(1000)
    finally:
        spool.close()


async def ticking(ctx: Context) -> None:
    """A probe that reports each 20 ms."""
    while True:
        ctx.emit(Report("link", ctx.clock.wall_ns() // 1_000_000, values={"sent_packets": 1}))
        await ctx.clock.sleep(0.02)


async def failing(ctx: Context) -> None:
    raise OSError("no such socket")


async def test_what_is_measured_arrives_and_the_end_is_said_last(tmp_path: Path) -> None:
    stop = asyncio.Event()
    runners: Mapping[str, Runner] = {"link": ticking}
    async with serving(SmallCentre()) as centre:
        agent = asyncio.create_task(serve(config_of(tmp_path, centre.url, ["link"]), SystemClock(), stop, runners))
        await until(lambda: len(centre.stored) >= 5)
        stop.set()
        await agent
    by_seq = [centre.stored[key] for key in sorted(centre.stored, key=lambda key: key[1])]
    assert [report.seq for report in by_seq] == list(range(1, len(by_seq) + 1))
    last = by_seq[-1]
    assert (last.probe, last.values, last.failure and last.failure.code) == ("host", {"off": 1}, "switched_off")
    assert waiting_in(tmp_path) == []


async def test_without_a_centre_in_reach_the_end_is_kept_and_does_not_take_long(tmp_path: Path) -> None:
    stop = asyncio.Event()
    clock = SystemClock()
    with socket.socket() as mute:  # takes connections and never answers
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        config = config_of(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}", ["link"])
        agent = asyncio.create_task(serve(config, clock, stop, {"link": ticking}))
        await asyncio.sleep(0.3)
        stop.set()
        start = clock.monotonic_ns()
        await agent
    assert (clock.monotonic_ns() - start) / 1e9 < LAST_WORDS_S + 5
    newest = waiting_in(tmp_path)[0]
    assert newest.values == {"off": 1}


async def test_a_probe_that_fails_is_started_again_and_the_others_go_on(tmp_path: Path) -> None:
    stop = asyncio.Event()
    runners: Mapping[str, Runner] = {"link": ticking, "lan": failing}
    async with serving(SmallCentre()) as centre:
        config = config_of(tmp_path, centre.url, ["link", "lan"])
        agent = asyncio.create_task(serve(config, SystemClock(), stop, runners))

        def told() -> list[Report]:
            return [report for report in centre.stored.values() if report.labels.get("part") == "lan"]

        await until(lambda: len(told()) >= 2)
        stop.set()
        await agent
    failure = told()[0].failure
    assert failure is not None
    assert (failure.code, failure.text) == (
        "part_failed",
        "lan failed and is started again (OSError: no such socket).",
    )
    assert sum(report.probe == "link" for report in centre.stored.values()) >= 5


async def test_what_keeps_failing_is_started_ever_more_slowly() -> None:
    clock, started = HandClock(), list[int]()

    async def work() -> None:
        started.append(clock.monotonic_ns())
        raise ExceptionGroup("two", [ValueError("first"), ValueError("second")])

    told: list[Report] = []
    async with running(keep_running("lan", work, told.append, clock, Random(1))):
        await until(lambda: len(started) >= 14)
    waits_s = [(after - before) / 1e9 for before, after in pairwise(started)]
    assert waits_s[0] <= 1
    assert 150 <= waits_s[12] <= 300
    assert told[0].failure
    assert "ValueError: first" in told[0].failure.text


def test_every_probe_that_can_live_in_the_agent_is_known() -> None:
    assert set(RUNNERS) == {"link", "lan", "host"}


def write_config(folder: Path, url: str) -> Path:
    path = folder / "site.toml"
    path.write_text(
        f'site = "a"\nprobes = ["host"]\n[centre]\nurl = "{url}"\ndevice = "d-1"\ntoken = "secret-token"\n'
        '[spool]\ndir = "spool"\n'
    )
    path.chmod(0o600)
    return path


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    """The program as its service manager starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "probes.cli", "run", "--config", write_config(folder, url)],
        env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1500000"},
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_tells_its_manager_and_ends_cleanly(tmp_path: Path, signal_number: int) -> None:
    """The real program, from its start by a service manager to the signal: READY, signs of life, STOPPING, exit 0."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(tmp_path / "notify"))
    manager.setblocking(False)
    said: list[str] = []

    def listen() -> list[str]:
        try:
            while True:
                said.append(manager.recv(4096).decode())
        except BlockingIOError:
            return said

    async with serving(SmallCentre()) as centre:
        process = start(tmp_path, centre.url)
        try:
            await until(lambda: sum("WATCHDOG=1" in each for each in listen()) >= 2 and len(centre.stored) >= 1)
            process.send_signal(signal_number)
            await until(lambda: process.poll() is not None)
        finally:
            process.kill()
            errors = process.communicate()[1].decode()
    words = "\n".join(listen())
    manager.close()
    assert process.returncode == 0, errors
    assert said[0] == "READY=1"
    assert "STATUS=host; " in words
    assert said[-1] == "STOPPING=1"
    assert any(report.values.get("off") == 1 for report in centre.stored.values())
    assert errors == ""


def test_a_manager_that_does_not_listen_does_not_hold_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for _ in range(1000):  # far more than a socket's queue holds
            notify("WATCHDOG=1")
        assert deaf.recv(64) == b"WATCHDOG=1"


def test_the_managers_patience_is_for_the_process_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_s() == 30
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_s() is None
