"""What a reflected packet costs, and whether a nation fits on one core: `python -m tests.bench.hub`.

CPU time of the reflecting process as the scheduler counts it (/proc/PID/schedstat), which other work on the machine
moves little; loss and the kernel's drops beside it. Loopback: the kernel's work for the way back is charged to the
reflector too. Every figure of ours stands beside a minimal reflector in plain Python, made in the same run.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from probes.hub.sockets import drops_of, open_socket
from probes.link.packet import AUTH_BYTES, OPEN_BYTES, Request, encode_request, ntp_from_unix_ns

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
SESSIONS = 3_321
"""Communes, wards and special zones of the whole country."""
PACED_PPS = 33_000


def address_of(session: int) -> str:
    return f"127.1.{session >> 8}.{session & 255}"


def key_of(session: int) -> bytes:
    return session.to_bytes(2) * 16


def write_packets(path: Path, count: int, sealed: bool, forged: bool) -> None:
    """Packets of all sessions in turn, each with its own SSID and sequence; forged ones have nobody's key."""
    now_ns = time.time_ns()
    with path.open("wb") as file:
        for number in range(count):
            seq, session = divmod(number, SESSIONS)
            request = Request(seq, ntp_from_unix_ns(now_ns + number * 1000), 1, session + 1)
            key = b"\xff" * 32 if forged else key_of(session)
            packet = encode_request(request, key if sealed else None)
            file.write(socket.inet_aton(address_of(session)) + packet)


def start_line(fd: int, port: int, sealed: bool, batches: bool) -> bytes:
    sites = [
        {"site": f"s-{each}", "ssid": each + 1, "stamp_key": key_of(each).hex()}
        if sealed
        else {"site": f"s-{each}", "sources": [f"{address_of(each)}/32"]}
        for each in range(SESSIONS)
    ]
    start = {"fds": [fd], "own_ports": [port], "sites": sites, "packets_per_second": 1_000_000, "batches": batches}
    return json.dumps(start).encode() + b"\n"


@contextmanager
def worker(sock: socket.socket, sealed: bool, batches: bool = True) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "probes.hub.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[sock.fileno()],
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(start_line(sock.fileno(), sock.getsockname()[1], sealed, batches))
    process.stdin.flush()
    process.stdout.readline()  # the first status: it is at work
    yield process.pid
    process.stdin.close()
    process.stdout.close()
    process.wait()


@contextmanager
def minimal(sock: socket.socket) -> Iterator[int]:
    process = subprocess.Popen([sys.executable, str(HERE / "minimal.py"), str(sock.fileno())], pass_fds=[sock.fileno()])
    time.sleep(0.3)
    yield process.pid
    process.terminate()
    process.wait()


def cpu_s_of(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@dataclass(frozen=True)
class Run:
    sent: int
    answered: int
    seconds: float
    own_drops: int
    generator_cpu_s: float
    cpu_s: float
    drops: int

    @property
    def us_per_packet(self) -> float:
        return self.cpu_s / (self.answered or self.sent) * 1e6

    @property
    def core_ratio(self) -> float:
        return self.cpu_s / self.seconds


@dataclass(frozen=True)
class Row:
    name: str
    reflector: Callable[[socket.socket], AbstractContextManager[int]]
    count: int
    sealed: bool
    how: tuple[str, str]
    forged: bool = False


def rows(packets: int, seconds: int) -> list[Row]:
    def open_worker(sock: socket.socket) -> AbstractContextManager[int]:
        return worker(sock, sealed=False)

    def single_worker(sock: socket.socket) -> AbstractContextManager[int]:
        return worker(sock, sealed=False, batches=False)

    def sealed_worker(sock: socket.socket) -> AbstractContextManager[int]:
        return worker(sock, sealed=True)

    few, paced, rate = packets // 10, PACED_PPS * seconds, ("paced", str(PACED_PPS))
    return [
        Row("minimal, 32 in flight", minimal, packets, False, ("window", "32")),
        Row("ours open, 32 in flight", open_worker, packets, False, ("window", "32")),
        Row("ours authenticated, 32 in flight", sealed_worker, packets, True, ("window", "32")),
        Row("ours open without recvmmsg, 32 in flight", single_worker, packets, False, ("window", "32")),
        Row("minimal, 64 in flight", minimal, packets, False, ("window", "64")),
        Row("ours open, 64 in flight", open_worker, packets, False, ("window", "64")),
        Row("ours authenticated, 64 in flight", sealed_worker, packets, True, ("window", "64")),
        Row("minimal, one at a time", minimal, few, False, ("window", "1")),
        Row("ours open, one at a time", open_worker, few, False, ("window", "1")),
        Row("ours authenticated, one at a time", sealed_worker, few, True, ("window", "1")),
        Row("minimal, 33,000/s of 3,321 sessions", minimal, paced, False, rate),
        Row("ours open, 33,000/s of 3,321 sessions", open_worker, paced, False, rate),
        Row("ours authenticated, 33,000/s of 3,321", sealed_worker, paced, True, rate),
        Row("strangers, 33,000/s, none answered", sealed_worker, paced, False, rate, True),
        Row("forged HMACs, 33,000/s, none answered", sealed_worker, paced, True, rate, True),
    ]


class Bench:
    """Packets and generator in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.offer = directory / "offer"
        subprocess.run(["gcc", "-O2", "-o", str(self.offer), str(HERE / "offer.c")], check=True)

    def run(self, row: Row) -> Run:
        packets = self.directory / f"packets-{row.count}-{row.sealed}-{row.forged}"
        if not packets.exists():
            write_packets(packets, row.count, row.sealed, row.forged)
        with open_socket("127.0.0.1", 0) as sock, row.reflector(sock) as pid:
            host = f"127.0.0.1:{sock.getsockname()[1]}"
            before = cpu_s_of(pid)
            words = [str(self.offer), host, str(packets), str(AUTH_BYTES if row.sealed else OPEN_BYTES), *row.how]
            done = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
            return Run(
                int(done[0]),
                int(done[1]),
                float(done[2]),
                int(done[3]),
                float(done[4]),
                cpu_s_of(pid) - before,
                drops_of(sock) or 0,
            )


def line(name: str, run: Run, beside: Run | None) -> str:
    ratio = f"{run.us_per_packet / beside.us_per_packet:4.2f}" if beside else "   -"
    return (
        f"{name:42} {run.us_per_packet:5.1f} {ratio:>6} {run.answered / run.seconds:9.0f} {run.core_ratio:6.0%}"
        f" {run.sent - run.answered:7} of {run.sent:<7} {run.drops:7} {run.own_drops:7}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=300_000, help="packets of each run with 32 or 64 in flight")
    parser.add_argument("--seconds", type=int, default=10, help="length of the paced runs")
    parser.add_argument("--only", default="", help="only rows whose name holds this text")
    args = parser.parse_args()
    print(
        f"{'':42} {'us/p':>5} {'ratio':>6} {'answers/s':>9} {'core':>6} {'lost':>7}{'':11} {'dropped':>7} {'gen.':>7}"
    )
    beside: Run | None = None
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        for row in rows(args.packets, args.seconds):
            if args.only in row.name:
                run = bench.run(row)
                beside = run if row.reflector is minimal else beside
                print(line(row.name, run, beside), flush=True)
    load = " ".join(Path("/proc/loadavg").read_text().split()[:3])
    print(
        "ratio: to the minimal one above; dropped: by the kernel at the reflector's and the generator's socket; load",
        load,
    )


main()
