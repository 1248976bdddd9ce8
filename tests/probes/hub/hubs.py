"""Real sockets and real workers for the tests of the hub."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from probes.hub.sockets import open_socket
from probes.hub.talk import Start, Status
from probes.link.packet import Reply, Request, Tlv, decode_reply, encode_request, ntp_from_unix_ns

ROOT = Path(__file__).parents[3]
PATIENCE_S = 10.0
"""Only keeps a failing test from hanging."""
SILENCE_S = 0.3


def loopback(v6: bool) -> str:
    return "::1" if v6 else "127.0.0.1"


class Asker:
    """A connected sender's socket."""

    def __init__(self, to: tuple[str, int], ssid: int = 77, key: bytes | None = None, bind: str | None = None) -> None:
        v6 = ":" in to[0]
        self.sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
        if bind is not None:
            self.sock.bind((bind, 0))
        self.sock.connect(to)
        self.sock.settimeout(PATIENCE_S)
        self.ssid, self.key, self.seq = ssid, key, 0
        self.sent_ns: int = 0

    def send(self, tlvs: tuple[Tlv, ...] = ()) -> None:
        self.sent_ns = time.time_ns()
        self.sock.send(encode_request(Request(self.seq, ntp_from_unix_ns(self.sent_ns), 1, self.ssid, tlvs), self.key))
        self.seq += 1

    def hear(self) -> Reply:
        return decode_reply(self.sock.recv(9216), self.key)

    def ask(self, tlvs: tuple[Tlv, ...] = ()) -> Reply:
        self.send(tlvs)
        return self.hear()

    def hears_nothing(self) -> bool:
        self.sock.settimeout(SILENCE_S)
        try:
            self.sock.recv(9216)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(PATIENCE_S)
        return False


@dataclass
class RunningWorker:
    process: subprocess.Popen[bytes]
    address: tuple[str, int]

    def status(self) -> Status:
        """The next status it tells."""
        assert self.process.stdout is not None
        return msgspec.json.decode(self.process.stdout.readline(), type=Status)

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()


@contextmanager
def running_worker(start: Start, v6: bool = False, sock: socket.socket | None = None) -> Iterator[RunningWorker]:
    """A worker process on a socket of its own (or the one given); `start.fds` and own port are filled in."""
    with sock or open_socket(loopback(v6), 0) as sock:
        address = sock.getsockname()[:2]
        start = msgspec.structs.replace(start, fds=[sock.fileno()], own_ports=[*start.own_ports, address[1]])
        process = subprocess.Popen(
            [sys.executable, "-m", "probes.hub.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=start.fds,
            cwd=ROOT,
        )
        worker = RunningWorker(process, address)
        worker.say(msgspec.json.encode(start))
        try:
            yield worker
        finally:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
            process.wait(PATIENCE_S)
