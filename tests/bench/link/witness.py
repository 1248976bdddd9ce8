"""The same runs over a link emulator that is not ours, given as one C file.

Understood is a program that is started as `PROGRAM NS_A:DEV:ADDRESS/24 NS_B:DEV:ADDRESS/24 seed=N match=PORT log=FILE
key=value...` with times in µs and ratios in %, and writes a CSV row per packet: dir (ab or ba), n, t_in_ns, len, proto,
sport, dport, tos_in, seq32, verdict (D delivered, 2 copy, R reordered, else lost), queue_us, planned_us, actual_us.
"""

from __future__ import annotations

import csv
import hashlib
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.link.links import Case
from tests.bench.link.truth import Hop
from tests.world.link import BUILD, Namespace, Way
from tests.world.namespaces import call

A_IP, B_IP = "10.79.0.1", "10.79.0.2"
DEVICE = "wit0"


def compiled(source: Path) -> Path:
    """The witness as a program; compiled anew if the file changed."""
    program = BUILD / f"witness-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if not program.exists():
        BUILD.mkdir(exist_ok=True)
        fresh = program.with_suffix(f".{secrets.token_hex(4)}")
        call("gcc", "-O2", "-o", str(fresh), str(source), "-lm")
        fresh.replace(program)
    return program


def settings(prefix: str, way: Way) -> list[str]:
    """A way in the witness's language; what it does not know raises ValueError."""
    if way.mtu or way.dscp is not None or way.down:
        raise ValueError(f"the witness is not asked about this way: {way}")
    words = {
        "delay": way.delay_ms * 1000,
        "jitter": way.jitter_ms * 1000,
        "fifo": int(way.ordered),
        "loss": way.loss * 100,
        "dup": way.duplicate * 100,
        "reorder": way.reorder * 100,
        "reorderby": way.reorder_by_ms * 1000,
        "rate": way.rate_kbps,
        "qlen": way.queue_bytes,
    }
    said = [f"{prefix}.{key}={value:.9g}" for key, value in words.items() if value or key == "fifo"]
    said.append(f"{prefix}.dist={'exp' if way.shape == 'exponential' else way.shape}")
    if way.bursts:
        said.append(f"{prefix}.ge=" + ",".join(f"{part * 100:.9g}" for part in way.bursts))
    return said


@contextmanager
def link(program: Path, a: Namespace, b: Namespace, case: Case, port: int, log: Path) -> Iterator[None]:
    """The witness carries between `a` and `b`; its log is whole once the context has ended."""
    ends = [f"{a.name}:{DEVICE}:{A_IP}/24", f"{b.name}:{DEVICE}:{B_IP}/24"]
    words = [*ends, f"seed={case.seed}", f"match={port}", f"log={log}"]
    words += [*settings("ab", case.up), *settings("ba", case.down)]
    process = subprocess.Popen([str(program), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while f"{A_IP}/" not in a.ip("addr") or f"{B_IP}/" not in b.ip("addr"):
            if process.poll() is not None:
                raise RuntimeError(f"the witness did not start: {process.communicate()[1]!r}")
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def hops(log: Path, hub_port: int) -> tuple[list[Hop], list[Hop]]:
    """Up and down of the session; the hub numbers its answers from 0 in the order of arrival, which gives the echo."""
    rows = list(csv.reader(log.read_text().splitlines()))
    up = [_hop(row, 0) for row in rows if row[0] == "ab" and row[6] == str(hub_port)]
    came = [hop.number for hop in sorted((hop for hop in up if hop.t_out_ns), key=lambda hop: hop.t_out_ns)]
    down = [_hop(row, came[int(row[8])]) for row in rows if row[0] == "ba" and row[5] == str(hub_port)]
    return up, down


def _hop(row: Sequence[str], echo: int) -> Hop:
    arrived = row[9] in ("D", "2", "R")
    t_in_ns = int(row[2])
    t_out_ns = t_in_ns + round(float(row[12]) * 1000) if arrived else 0
    return Hop(int(row[8]), echo, row[9] == "2", t_in_ns, t_out_ns, int(row[3]))
