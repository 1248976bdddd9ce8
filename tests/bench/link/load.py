"""What else goes on: all cores busy, or the line taken by somebody else's transfer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.world.link import Namespace

SINK = """
import socket, sys
server = socket.create_server((sys.argv[1], 9100))
print("ready", flush=True)
client, _ = server.accept()
while client.recv(65536): pass
"""
SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], 9100)) as out:
    while True: out.sendall(bytes(65536))
"""


@contextmanager
def busy_cores(per_core: int = 1) -> Iterator[None]:
    """Endless loops at normal priority, `per_core` on each core of this machine."""
    spinners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(per_core * (os.cpu_count() or 1))
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


@contextmanager
def crowd(source: Namespace, sink: Namespace, address: str) -> Iterator[None]:
    """A TCP transfer without end from `source` to `address` in `sink`."""
    server = sink.start(sys.executable, "-c", SINK, address, stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    client = source.start(sys.executable, "-c", SOURCE, address, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        for process in (client, server):
            process.kill()
            process.communicate()
