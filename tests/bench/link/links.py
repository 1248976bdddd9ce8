"""The links the benchmark measures over; `ab` is up (site to hub), `ba` is down."""

from __future__ import annotations

from typing import NamedTuple

from tests.world.link import Bursts, Way


class Case(NamedTuple):
    """One emulated link under a name; the seed fixes what becomes of each packet."""

    name: str
    up: Way
    down: Way
    seed: int = 1
    """Chosen so that about the nominal share of the first 600 packets is lost, doubled and reordered."""
    crowded: bool = False
    """A TCP transfer runs up beside the measurement, as hard as it can."""
    ipv6: bool = False


LINKS = (
    Case("clean", Way(), Way()),
    Case("1 % loss up", Way(delay_ms=5, loss=0.01), Way(delay_ms=5), seed=16),
    Case("5 % loss down", Way(delay_ms=5), Way(delay_ms=5, loss=0.05), seed=4),
    Case("bursts", Way(delay_ms=8, bursts=Bursts(0.01, 0.25)), Way(delay_ms=8, bursts=Bursts(0.005, 0.3)), seed=61),
    Case("20 ms ± 2 ms", Way(delay_ms=20, jitter_ms=2), Way(delay_ms=20, jitter_ms=2)),
    Case("150 ms", Way(delay_ms=150), Way(delay_ms=150)),
    Case(
        "reordering",
        Way(delay_ms=10, reorder=0.03, reorder_by_ms=250),
        Way(delay_ms=10, reorder=0.02, reorder_by_ms=250),
        seed=187,
    ),
    Case(
        "duplicates with loss",
        Way(delay_ms=10, loss=0.02, duplicate=0.02),
        Way(delay_ms=10, loss=0.01, duplicate=0.02),
        seed=53,
    ),
    Case(
        "2 Mbit/s bottleneck",
        Way(delay_ms=10, rate_kbps=2000, queue_bytes=30_000),
        Way(delay_ms=10, rate_kbps=2000, queue_bytes=30_000),
    ),
    Case(
        "2 Mbit/s, crowded",
        Way(delay_ms=10, rate_kbps=2000, queue_bytes=30_000),
        Way(delay_ms=10, rate_kbps=2000, queue_bytes=30_000),
        crowded=True,
    ),
    Case(
        "everything",
        Way(delay_ms=20, jitter_ms=5, shape="exponential", loss=0.01, duplicate=0.01, reorder=0.01, reorder_by_ms=250),
        Way(delay_ms=25, jitter_ms=3, shape="normal", bursts=Bursts(0.005, 0.3), duplicate=0.01),
        seed=59,
    ),
    Case(
        "everything, IPv6",
        Way(delay_ms=20, jitter_ms=5, shape="exponential", loss=0.01, duplicate=0.01, reorder=0.01, reorder_by_ms=250),
        Way(delay_ms=25, jitter_ms=3, shape="normal", bursts=Bursts(0.005, 0.3), duplicate=0.01),
        seed=59,
        ipv6=True,
    ),
)
