"""What the link probe tells beside loss and delay, on links where the answer is known."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tests.bench.link import ours
from tests.world.link import Link, Way, namespaces

SECONDS = 10


class Extra(NamedTuple):
    """One figure beside its truth; `within` is the share it may be off by."""

    what: str
    metric: str
    said: float | None
    true: float
    within: float

    @property
    def right(self) -> bool:
        return self.said is not None and abs(self.said - self.true) <= self.within * self.true


def run_all() -> list[Extra]:
    """Every extra in turn."""
    return [*re_marking(), *path_mtu(), *capacity()]


def path_mtu() -> list[Extra]:
    """A narrow place that tells and one that is silent; with loss beside, which must not pass for a narrow place."""
    found = []
    for what, way, true in (
        ("Ethernet", Way(delay_ms=5), 1500),
        ("1,400 with ICMP", Way(delay_ms=5, mtu=1400), 1400),
        ("1,400 black hole", Way(delay_ms=5, mtu=1400, mtu_icmp=False), 1400),
        ("1,337 black hole, 3 % loss", Way(delay_ms=5, mtu=1337, mtu_icmp=False, loss=0.03), 1337),
    ):
        for ipv6 in (False, True):
            values = _path_run("mtu", way, ipv6)
            family = "IPv6" if ipv6 else "IPv4"
            found.append(Extra(f"{what}, {family}", "path_mtu_bytes", values.get("path_mtu_bytes"), true, 0))
    return found


def capacity() -> list[Extra]:
    """A bottleneck of 10 Mbit/s at IP level, narrower up, or narrower down."""
    found = []
    for what, up, down in (("10 both ways", 10, 10), ("20 up, 10 down", 20, 10), ("5 up, 50 down", 5, 50)):
        ways = [Way(delay_ms=5, rate_kbps=rate * 1000, queue_bytes=100_000) for rate in (up, down)]
        values = _path_run("capacity", ways[0], down=ways[1])
        found.append(Extra(what, "capacity_up_mbps", values.get("capacity_up_mbps"), up, 0.05))
        if down <= up:  # the hub sends back at the rate it hears: a wider way down cannot be seen
            found.append(Extra(what, "capacity_down_mbps", values.get("capacity_down_mbps"), down, 0.05))
    return found


def _path_run(part: str, up: Way, ipv6: bool = False, down: Way | None = None) -> dict[str, float]:
    with namespaces(2) as (site, hub), Link(site, hub, ab=up, ba=down or up) as link:
        address = link.b_ip6 if ipv6 else link.b_ip
        with ours.hub(hub, address):
            words = (sys.executable, "-m", "tests.bench.link.path", address, str(ours.HUB_PORT), part)
            return dict(json.loads(site.run(*words, timeout=180))["values"])


def re_marking() -> list[Extra]:
    """Marked 0 by the probe, changed on one way only: the change must be told of that way alone."""
    found = []
    for what, up, down, true_up, true_down in (
        ("re-marked up", Way(dscp=8), Way(), 8, 0),
        ("re-marked down", Way(), Way(dscp=34), 0, 34),
        ("re-marked both ways", Way(dscp=8), Way(dscp=34), 8, 34),
    ):
        values = _once(up, down)
        found.append(Extra(what, "dscp_up", values.get("dscp_up"), true_up, 0))
        found.append(Extra(what, "dscp_down", values.get("dscp_down"), true_down, 0))
    return found


def table(found: Sequence[Extra]) -> str:
    """One line per figure."""
    lines = ["| what | metric | said | true | right |", "|---|---|---|---|---|"]
    for one in found:
        said = "absent" if one.said is None else f"{one.said:g}"
        lines.append(f"| {one.what} | {one.metric} | {said} | {one.true:g} | {'yes' if one.right else 'NO'} |")
    return "\n".join(lines)


def _once(up: Way, down: Way, *options: str) -> dict[str, float]:
    with namespaces(2) as (site, hub), Link(site, hub, ab=up, ba=down) as link, ours.hub(hub, link.b_ip):
        return dict(ours.once(site, link.b_ip, SECONDS, *options).values)
