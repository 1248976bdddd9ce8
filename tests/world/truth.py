"""The emulator's truth log: what happened to each matching packet, with the kernel's stamps at both ends."""

from __future__ import annotations

import struct
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple


class Verdict(IntEnum):
    """What the link did to a packet; `fate.h` keeps the same order."""

    DELIVERED = 0
    DUPLICATE = 1
    """A copy, in a row of its own beside that of its original."""
    REORDERED = 2
    """Delivered, after being held back on purpose; whether others really passed it, the times tell."""
    LOST_RANDOM = 3
    LOST_BURST = 4
    QUEUE_FULL = 5
    OVER_MTU = 6
    DOWN = 7
    UNRELEASED = 8
    """Still under way when the emulator ended, or refused by the device."""

    @property
    def arrived(self) -> bool:
        return self <= Verdict.REORDERED


class Row(NamedTuple):
    """One packet, or one copy of it."""

    direction: str
    """`ab` or `ba`."""
    n: int
    """Counts the matching packets of the direction from 0."""
    verdict: Verdict
    t_in_ns: int
    """Kernel receive stamp at entry, CLOCK_REALTIME: within microseconds the sender's transmit stamp."""
    t_out_ns: int
    """Kernel transmit stamp at exit: within microseconds the receiver's receive stamp. 0 if it never left."""
    kernel_stamped: bool
    """False if `t_out_ns` had to be taken in user space."""
    ip_bytes: int
    version: int
    protocol: int
    sport: int
    dport: int
    dscp_in: int
    dscp_out: int
    head: bytes
    """The first 64 bytes of the UDP payload."""

    @property
    def seq32(self) -> int | None:
        """The first four bytes of the UDP payload as a number: the sequence number of STAMP, TWAMP and iperf3."""
        return int.from_bytes(self.head[:4], "big") if len(self.head) >= 4 else None

    @property
    def delay_ns(self) -> int:
        """Time on the link; only of a packet that arrived."""
        return self.t_out_ns - self.t_in_ns


LAYOUT = struct.Struct("<BBBBIqqHHHBBB64s")


def read(path: Path, offset: int = 0) -> list[Row]:
    """The rows from byte `offset` on, in order of direction, n and time out."""
    data = path.read_bytes()[offset:]
    whole = len(data) - len(data) % LAYOUT.size
    rows = [_row(*fields) for fields in LAYOUT.iter_unpack(data[:whole])]
    return sorted(rows, key=lambda row: (row.direction, row.n, row.verdict == Verdict.DUPLICATE, row.t_out_ns))


def _row(
    direction: int,
    verdict: int,
    dscp_in: int,
    dscp_out: int,
    n: int,
    t_in_ns: int,
    t_out_ns: int,
    ip_bytes: int,
    sport: int,
    dport: int,
    version: int,
    protocol: int,
    head_len: int,
    head: bytes,
) -> Row:
    return Row(
        direction="ba" if direction else "ab",
        n=n,
        verdict=Verdict(verdict),
        t_in_ns=t_in_ns,
        t_out_ns=abs(t_out_ns),
        kernel_stamped=t_out_ns >= 0,
        ip_bytes=ip_bytes,
        version=version,
        protocol=protocol,
        sport=sport,
        dport=dport,
        dscp_in=dscp_in,
        dscp_out=dscp_out,
        head=head[:head_len],
    )
