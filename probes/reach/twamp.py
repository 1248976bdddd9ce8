"""Test packets to routers' own reflectors (TWAMP-Light, RFC 5357 appendix I; STAMP, RFC 8762): one socket for all."""

from __future__ import annotations

import secrets
import socket
from typing import Self

from probes.asker import Asker, Heard, prepare
from probes.clock import Clock
from probes.lines import FAMILIES
from probes.link.packet import OPEN_REPLY_HEAD, OPEN_REQUEST, TWAMP_REPLY_BYTES, ntp_from_unix_ns, unix_ns_from_stamp


class TwampClient(Asker):
    """Asks any number of reflectors of one IP version; what each held a packet is taken out of its delay.

    An answer counts from the address and port asked, with sequence and stamp given back as they were sent: a
    reflector that does not conform has lost what it distorts.
    """

    seq_mask = 0xFFFF_FFFF

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        super().__init__(sock, clock, first_seq=secrets.randbits(31))
        self._ssid = secrets.randbelow(0xFFFF) + 1

    @classmethod
    def open(cls, version: int, clock: Clock) -> Self:
        sock = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        prepare(sock)
        return cls(sock, clock)

    def _request(self, seq: int, t1_ns: int) -> tuple[bytes, int]:
        t1 = ntp_from_unix_ns(t1_ns)
        return OPEN_REQUEST.pack(seq, t1, 1, self._ssid), t1

    def _hear(self, packet: bytes) -> Heard | None:
        if len(packet) < TWAMP_REPLY_BYTES:
            return None
        _, t3, error, _, t2, seq, t1, _ = OPEN_REPLY_HEAD.unpack_from(packet)
        return Heard(seq, unix_ns_from_stamp(t3, error) - unix_ns_from_stamp(t2, error), t1)
