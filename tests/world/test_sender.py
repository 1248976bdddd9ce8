"""The sender and the hub over an emulated link, as a person starts them, held to the link's own log."""

from __future__ import annotations

import pytest

from tests.bench.link import hops, ours
from tests.bench.link.truth import counts
from tests.world.link import Bursts, Link, Way, namespaces
from tests.world.needs import NEEDS_WORLD

pytestmark = [*NEEDS_WORLD, pytest.mark.slow]

LOSSES = (
    Way(delay_ms=20, jitter_ms=5, loss=0.05, reorder=0.03, reorder_by_ms=250),
    Way(delay_ms=25, jitter_ms=3, bursts=Bursts(0.02, 0.3), duplicate=0.04),
)
COPIES = (Way(delay_ms=20, loss=0.05, duplicate=0.05), Way(delay_ms=25, duplicate=0.05))
"""No loss down: a copy made going up whose answer is lost beside a loss going up leaves no trace in any number."""


@pytest.mark.parametrize(("up", "down"), [LOSSES, COPIES])
@pytest.mark.parametrize("ipv6", [False, True])
def test_lost_doubled_and_overtaken_packets_are_those_of_the_log(up: Way, down: Way, ipv6: bool) -> None:
    with namespaces(2) as (site, hub), Link(site, hub, ab=up, ba=down, seed=5, match="udp") as link:
        address = link.b_ip6 if ipv6 else link.b_ip
        with ours.hub(hub, address):
            report = ours.once(site, address, 15)
        there, back = hops.session(link.rows(), ours.HUB_PORT)
    true = counts(there, back, int(report.values["sent_packets"]))
    said = {name: report.values[f"{name}_packets"] for name in true._fields}
    assert said == true._asdict()
    assert true.lost_up > 0
    assert true.dup_down > 0


def test_a_line_that_takes_the_mark_away_on_one_way_is_found_out() -> None:
    with namespaces(2) as (site, hub), Link(site, hub, ab=Way(dscp=0), ba=Way()) as link, ours.hub(hub, link.b_ip):
        values = ours.once(site, link.b_ip, 11).values
    assert (values["dscp_ef_up"], values["dscp_ef_down"]) == (0, 46)
    assert (values["dscp_af41_up"], values["dscp_af41_down"]) == (0, 34)


def test_a_cut_line_is_no_measurement_but_a_failure() -> None:
    with namespaces(2) as (site, hub), Link(site, hub) as link, ours.hub(hub, link.b_ip):
        link.cut()
        report = ours.once(site, link.b_ip, 2)
    assert report.failure == "hub_unreachable"
    assert report.values["lost_round_packets"] == report.values["sent_packets"]
