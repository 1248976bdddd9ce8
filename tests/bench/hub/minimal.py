"""The plain reflector that ours is held against: one call per packet, kernel stamp, TTL and TOS, no state, no rule."""

from __future__ import annotations

import socket
import struct
import sys
import time

REPLY = struct.Struct("!IQHHQIQHxxBxxx")
HEAD = struct.Struct("!IQHH")
STAMP = struct.Struct("@ll")
EPOCH = 2_208_988_800


def ntp(seconds: int, ns: int) -> int:
    return seconds + EPOCH << 32 | (ns << 32) // 1_000_000_000


def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[1]))
    sock.setblocking(True)
    rseq = 0
    while True:
        data, ancillary, _, address = sock.recvmsg(2048, 256)
        t2, ttl = 0, 0
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == 35:
                t2 = ntp(*STAMP.unpack(value))
            elif level == socket.IPPROTO_IP and kind == 2:
                ttl = value[0]
        seq, t1, error, ssid = HEAD.unpack_from(data)
        t3 = ntp(*divmod(time.time_ns(), 1_000_000_000))
        sock.sendto(REPLY.pack(rseq, t3, 1, ssid, t2, seq, t1, error, ttl), address)
        rseq += 1


main()
