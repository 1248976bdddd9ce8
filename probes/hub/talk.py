"""What supervisor and worker say to each other: one JSON object a line, over the worker's stdin and stdout."""

from __future__ import annotations

from ipaddress import ip_network

import msgspec

from probes.link.admit import Sender
from probes.link.packet import StampKey


class HubSite(msgspec.Struct, frozen=True):
    """A sender the hub answers, as the centre lists it: one per device (contract: `GET /api/v1/hub/sites`)."""

    site: str
    ssid: int | None = None
    stamp_key: str | None = None
    """Hex."""
    sources: list[str] = []
    """Networks answered without a key."""

    def sender(self) -> Sender:
        """Raises ValueError where key, SSID or a network cannot be read."""
        if self.ssid is not None and not 0 <= self.ssid <= 0xFFFF:
            raise ValueError(f"the SSID {self.ssid} is not between 0 and 65535")
        key = StampKey(bytes.fromhex(self.stamp_key)) if self.stamp_key else None
        return Sender(self.site, self.ssid, key, tuple(ip_network(each, strict=False) for each in self.sources))


def senders_of(sites: list[HubSite]) -> tuple[list[Sender], list[str]]:
    """The senders that can be read, and a sentence for each that cannot."""
    senders, faults = [], []
    for each in sites:
        try:
            senders.append(each.sender())
        except ValueError as error:
            faults.append(f"The site {each.site!r} is not answered: {error}.")
    return senders, faults


class Start(msgspec.Struct, frozen=True):
    """A worker's first line."""

    fds: list[int]
    own_ports: list[int]
    sites: list[HubSite] = []
    near: bool = False
    """Open mode: loopback and private sources are answered too."""
    packets_per_second: int = 50_000
    sessions: int = 8192
    source_pps: int = 120
    clock_window_s: float | None = None
    batches: bool = True


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker tells each second, and at once when a site comes or goes. Counts run from the worker's start."""

    answered: int = 0
    refused: dict[str, int] = {}
    sessions: int = 0
    waits: dict[int, int] = {}
    """Since the last status: see `Waits`."""
    came: list[str] = []
    went: list[str] = []
    cpu_s: float = 0.0
