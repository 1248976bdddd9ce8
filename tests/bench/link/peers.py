"""What ping, fping and iperf3 say of the same link, and what the log says happened to their own packets."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.bench.link.truth import Hop, percentile, round_trips
from tests.world.link import Link, Row, Verdict

PACKETS = 500
GAP_MS = 20
ICMP = 1


class Figures(NamedTuple):
    """What a tool says, or what is true: losses and copies in packets, delays in ms. None: it does not say."""

    sent: int
    lost: int
    dup: int | None = None
    rtt_p50: float | None = None
    rtt_p99: float | None = None
    jitter: float | None = None


class Heard(NamedTuple):
    """A tool's words beside the truth of its own packets; `way` is round, up or down."""

    tool: str
    way: str
    said: Figures
    truth: Figures


def run_all(link: Link) -> list[Heard]:
    """Each tool in turn, each with the same fates from packet 0 on."""
    return [ping(link), fping(link), iperf3(link, "up"), iperf3(link, "down")]


def ping(link: Link) -> Heard:
    """ping prints every round trip; percentiles of those."""
    out = _fresh(link, "ping", "-n", "-c", str(PACKETS), "-i", str(GAP_MS / 1000), "-W", "2", link.b_ip)
    sent, received = (int(n) for n in re.findall(r"(\d+) packets transmitted, (\d+) received", out)[0])
    copies = re.search(r"\+(\d+) duplicates", out)
    times = [float(ms) for ms in re.findall(r"time=([\d.]+) ms$", out, re.MULTILINE)]
    said = Figures(sent, sent - received, int(copies[1]) if copies else 0, *_middle_and_end(times))
    return Heard("ping", "round", said, _truth_of_echo(link, sent))


def fping(link: Link) -> Heard:
    """fping -C prints every round trip, `-` for none."""
    out = _fresh(link, "fping", "-C", str(PACKETS), "-p", str(GAP_MS), "-t", "2000", "-q", link.b_ip)
    line = next(line for line in reversed(out.splitlines()) if line.startswith(link.b_ip))
    words = line.partition(":")[2].split()
    times = [float(word) for word in words if word != "-"]
    said = Figures(len(words), words.count("-"), None, *_middle_and_end(times))
    return Heard("fping", "round", said, _truth_of_echo(link, len(words)))


def iperf3(link: Link, way: str) -> Heard:
    """iperf3 -u: 200 bytes each 20 ms, as speech, one way at a time; its own clock decides how many packets that is."""
    server = link.b.start("iperf3", "-s", "-1", "--forceflush", stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        rate, seconds = 200 * 8 * 1000 // GAP_MS, PACKETS * GAP_MS // 1000
        words = f"iperf3 -u -c {link.b_ip} -l 200 -b {rate} -t {seconds} --json".split()
        total = json.loads(_fresh(link, *words, *(["-R"] if way == "down" else [])))["end"]["sum"]
    finally:
        server.kill()
        server.communicate()
    said = Figures(int(total["packets"]), int(total["lost_packets"]), jitter=float(total["jitter_ms"]))
    return Heard("iperf3 -u", way, said, _truth_of_stream(link, "ab" if way == "up" else "ba"))


def _fresh(link: Link, *words: str) -> str:
    """Run a tool from packet 0 on; what it printed anywhere (fping speaks on stderr)."""
    link.reset()
    done = subprocess.run(
        link.a.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False
    )
    link.settle()
    return done.stdout


def _truth_of_echo(link: Link, sent: int) -> Figures:
    """The log knows no ICMP numbers: requests count as they come, answers as the far end had them arrive."""
    rows = [row for row in link.rows() if row.protocol == ICMP]
    up = [_hop(row, row.n, 0) for row in rows if row.direction == "ab"]
    came = [hop.number for hop in sorted((hop for hop in up if hop.t_out_ns), key=lambda hop: hop.t_out_ns)]
    down = [_hop(row, row.n, came[row.n]) for row in rows if row.direction == "ba"]
    trips = [
        (there.t_out_ns - there.t_in_ns + back.t_out_ns - back.t_in_ns) / 1e6 for there, back in round_trips(up, down)
    ]
    answers = sum(hop.t_out_ns > 0 for hop in down)
    return Figures(sent, sent - len(trips), answers - len(trips), *_middle_and_end(trips))


def _truth_of_stream(link: Link, direction: str) -> Figures:
    """iperf3 numbers its packets in bytes 8 to 11, after seconds and microseconds."""
    rows = [row for row in link.rows(direction) if row.ip_bytes == 228]
    hops = [_hop(row, int.from_bytes(row.head[8:12], "big"), 0) for row in rows]
    first = sorted((hop for hop in hops if not hop.copy), key=lambda hop: hop.number)
    one_way = [hop.t_out_ns - hop.t_in_ns for hop in first if hop.t_out_ns]
    step = sum(abs(b - a) for a, b in pairwise(one_way)) / max(1, len(one_way) - 1) / 1e6
    return Figures(len(first), len(first) - len(one_way), sum(hop.copy for hop in hops), jitter=step)


def _hop(row: Row, number: int, echo: int) -> Hop:
    return Hop(number, echo, row.verdict == Verdict.DUPLICATE, row.t_in_ns, row.t_out_ns)


def _middle_and_end(times: Sequence[float]) -> tuple[float | None, float | None]:
    return (percentile(times, 0.5), percentile(times, 0.99)) if times else (None, None)
