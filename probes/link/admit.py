"""Whom a reflector answers: senders known by SSID and key, or by where their packets come from. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

PRIVATE = tuple(
    ip_network(each) for each in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
) + tuple(ip_network(each) for each in ("::1/128", "fc00::/7", "fe80::/10"))
"""Loopback, RFC 1918, RFC 3927, RFC 4193 and link-local: what open mode answers, and nothing else."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A known Session-Sender. With a key its packets prove themselves; `sources` are answered without proof."""

    site: str
    ssid: int | None = None
    key: bytes | None = None
    sources: tuple[Network, ...] = ()


class Sources:
    """Senders by network: one dict look-up per prefix length in use, however many networks there are."""

    def __init__(self, senders: Iterable[Sender]) -> None:
        self._by_prefix: dict[tuple[int, int], dict[int, Sender]] = {}
        for sender in senders:
            for network in sender.sources:
                shift = network.max_prefixlen - network.prefixlen
                prefix = int(network.network_address) >> shift
                octets = network.max_prefixlen // 8
                self._by_prefix.setdefault((octets, shift), {})[prefix] = sender

    def of(self, address: bytes) -> Sender | None:
        """The sender whose longest network holds the address (4 or 16 octets)."""
        number = int.from_bytes(address)
        found, narrowest = None, 129
        for (octets, shift), prefixes in self._by_prefix.items():
            if octets == len(address) and shift < narrowest:
                sender = prefixes.get(number >> shift)
                if sender is not None:
                    found, narrowest = sender, shift
        return found


class Senders:
    """All whom a reflector answers. `near` adds every loopback and private source, without a name: open mode."""

    def __init__(self, known: Iterable[Sender] = (), near: bool = False) -> None:
        self.known = tuple(known)
        self._by_ssid = {each.ssid: each for each in self.known if each.ssid is not None and each.key is not None}
        self._sources = Sources(self.known)
        self._near = Sources([Sender("", sources=PRIVATE)] if near else [])

    def with_key(self, ssid: int) -> Sender | None:
        """The sender that must prove itself under this SSID."""
        return self._by_ssid.get(ssid)

    def listed(self, address: bytes) -> Sender | None:
        """The sender whose listed networks hold the address."""
        return self._sources.of(address)

    def is_near(self, address: bytes) -> bool:
        """Whether open mode answers the address."""
        return self._near.of(address) is not None
