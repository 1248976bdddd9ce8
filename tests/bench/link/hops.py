"""From the emulator's log to the hops of one STAMP session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.bench.link.truth import Hop
from tests.world.link import Row, Verdict

SENDER_SEQ_AT = slice(24, 28)
"""Where an open STAMP answer repeats the number it answers (RFC 8762 section 4.3.1)."""


def session(rows: Sequence[Row], hub_port: int) -> tuple[list[Hop], list[Hop]]:
    """Up and down of the session with the most packets towards `hub_port`; other sockets of the probe are left out."""
    ports = Counter(row.sport for row in rows if row.direction == "ab" and row.dport == hub_port)
    if not ports:
        return [], []
    ((port, _),) = ports.most_common(1)
    up = [_hop(row) for row in rows if row.direction == "ab" and (row.sport, row.dport) == (port, hub_port)]
    down = [_hop(row) for row in rows if row.direction == "ba" and (row.sport, row.dport) == (hub_port, port)]
    return up, down


def _hop(row: Row) -> Hop:
    echo = int.from_bytes(row.head[SENDER_SEQ_AT], "big") if row.direction == "ba" else 0
    return Hop(row.seq32 or 0, echo, row.verdict == Verdict.DUPLICATE, row.t_in_ns, row.t_out_ns, row.ip_bytes)
