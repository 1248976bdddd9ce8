"""A plain UDP stream through a link: numbered packets at one end, who arrived when at the other.

Two small programs (`python -m tests.world.stream send|receive ...`) run inside the namespaces; `send_through` starts
both. The receiver ends when its stdin closes: once the link is empty, all that will ever come waits in its socket.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple

from tests.world.link import Link, Namespace

SO_TIMESTAMPNS = 35  # Python has no names for these two
SO_RCVBUFFORCE = 33
PORT = 9000


class Arrival(NamedTuple):
    """A packet as the receiving socket saw it."""

    seq: int
    t_ns: int
    """The kernel's receive stamp."""
    dscp: int
    size: int


def send_through(
    link: Link,
    count: int,
    *,
    gap_us: float = 200,
    size: int = 100,
    dscp: int = 0,
    ipv6: bool = False,
    back: bool = False,
) -> list[Arrival]:
    """Send `count` packets of `size` UDP payload bytes from a to b (`back`: from b to a); what arrived, in order."""
    here, there = (link.b, link.a) if back else (link.a, link.b)
    addresses = (link.a_ip6, link.b_ip6) if ipv6 else (link.a_ip, link.b_ip)
    target = addresses[0 if back else 1]
    receiver = _program(there, "receive", target, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert receiver.stdout is not None
        assert receiver.stdout.readline() == "ready\n"
        sender = _program(here, "send", target, str(count), str(gap_us), str(size), str(dscp))
        assert sender.wait(timeout=120) == 0
        link.settle()
        arrivals = json.loads(receiver.communicate(timeout=120)[0])
    finally:
        receiver.kill()
        receiver.wait()
    return [Arrival(*fields) for fields in arrivals]


def _program(space: Namespace, *words: str, **pipes: Any) -> subprocess.Popen[str]:
    return space.start(sys.executable, "-m", "tests.world.stream", *words, **pipes)


def _socket(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def send(address: str, count: int, gap_us: float, size: int, dscp: int) -> None:
    """Packets the device refuses (over its MTU) count as sent and lost."""
    with _socket(address) as out:
        if ":" in address:
            out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
        else:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        start = time.perf_counter()
        for seq in range(count):
            out.sendto(struct.pack("!I", seq).ljust(size, b"\0"), (address, PORT))
            time.sleep(max(0.0, start + (seq + 1) * gap_us / 1e6 - time.perf_counter()))


def receive(address: str) -> list[Arrival]:
    with _socket(address) as inward:
        inward.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        inward.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        if ":" in address:
            inward.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        else:
            inward.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        inward.bind((address, PORT))
        inward.setblocking(False)
        print("ready", flush=True)
        arrivals: list[Arrival] = []
        ended = False
        while not ended:
            ended = sys.stdin in select.select([inward, sys.stdin], [], [])[0]
            with suppress(BlockingIOError):
                while True:
                    arrivals.append(_arrival(*inward.recvmsg(65535, 256)[:2]))
        return arrivals


def _arrival(data: bytes, ancillary: list[tuple[int, int, bytes]]) -> Arrival:
    t_ns = dscp = 0
    for _level, kind, value in ancillary:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", value)
            t_ns = seconds * 1_000_000_000 + nanoseconds
        elif kind in (socket.IP_TOS, socket.IPV6_TCLASS):
            dscp = value[0] >> 2
    return Arrival(int.from_bytes(data[:4], "big"), t_ns, dscp, len(data))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("do", choices=("send", "receive"))
    parser.add_argument("address")
    parser.add_argument("numbers", nargs="*", type=float, help="count, gap in µs, size, DSCP")
    asked = parser.parse_args()
    if asked.do == "receive":
        print(json.dumps(receive(asked.address)))
    else:
        count, gap_us, size, dscp = asked.numbers
        send(asked.address, int(count), gap_us, int(size), int(dscp))


if __name__ == "__main__":
    main()
