"""The commands as they are called: what stands on stdout, and the exit code."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from probes.clock import SystemClock
from probes.metric import Limits, Unit
from probes.report import Failure, Report
from probes.say import Rules, said, value_text, verdict_of
from probes.spool import SPOOL_FILE, Spool
from probes.verdict import Verdict
from tests.probes.centres import SmallCentre, serving
from tests.probes.fakes import link_report, until

CLI = (sys.executable, "-m", "probes.cli")


def call(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *args], capture_output=True, text=True, timeout=60)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """A real hub in open mode on loopback, as HOST:PORT."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen([*CLI, "hub", "--listen", address], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    assert "open mode" in process.stderr.readline()
    yield address
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_a_link_that_is_good_is_one_line_of_json_and_exit_0(hub: str) -> None:
    done = call("once", "link", "--hub", hub, "--seconds", "2", "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert (report["probe"], report["target"], report["line"], report["failure"]) == ("link", "127.0.0.1", "main", None)
    assert 18 <= report["values"]["sent_packets"] <= 22, "ten a second, each up to a tenth early or late"
    assert report["values"]["lost_up_packets"] == 0


def test_without_a_hub_named_there_is_one_line_for_each(hub: str, tmp_path: Path) -> None:
    host, port = hub.split(":")
    config = tmp_path / "site.toml"
    config.write_text(
        'site = "a"\n'
        + "".join(f'[[hubs]]\nid = "{id}"\nhost = "{host}"\nstamp_port = {port}\n' for id in ("hp", "hd"))
        + '[[lines]]\nid = "main"\n[[lines]]\nid = "backup"\n'
    )
    done = call("once", "link", "--seconds", "1", "--json", "--config", str(config))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["target"] for line in done.stdout.splitlines()] == ["hp", "hd"]
    done = call("once", "link", "--seconds", "1", "--json", "--config", str(config), "--hub", "hd", "--line", "backup")
    (report,) = map(json.loads, done.stdout.splitlines())
    assert (report["target"], report["line"]) == ("hd", "backup")


def test_what_cannot_be_measured_is_exit_3_with_its_failure() -> None:
    done = call("once", "link", "--hub", f"127.0.0.1:{free_port()}", "--seconds", "1", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["failure"]["code"] == "hub_unreachable"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["once", "link"], "name one with --hub HOST[:PORT]"),
        (["once", "link", "--hub", "a:b"], "is not HOST[:PORT]"),
        (["once", "link", "--hub", "10.0.0.1:99999"], "is not HOST[:PORT]"),
        (["once", "lan", "--line", "backup"], "There is no line 'backup'"),
        (["once", "lan", "--config", "/nowhere/site.toml"], "/nowhere/site.toml: the file cannot be read"),
        (["run", "--config", "/nowhere/site.toml"], "Name it with --config"),
        (["hub"], "Give either --config hub.toml or --listen"),
        (["enrol", "http://127.0.0.1:9", "ABCD", "--dir", "/tmp"], "copy all of it"),
        (["once", "sound"], "'sound'"),
    ],
)
def test_wrong_use_is_exit_2_with_a_sentence_and_nothing_on_stdout(args: list[str], sentence: str) -> None:
    done = call(*args)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def site_toml(folder: Path, url: str) -> Path:
    path = folder / "site.toml"
    path.write_text(f'site = "a"\n[centre]\nurl = "{url}"\ndevice = "d-1"\ntoken = "secret-token"\n')
    path.chmod(0o600)
    return path


def test_the_spool_says_what_waits_while_its_device_runs(tmp_path: Path) -> None:
    spool = Spool(tmp_path / SPOOL_FILE, 1 << 24, SystemClock())
    spool.add_all([link_report()] * 7)
    config = str(site_toml(tmp_path, "http://127.0.0.1:9"))
    assert json.loads(call("spool", "status", "--config", config, "--json").stdout)["reports"] == 7
    assert call("spool", "status", "--config", config).stdout.startswith(
        "7 báo cáo chờ gửi, cũ nhất từ 15:00 15/01/2027;"
    )
    assert spool.add(link_report()).seq == 8


