"""Reflectors to measure against: one that conforms, and the kinds met in the field."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from probes.config import HubTarget, Line, SiteConfig
from probes.link import packet as wire
from probes.link.packet import ntp_from_unix_ns

Answer = Callable[[bytes], list[bytes]]
"""Request in, answers out: none, one, or copies."""


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        for answer in self._answer(data):
            self._transport.sendto(answer, address)


@asynccontextmanager
async def responding(answer: Answer, host: str = "127.0.0.1") -> AsyncIterator[HubTarget]:
    """A hub `hp` that answers so."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Responder(answer), local_addr=(host, 0))
    try:
        yield HubTarget("hp", host, transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


def site(*hubs: HubTarget, line: Line | None = None) -> SiteConfig:
    return SiteConfig(site="31-1", hubs=hubs, lines=(line or Line(),))


def now() -> int:
    return ntp_from_unix_ns(time.time_ns())


class Conforming:
    """RFC 8762 and 8972, stateful; loses and doubles as told by the sender's numbers."""

    def __init__(
        self,
        lost_up: Callable[[int], bool] = lambda place: False,
        lost_down: Callable[[int], bool] = lambda place: False,
        doubled: Callable[[int], bool] = lambda place: False,
        key: bytes | None = None,
    ) -> None:
        self.lost_up, self.lost_down, self.doubled, self.key = lost_up, lost_down, doubled, key
        self.rseq = 0
        self.place = -1
        """Counts requests from 0."""
        self.requests: list[bytes] = []
        self.error = 1

    def __call__(self, data: bytes) -> list[bytes]:
        self.place += 1
        self.requests.append(data)
        if self.lost_up(self.place):
            return []
        reply = bytearray(max(len(data), 44))
        at = now()
        wire.reply_into(reply, data, self.rseq, at, at, self.error, 61, self.key)
        if len(data) > (44 if self.key is None else 112):
            wire.reflect_tlvs_into(reply, data, len(data), 0, self.key)
        self.rseq += 1
        if self.lost_down(self.place):
            return []
        return [bytes(reply)] * (2 if self.doubled(self.place) else 1)


class TwampLight:
    """As a widespread TWAMP-Light responder does it: 38 octets whatever was asked, one stamp for T2 and T3, its own
    count from sequence 0, no TTL, no extensions.
    """

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, data: bytes) -> list[bytes]:
        if data[:4] == bytes(4):
            self.count = 0
        at = now()
        head = struct.pack("!IQHHQ", self.count, at, 1, 0, at)
        self.count += 1
        return [head + data[:14]]


def stateless(data: bytes) -> list[bytes]:
    """RFC 8762 section 4.3: the number received is the number sent; 44 octets whatever was asked."""
    at = now()
    return [struct.pack("!4sQHHQ", data[:4], at, 1, 0, at) + data[:14] + bytes(6)]


def exchanging_t1_and_t3(data: bytes) -> list[bytes]:
    """Met in the field: our stamp where T3 belongs, and T3 where our stamp should be echoed."""
    at = now()
    t1, error = data[4:12], data[12:14]
    return [
        data[:4] + t1 + error + bytes(2) + struct.pack("!Q", at) + data[:4] + struct.pack("!Q", at) + error + bytes(6)
    ]
