"""What a device is told about itself: frozen, read from TOML; an error names file, line, key and value."""

from __future__ import annotations

import msgspec


class ConfigError(ValueError):
    """The configuration cannot be used; the sentence names file, line, key and value."""


class HubTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One far end to measure against."""

    id: str
    host: str
    stamp_port: int = 862
    call_url: str | None = None
    ssid: int | None = None
    """Fixed in authenticated mode; random in open mode (None)."""
    stamp_key: str | None = None
    """Hex. With it every packet is authenticated (RFC 8762 section 4.1.2)."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way out of the site: bound to a source address, an interface, or neither (the system's own choice)."""

    id: str = "main"
    source: str | None = None
    interface: str | None = None
    carrier: str | None = None
    dscp: int = 0


class SpoolConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where reports wait, and how much disk they may take."""

    dir: str = "."
    max_bytes: int = 512 * 1024 * 1024


class CentreTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where reports go."""

    url: str
    device: str
    token: str
    ca_file: str | None = None


class SiteConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device at a site (`diemcau-probe run`)."""

    site: str
    centre: CentreTarget | None = None
    hubs: list[HubTarget] = []
    lines: list[Line] = msgspec.field(default_factory=lambda: [Line()])
    probes: list[str] = msgspec.field(default_factory=lambda: ["link", "lan", "host"])
    spool: SpoolConfig = SpoolConfig()
    site_class: str = "fibre"


class HubConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The far end at a main bridge (`diemcau-probe hub`); a device with its own spool."""

    site: str
    listen: str = "[::]:862"
    workers: int = 1
    centre: CentreTarget | None = None
    peers: list[HubTarget] = []
    """Other hubs to measure: bridges are sites too."""
    spool: SpoolConfig = SpoolConfig()
    metrics_listen: str | None = "127.0.0.1:9862"
    packets_per_second: int = 50_000
    """Total the hub answers; each source has its own bucket of twice the agreed rate besides."""
    sessions: int = 8192


class CentralConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prober at the centre (`diemcau-probe central`): reaches every site's router."""

    site: str
    centre: CentreTarget | None = None
    spool: SpoolConfig = SpoolConfig()
    every_s: int = 10
