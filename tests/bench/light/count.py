"""Counts IP bytes by port and direction at one interface until its stdin closes, then prints them: `... IFNAME`."""

from __future__ import annotations

import json
import select
import socket
import sys
from collections import Counter

ETH_P_ALL = 3
PACKET_OUTGOING = 4
IP_PROTOCOLS = {6: "tcp", 17: "udp"}


def key_of(packet: bytes, is_out: bool) -> str | None:
    """e.g. `udp 8620 out`: the far end's port; None for what is neither TCP nor UDP over IPv4."""
    if len(packet) < 28 or packet[0] >> 4 != 4 or packet[9] not in IP_PROTOCOLS:
        return None
    ports = packet[(packet[0] & 15) * 4 :]
    far = ports[2:4] if is_out else ports[0:2]
    return f"{IP_PROTOCOLS[packet[9]]} {int.from_bytes(far)} {'out' if is_out else 'in'}"


def main() -> None:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    tap.bind((sys.argv[1], ETH_P_ALL))
    tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    counted: Counter[str] = Counter()
    print("counting", flush=True)
    while True:
        ready, _, _ = select.select([tap, sys.stdin], [], [])
        if sys.stdin in ready:
            break
        packet, address = tap.recvfrom(65536)
        key = key_of(packet, address[2] == PACKET_OUTGOING)
        if key is not None:
            counted[key] += int.from_bytes(packet[2:4])
    print(json.dumps(counted))


if __name__ == "__main__":
    main()
