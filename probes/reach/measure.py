"""What the centre says of a site's router after one window. Pure."""

from __future__ import annotations

from statistics import median
from typing import NamedTuple

from probes.asker import Tally
from probes.report import Failure


class Router(NamedTuple):
    """Whom to ask at a site: an address or name, and the port of its TWAMP-Light reflector if it has one."""

    site: str
    host: str
    twamp_port: int | None = None


def router_of(site: str, address: str) -> Router:
    """A site's `router` as written, HOST[:PORT]; a bare IPv6 address has no port, [v6]:PORT has.

    Raises:
        ValueError: the port is none.
    """
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        port = rest.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    else:
        host, port = address, ""
    if not host or (port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise ValueError(f"The router {address!r} of site {site} is not HOST[:PORT], such as 10.1.2.1 or 10.1.2.1:862.")
    return Router(site, host, int(port) if port else None)


Figures = tuple[dict[str, float], dict[str, str], Failure | None]


def figures(router: Router, icmp: Tally, twamp: Tally | None) -> Figures:
    """Values, labels and failure of one window.

    TWAMP-Light is believed where it answers at all: a router treats it as traffic, and may treat ICMP as a nuisance.
    Where neither answers the router is down, which is a measurement and no failure.
    """
    tally, by = icmp, "icmp"
    if twamp is not None and (twamp.rtt_ns or not icmp.sent):
        tally, by = twamp, "twamp"
    if not tally.sent:
        return {}, {"by": by}, _unsent(router, tally)
    labels = {"by": by}
    if twamp is not None and by == "icmp" and icmp.rtt_ns:
        labels["twamp"] = "silent"
    if tally.blurred:
        labels["own_drops"] = "yes"
        return ({"up": 1.0} if tally.rtt_ns else {}), labels, None
    values: dict[str, float] = {
        "up": float(bool(tally.rtt_ns)),
        "sent_packets": tally.sent,
        "lost_packets": tally.lost,
        "loss_ratio": tally.lost / tally.sent,
    }
    if tally.rtt_ns:
        values["rtt_p50_ms"] = median(tally.rtt_ns) / 1e6
    return values, labels, None


def _unsent(router: Router, tally: Tally) -> Failure:
    if tally.is_unroutable:
        return Failure("no_route", f"The centre has no route to {router.host}.")
    return Failure("not_sent", f"Nothing could be sent to {router.host} (error {tally.unsent_errno}).")
