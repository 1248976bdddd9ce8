"""The commands, each as a program of its own, beside a centre that runs."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from monitor.derive.files import stale
from monitor.store.database import connect, path_in
from probes.report import Batch, encode
from tests.monitor.house import GOOD_LINK, SITES, reports_from

MONITOR = [sys.executable, "-c", "from monitor.cli import main; main()"]


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run one command; its standard output, or its standard error when it should fail."""
    done = subprocess.run([*MONITOR, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code in (0, 1) else done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(data: Path, *more: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A centre on a port of its own, until the block ends."""
    port = free_port()
    with (data / "log").open("ab") as log:
        command = [*MONITOR, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", *more]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 30
        while not is_ready(url):
            assert process.poll() is None, (data / "log").read_text()
            assert time.monotonic() < until, (data / "log").read_text()
            time.sleep(0.05)
        yield url, process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def city(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (tmp_path / "sites.csv").write_text(SITES, encoding="utf-8")
    assert run("sites", "import", tmp_path / "sites.csv", "--data", data) == "5 sites imported.\n"
    return data


def test_devices_made_and_revoked_by_commands_are_noticed_by_the_running_centre(tmp_path: Path) -> None:
    data = city(tmp_path)
    with serving(data) as (url, process):
        added = json.loads(run("devices", "add", "31-1", "--json", "--data", data))
        assert set(added) == {"device", "token", "site"}
        body = encode(Batch(1, added["device"], 1, [reports_from()(**GOOD_LINK)]))
        headers = {"Authorization": f"Bearer {added['token']}"}
        assert httpx.post(f"{url}/api/v1/reports", content=body, headers=headers).json()["stored"] == 1
        code = run("devices", "enrol", "31-2", "--data", data).strip()
        assert httpx.post(f"{url}/api/v1/enrol", json={"code": code}).json()["site"] == "31-2"
        token = run("users", "token", "grafana", "--data", data).strip()
        listed = httpx.get(f"{url}/api/v1/devices", headers={"Authorization": f"Bearer {token}"}).json()
        assert {device["site"] for device in listed["devices"]} == {"31-1", "31-2"}
        httpx.get(f"{url}/api/v1/agenda", headers=headers)
        run("devices", "ask", added["device"], "burst", "--args", '{"hub": "hd"}', "--data", data)
        agenda = httpx.get(f"{url}/api/v1/agenda?wait=20", headers=headers, timeout=30).json()
        assert [(item["do"], item["args"]) for item in agenda[1:]] == [("burst", {"hub": "hd"})]
        run("devices", "revoke", added["device"], "--data", data)
        until = time.monotonic() + 10
        while httpx.post(f"{url}/api/v1/reports", content=body, headers=headers).status_code != 401:
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, -signal.SIGTERM)
    assert "1 reports stored" in run("verify", "--data", data)
    assert "revoked" in run("devices", "list", "--data", data)
    assert "Cẩm Giàng" in run("sites", "list", "--data", data)


def test_a_second_centre_on_the_same_folder_or_port_does_not_start(tmp_path: Path) -> None:
    data = city(tmp_path)
    with serving(data) as (url, _):
        told = run("serve", "--data", data, "--listen", f"127.0.0.1:{free_port()}", code=2)
        assert "another centre is running" in told
        told = run("serve", "--data", tmp_path / "other", "--listen", url.removeprefix("http://"), code=2)
        assert "in use" in told


def test_a_simulated_clock_is_said(tmp_path: Path) -> None:
    data = city(tmp_path)
    with serving(data, "--clock", "2030-11-20T07:30,60") as (url, _):
        answer = httpx.get(f"{url}/api/v1/sites").json()
        code = run("devices", "enrol", "31-2", "--data", data).strip()
        assert httpx.post(f"{url}/api/v1/enrol", json={"code": code}).status_code == 200, "good for hours of real time"
    assert answer["clock"] == {"rate": 60, "simulated": True}
    assert "simulated" in (data / "log").read_text()


def test_wrong_use_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    data = city(tmp_path)
    (tmp_path / "bad.csv").write_text(SITES + "31-9,9,thôn,X,,hp,,,,,,,,\n", encoding="utf-8")
    (tmp_path / "bad.toml").write_text("listen = 7\n")
    for arguments, word in (
        (("sites", "import", tmp_path / "bad.csv"), "line 7"),
        (("sites", "import", tmp_path / "none.csv"), "none.csv"),
        (("devices", "add", "nowhere"), "'nowhere'"),
        (("devices", "enrol", "nowhere"), "'nowhere'"),
        (("devices", "revoke", "d-0"), "'d-0'"),
        (("devices", "ask", "d-0", "path"), "'d-0'"),
        (("serve", "--clock", "soon"), "'soon'"),
        (("serve", "--listen", "here"), "'here'"),
    ):
        assert word in run(*arguments, "--data", data, code=2), arguments
    assert "line 1: listen = 7" in run("check-config", tmp_path / "bad.toml", code=2)
    assert len(run("sites", "list", "--data", data).splitlines()) == 5, "nothing was half imported"


def test_check_config_says_what_is_dangerous(tmp_path: Path) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text('listen = "0.0.0.0:8080"\n')
    told = run("check-config", file)
    assert "asks no login" in told
    assert told.endswith("good.\n")


def test_verify_finds_a_row_that_is_missing(tmp_path: Path) -> None:
    data = city(tmp_path)
    added = json.loads(run("devices", "add", "31-1", "--json", "--data", data))
    with serving(data) as (url, _):
        make = reports_from()
        body = encode(Batch(1, added["device"], 1, [make(**GOOD_LINK), make(**GOOD_LINK)]))
        httpx.post(f"{url}/api/v1/reports", content=body, headers={"Authorization": f"Bearer {added['token']}"})
    assert "0 faults" in run("verify", "--data", data)
    connection = connect(path_in(data))
    connection.execute("DELETE FROM runs_link WHERE seq = 2")
    connection.close()
    assert "1 faults" in run("verify", "--data", data, code=1)


def test_derive_says_what_is_stale() -> None:
    expected = stale(Path(__file__).parents[2])
    told = run("derive", "--check", code=1 if expected else 0)
    assert told.splitlines() == [f"{path}: stale" for path in expected]
