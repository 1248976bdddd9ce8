"""The first hop's figures: what was seen of router and cable in one window in, values and labels out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from probes.asker import Tally
from probes.lan.netlink import State
from probes.report import Failure

BELIEVED_UP = State.REACHABLE | State.PERMANENT
BELIEVED_DOWN = State.FAILED | State.INCOMPLETE


class Nic(NamedTuple):
    """A network port as the system shows it at one moment; None where it does not say."""

    interface: str
    has_carrier: bool | None = None
    speed_mbps: int | None = None
    full_duplex: bool | None = None
    errors: int | None = None
    """Damaged packets since the port came up."""
    carrier_losses: int | None = None
    """How often the cable was lost since the port came up."""
    is_wifi: bool = False
    wifi_signal_dbm: float | None = None


class Gateway(NamedTuple):
    """The router of a line: who it is."""

    address: str
    interface: str
    mac: str | None = None


@dataclass(slots=True)
class Window:
    """What was seen in one window of a line."""

    at_ms: int
    start_ns: int
    tally: Tally = field(default_factory=Tally)
    states: list[State] = field(default_factory=list)
    """The router's entry in the neighbour table, each second."""
    gateway: Gateway | None = None
    before: Nic | None = None
    after: Nic | None = None
    on_link: bool = False
    """The main bridge is reached without any router."""
    is_silenced: Failure | None = None
    """Why no echo could be sent at all."""


Figures = tuple[dict[str, float], dict[str, str]]
"""Values and labels of a report."""


def failure_of(window: Window, ports: Sequence[Nic]) -> Failure | None:
    """Why the first hop of this window could not be measured; `ports` are all hardware ports of the machine."""
    port = window.after
    if port is not None and port.has_carrier is False:
        return Failure("cable_unplugged", f"The port {port.interface} has no carrier: its cable is out or dead.")
    if window.gateway is None and not window.on_link:
        if ports and all(each.has_carrier is False for each in ports):
            names = ", ".join(each.interface for each in ports)
            return Failure("cable_unplugged", f"No port has a carrier: {names}.")
        return Failure("no_gateway", "There is no route to the main bridge: no address or no router was given to us.")
    if window.is_silenced is not None:
        return window.is_silenced
    if window.gateway is not None and not window.tally.rtt_ns and is_up(window.states) is None:
        text = f"The router {window.gateway.address} answered no echo, and the neighbour table does not tell either."
        return Failure("gateway_silent", text)
    return None


def figures(window: Window, last: Gateway | None, has_answered: bool) -> Figures:
    """Values and labels of a window.

    `last` is the router of the run before, `has_answered` whether this router ever answered an echo: one that never
    did is *silent*, which is no loss; then the neighbour table alone tells whether it is there (a fact the kernel
    renews every half minute, so up to 45 s old).
    """
    values: dict[str, float] = {}
    labels: dict[str, str] = {}
    if window.gateway is not None:
        _add_gateway(values, labels, window, has_answered)
        _add_change(values, labels, window.gateway, last)
    elif window.on_link:
        labels["gateway"] = "none_needed"
    _add_nic(values, labels, window.before, window.after)
    return values, labels


def _add_gateway(values: dict[str, float], labels: dict[str, str], window: Window, has_answered: bool) -> None:
    tally, by_neighbour = window.tally, is_up(window.states)
    if tally.rtt_ns:
        labels["gateway_seen_by"] = "icmp"
        values["gateway_up"] = 1
        values["gateway_rtt_p50_ms"] = median(tally.rtt_ns) / 1e6
    elif by_neighbour is not None:
        labels["gateway_seen_by"] = "arp"
        values["gateway_up"] = float(by_neighbour)
    if tally.blurred:
        labels["own_drops"] = "yes"
    elif has_answered and tally.sent:
        values["gateway_sent_packets"] = tally.sent
        values["gateway_lost_packets"] = tally.lost
        values["gateway_loss_ratio"] = tally.lost / tally.sent
    elif tally.sent and not has_answered:
        labels["gateway_silent"] = "yes"


def is_up(states: Sequence[State]) -> bool | None:
    """Whether the neighbour table says that the router is there; None while it is being found out or not known.

    The kernel confirms an entry in use by asking the router itself (RFC 4861 section 7.3, and the same for ARP), so
    one REACHABLE is proof, and FAILED without any is proof of the contrary.
    """
    if any(state & BELIEVED_UP for state in states):
        return True
    return False if any(state & BELIEVED_DOWN for state in states) else None


def _add_change(values: dict[str, float], labels: dict[str, str], gateway: Gateway, last: Gateway | None) -> None:
    labels["gateway"] = gateway.address
    if gateway.mac:
        labels["gateway_mac"] = gateway.mac
    if last is not None:
        values["gateway_changed"] = float(has_changed(last, gateway))
        if values["gateway_changed"]:
            labels["gateway_was"] = f"{last.address} {last.mac or ''}".strip()


def has_changed(last: Gateway, now: Gateway) -> bool:
    """Another address, or another box behind the same address; a hardware address not known says nothing."""
    return last.address != now.address or bool(last.mac and now.mac and last.mac != now.mac)


def _add_nic(values: dict[str, float], labels: dict[str, str], before: Nic | None, after: Nic | None) -> None:
    if after is None:
        return
    labels["interface"] = after.interface
    values["wifi"] = float(after.is_wifi)
    if after.wifi_signal_dbm is not None:
        values["wifi_signal_dbm"] = after.wifi_signal_dbm
    if after.speed_mbps is not None:
        values["nic_speed_mbps"] = after.speed_mbps
    if after.full_duplex is not None:
        values["nic_full_duplex"] = float(after.full_duplex)
    if before is not None and before.interface == after.interface:
        _add_growth(values, "nic_errors", before.errors, after.errors)
        _add_growth(values, "nic_carrier_losses_count", before.carrier_losses, after.carrier_losses)


def _add_growth(values: dict[str, float], name: str, before: int | None, after: int | None) -> None:
    """A counter that went back began anew, and how far it had come by then is not known."""
    if before is not None and after is not None and after >= before:
        values[name] = after - before


# --- what the system shows, as text -----------------------------------------------------------------------------


def speed_of(text: str | None) -> int | None:
    """/sys/class/net/X/speed: Mbit/s; -1 or nothing where the port has none (Wi-Fi, cable out)."""
    number = number_of(text)
    return number if number is not None and number > 0 else None


def duplex_of(text: str | None) -> bool | None:
    """/sys/class/net/X/duplex."""
    return {"full": True, "half": False}.get((text or "").strip())


def number_of(text: str | None) -> int | None:
    """A file that holds one whole number; None where it does not."""
    try:
        return int(text or "")
    except ValueError:
        return None


def signals_of(text: str | None) -> dict[str, float]:
    """/proc/net/wireless: received level in dBm by interface.

    Levels that are not negative are of drivers that count from 0 to 255 in a scale of their own: left out.
    """
    found: dict[str, float] = {}
    for line in (text or "").splitlines()[2:]:
        name, _, rest = line.partition(":")
        columns = rest.split()
        if len(columns) >= 3:
            level = number_of(columns[2].rstrip("."))
            if level is not None and level < 0:
                found[name.strip()] = float(level)
    return found
