"""A real centre in a process of its own, and devices that say to it what a test wants measured."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import httpx
import msgspec

from monitor.devices import Role, add_device
from monitor.store.database import transaction
from probes.report import Batch, Failure, Report, encode

ROOT = Path(__file__).parents[2]
SITES = ROOT / "deploy" / "sites.csv"
MONITOR = Path(sys.executable).parent / "diemcau-monitor"
EVERY_MS = 10_000
QUIET_LINE = {
    "sent_packets": 100.0, "reflected_packets": 100.0, "received_packets": 100.0, "rate_pps": 10.0,
    "lost_up_packets": 0.0, "lost_down_packets": 0.0, "loss_up_ratio": 0.0, "loss_down_ratio": 0.0,
    "reordered_up_packets": 0.0, "reordered_down_packets": 0.0, "reordered_up_ratio": 0.0, "reordered_down_ratio": 0.0,
    "rtt_min_ms": 2.9, "rtt_p50_ms": 3.21, "rtt_p95_ms": 4.4, "rtt_p99_ms": 6.02, "rtt_max_ms": 6.1,
    "dv_up_mean_ms": 0.2, "dv_down_mean_ms": 0.1, "dv_up_p99_ms": 3.1, "dv_down_p99_ms": 1.24, "mos_estimate": 4.38,
}  # fmt: skip
"""One run of 100 packets on a line where all is well."""


def lossy(share: float) -> dict[str, float]:
    """The same run with that share lost on the way up, evenly spread."""
    lost = round(100 * share)
    gone = {"lost_up_packets": lost, "loss_runs_up_count": lost, "reflected_packets": 100 - lost}
    return {**QUIET_LINE, **gone, "received_packets": 100 - lost, "loss_up_ratio": lost / 100}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Device:
    """What reports for one site."""

    def __init__(self, url: str, device: str, token: str) -> None:
        self._url, self._id, self._token = url, device, token
        self._seq = 0

    def tell(
        self, values: Mapping[str, float], target: str | None, runs: int = 1, probe: str = "link", ago_s: float = 0
    ) -> None:
        """`runs` runs alike, 10 s apart, the last of them `ago_s` ago."""
        last = round((time.time() - ago_s) * 1000) - EVERY_MS
        self._send(
            [
                Report(probe, last - EVERY_MS * (runs - run - 1), EVERY_MS, target=target, values=dict(values))
                for run in range(runs)
            ]
        )

    def fail(self, code: str, target: str, probe: str = "link") -> None:
        """A run that could not measure."""
        self._send([Report(probe, round(time.time() * 1000), 3000, target=target, failure=Failure(code))])

    def _send(self, reports: list[Report]) -> None:
        numbered = []
        for report in reports:
            self._seq += 1
            numbered.append(msgspec.structs.replace(report, boot="b00t", seq=self._seq))
        body = encode(Batch(1, self._id, round(time.time() * 1000), numbered))
        answer = httpx.post(
            f"{self._url}/api/v1/reports", content=body, headers={"Authorization": f"Bearer {self._token}"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["stored"] == len(numbered), answer.text


class Centre:
    """`diemcau-monitor serve` with the real sites, on a free port of the loopback."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self.url = f"http://127.0.0.1:{free_port()}"
        self._command("sites", "import", str(SITES))
        self._log = (data / "centre.log").open("w")
        self._process = subprocess.Popen(
            [MONITOR, "serve", "--data", data, "--listen", self.url.removeprefix("http://"), *options],
            stderr=self._log,
        )
        self._wait_ready()

    def __enter__(self) -> Centre:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.go_on()
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def device(self, site: str, role: Role = Role.PROBE) -> Device:
        """A new device, added beside the running centre as the command does it."""
        with transaction(self._data) as connection:
            device, token = add_device(connection, site, role, round(time.time() * 1000))
        return Device(self.url, device.id, token)

    def freeze(self) -> None:
        """The process stands still, its connections stay open: the worst way to be gone."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def _command(self, *words: str) -> None:
        subprocess.run([MONITOR, *words, "--data", self._data], check=True, capture_output=True)

    def _wait_ready(self) -> None:
        for _ in range(300):
            assert self._process.poll() is None, (self._data / "centre.log").read_text()
            try:
                httpx.get(f"{self.url}/readyz").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("The centre is not ready after 30 s.")
