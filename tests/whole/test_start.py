"""`deploy/start` as people run it, in a copy of the project, down to its last child."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.whole.look import open_page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TREE = ("deploy", "monitor", "probes", "pyproject.toml", "README.md")
SITE = "may-nay"
LAST_LINE = re.compile(r"diemcau: (http://\S+:\d+/)")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's files elsewhere, with the environment that runs these tests: nothing is fetched."""
    home = tmp_path / "dự án"
    home.mkdir()
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, home / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, home / name)
    (home / ".venv").symlink_to(Path(sys.prefix))
    return home


@contextmanager
def started(home: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A running `deploy/start` and all it has said up to its last line; stopped as Ctrl-C does it."""
    process = subprocess.Popen(
        [home / "deploy" / "start", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(home), "LANG": "C.UTF-8", "LC_ALL": ""},
        start_new_session=True,
    )
    assert process.stdout
    try:
        said: list[str] = []
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if LAST_LINE.fullmatch(said[-1]):
                break
        yield process, said
    finally:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
        assert process.stdout.read() == "", "the address is the last line"
        process.stdout.close()


def children_of(home: Path) -> list[str]:
    """Command lines of running processes that name the folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(home / "data") in words and "diemcau-" in words:
            found.append(words)
    return found


def test_one_command_shows_a_real_probe_on_the_wall_and_stops_without_a_trace(copy: Path, browser: Browser) -> None:
    with started(copy) as (_, said):
        address = LAST_LINE.fullmatch(said[-1])
        assert address, said
        assert not any("http" in line or "127.0.0.1" in line for line in said[:-1])
        url = address[1].rstrip("/")
        sites = httpx.get(f"{url}/api/v1/sites").json()["sites"]
        assert len(sites) == 2 + 114 + 1
        (here,) = [site for site in sites if site["fitted"] and site["type"] != "bridge"]
        assert (here["id"], here["marks"]["line"]["target"]) == (SITE, "hp")
        streams = httpx.get(f"{url}/api/v1/sites/{SITE}").json()["streams"]
        (link,) = [stream for stream in streams if stream["probe"] == "link"]
        figures = {figure["metric"]: figure["value"] for figure in link["figures"]}
        assert 0 < figures["link.rtt_p50_ms"] < 50
        assert figures["link.sent_packets"] > 0
        assert (copy / "data" / "probe" / "token").stat().st_mode & 0o077 == 0
        page = open_page(browser, url + "/", "wall", "vi", "dark")
        expect(page.locator(f'.tile[href="/site/{SITE}"]')).not_to_have_class("tile not_fitted")
        expect(page.locator(".notice")).to_contain_text("đường nội bộ (127.0.0.1)")
        expect(page.locator(".counts .rest")).to_contain_text("1 có thiết bị đo")
        page.context.close()
        assert len(children_of(copy)) >= 3
    assert children_of(copy) == []


def test_a_second_start_keeps_what_the_first_one_measured_and_finds_free_ports(copy: Path) -> None:
    with started(copy, "--data", str(copy / "data")) as (_, said):
        url = said[-1].removeprefix("diemcau: ")
        device = httpx.get(f"{url}api/v1/sites/{SITE}").json()["streams"][0]["device"]
        entry = httpx.get(f"{url}api/v1/sites/{SITE}/reports?probe=link").json()["reports"][-1]["entry"]
    taken = int(url.rstrip("/").rpartition(":")[2])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", taken))
        squatter.listen()
        with started(copy) as (_, said):
            again = said[-1].removeprefix("diemcau: ")
            assert again != url
            answer = httpx.get(f"{again}api/v1/sites/{SITE}").json()
            assert {stream["device"] for stream in answer["streams"] if stream["probe"] == "link"} == {device}
            reports = httpx.get(f"{again}api/v1/sites/{SITE}/reports?probe=link").json()["reports"]
            assert reports[-1]["entry"] == entry
            assert reports[0]["entry"] > entry


def test_two_starts_on_one_data_folder_do_not_meet(copy: Path) -> None:
    with started(copy):
        second = subprocess.run([copy / "deploy" / "start"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "running already" in second.stderr or "đang chạy rồi" in second.stderr


def test_a_machine_without_the_python_it_needs_is_told_what_to_install(copy: Path, tmp_path: Path) -> None:
    (copy / ".venv").unlink()
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "sed", "dirname", "readlink", "mkdir", "sha256sum", "cut", "cat", "flock", "env"):
        (tools / name).symlink_to(str(shutil.which(name)))
    bare = subprocess.run([copy / "deploy" / "start"], capture_output=True, text=True, env={"PATH": str(tools)})
    assert bare.returncode == 2
    assert "apt-get install python3 python3-venv" in bare.stderr
    (tools / "python3").write_text(f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    (tools / "python3").chmod(0o755)
    without_venv = subprocess.run([copy / "deploy" / "start"], capture_output=True, text=True, env={"PATH": str(tools)})
    assert without_venv.returncode == 2
    assert f"apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in without_venv.stderr