async def test_the_spool_is_sent_on_demand(tmp_path: Path) -> None:
    Spool(tmp_path / SPOOL_FILE, 1 << 24, SystemClock()).add_all([link_report()] * 7)
    async with serving(SmallCentre()) as centre:
        config = str(site_toml(tmp_path, centre.url))
        flushed = subprocess.Popen([*CLI, "spool", "flush", "--config", config])  # noqa: ASYNC220 - polled below
        await until(lambda: flushed.poll() is not None)
    assert flushed.returncode == 0
    assert len(centre.stored) == 7


def test_a_flush_that_fails_says_why(tmp_path: Path) -> None:
    Spool(tmp_path / SPOOL_FILE, 1 << 24, SystemClock()).add(link_report())
    done = call("spool", "flush", "--config", str(site_toml(tmp_path, "http://127.0.0.1:9")))
    assert done.returncode == 3
    assert "The centre cannot be reached" in done.stderr


# --- what people read ---------------------------------------------------------------------------------------------


FIBRE = Rules("fibre")
LOSSY = Report(
    "link",
    0,
    target="hp",
    line="main",
    values={
        "sent_packets": 100,
        "reflected_packets": 70,
        "received_packets": 70,
        "lost_up_packets": 30,
        "loss_runs_up_count": 30,
        "loss_up_ratio": 0.3,
        "rtt_p50_ms": 12.5,
        "not_declared": 1,
    },
)


def test_a_poor_line_reads_as_poor_with_what_to_do_in_both_languages() -> None:
    assert verdict_of(LOSSY, FIBRE) is Verdict.POOR
    vietnamese, english = said(LOSSY, FIBRE, "vi"), said(LOSSY, FIBRE, "en")
    assert vietnamese.startswith("Đường truyền → hp (main)\n")
    assert "30 %  Không đạt (Đạt: ≤ 1 %)" in vietnamese
    assert "12,5 ms  Đạt" in vietnamese
    assert "Kết luận: Không đạt\nCần làm: " in vietnamese
    assert "Verdict: Poor\nWhat to do: Call the carrier" in english
    assert "12.5 ms  Good" in english


def test_limits_that_the_centre_gave_rule_over_the_declared_ones() -> None:
    quick = Report("link", 0, values={"rtt_p50_ms": 12.5})
    assert verdict_of(quick, FIBRE) is Verdict.GOOD
    strict = Rules("fibre", {"link.rtt_p50_ms": Limits.at_most(5, 10)})
    assert verdict_of(quick, strict) is Verdict.POOR
    assert "12,5 ms  Không đạt (Đạt: ≤ 5 ms)" in said(quick, strict, "vi")


def test_a_failed_run_says_why_and_is_not_measured() -> None:
    report = Report("link", 0, target="hp", failure=Failure("hub_unreachable", "Nothing answers at 10.0.0.1."))
    assert verdict_of(report, FIBRE) is Verdict.UNKNOWN
    assert "Nothing answers at 10.0.0.1." in said(report, FIBRE, "vi")
    assert "Kết luận: Chưa đo được" in said(report, FIBRE, "vi")


@pytest.mark.parametrize(
    ("value", "unit", "vietnamese"),
    [
        (0.0123, Unit.RATIO, "1,23 %"),
        (1, Unit.YES_NO, "có"),
        (1500, Unit.BYTES, "1500 byte"),
        (4.409286, Unit.MOS, "4,41"),
        (12345.6, Unit.MS, "12346 ms"),
    ],
)
def test_values_read_as_people_write_them(value: float, unit: Unit, vietnamese: str) -> None:
    assert value_text(value, unit, "vi") == vietnamese
