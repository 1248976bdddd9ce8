"""One run of the benchmark: our probe and its peers over one emulated link, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.bench.link import hops, ours, peers, witness
from tests.bench.link.links import Case
from tests.bench.link.load import crowd
from tests.bench.link.truth import Counts, Delays, Hop, counts, delays
from tests.world.link import Counters, Link, namespaces

COUNTS = (
    "sent_packets",
    "lost_up_packets",
    "lost_down_packets",
    "dup_up_packets",
    "dup_down_packets",
    "reordered_up_packets",
    "reordered_down_packets",
)
"""The wire's names of the fields of `Counts`, in their order."""
DELAYS = ("rtt_p50_ms", "rtt_p99_ms", "dv_up_mean_ms", "dv_down_mean_ms", "dv_up_p99_ms", "dv_down_p99_ms")
"""And of `Delays`."""
WITHIN_MS = (0.1, 0.5, 0.2, 0.2, 0.2, 0.2)


class Run(NamedTuple):
    """What was said and what was true on one link under one load."""

    link: str
    load: str
    report: ours.Report
    counts: Counts
    delays: Delays | None
    peers: Sequence[peers.Heard]
    emulator: Counters | None
    """None where the witness carried."""

    @property
    def wrong_counts(self) -> list[str]:
        """Names of counts that are not exactly the log's."""
        pairs = zip(COUNTS, self.counts, strict=True)
        return [name for name, true in pairs if self.report.values.get(name) != true]

    @property
    def delay_errors(self) -> list[float | None]:
        """Said minus true in ms, in the order of `DELAYS`; None where either is absent."""
        if self.delays is None:
            return [None] * len(DELAYS)
        said = [self.report.values.get(name) for name in DELAYS]
        return [None if s is None else s - true for s, true in zip(said, self.delays, strict=True)]

    @property
    def wrong_delays(self) -> list[str]:
        """Names of delays that are absent or further from the truth than `WITHIN_MS`."""
        judged = zip(DELAYS, self.delay_errors, WITHIN_MS, strict=True)
        return [name for name, error, within in judged if error is None or abs(error) > within]


def over_our_link(case: Case, load: str, seconds: int, with_peers: bool) -> Run:
    """Our emulator carries; its log is the truth."""
    with (
        namespaces(2) as (site, hub),
        Link(site, hub, ab=case.up, ba=case.down, seed=case.seed, match="datagram") as link,
    ):
        address = link.b_ip6 if case.ipv6 else link.b_ip
        with crowd(site, hub, link.b_ip) if case.crowded else nullcontext():
            with ours.hub(hub, address):
                report = ours.once(site, address, seconds)
            up, down = hops.session(link.rows(), ours.HUB_PORT)
            heard = peers.run_all(link) if with_peers and not case.ipv6 else []
        return _run(case.name, load, report, up, down, heard, link.counters())


def over_the_witness(source: Path, case: Case, load: str, seconds: int) -> Run:
    """Somebody else's emulator carries; the truth is in its log."""
    program = witness.compiled(source)
    with namespaces(2) as (site, hub), TemporaryDirectory(prefix="witness-") as place:
        log = Path(place) / "truth.csv"
        with (
            witness.link(program, site, hub, case, ours.HUB_PORT, log),
            crowd(site, hub, witness.B_IP) if case.crowded else nullcontext(),
            ours.hub(hub, witness.B_IP),
        ):
            report = ours.once(site, witness.B_IP, seconds)
        up, down = witness.hops(log, ours.HUB_PORT)
        return _run(case.name, load, report, up, down, [], None)


def _run(
    name: str,
    load: str,
    report: ours.Report,
    up: Sequence[Hop],
    down: Sequence[Hop],
    heard: Sequence[peers.Heard],
    emulator: Counters | None,
) -> Run:
    sent = int(report.values.get("sent_packets", 0))
    return Run(name, load, report, counts(up, down, sent), delays(up, down, sent), heard, emulator)
