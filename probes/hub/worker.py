"""One process that answers packets: no event loop, no thread, no allocation that outlives a turn.

Started by the supervisor with its sockets open; ends when its stdin does.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time

import msgspec

from probes.hub.mmsg import BatchPort, has_mmsg
from probes.hub.plain import PlainPort
from probes.hub.presence import Presence
from probes.hub.talk import HubSite, Start, Status, senders_of
from probes.hub.waits import Waits
from probes.link.admit import Senders
from probes.link.packet import error_estimate
from probes.link.reflect import Reflector
from probes.timex import clock_error_s

TICK_NS = 250_000_000
STATUS_EVERY_TICKS = 4
CLOCK_EVERY_TICKS = 64
MAX_LINE_BYTES = 16 << 20


class Worker:
    """Sockets in, statuses out."""

    def __init__(self, start: Start, more: bytes, stdin: int, stdout: int) -> None:
        self._near = start.near
        self._reflector = Reflector(
            Senders(senders_of(start.sites)[0], start.near),
            frozenset(start.own_ports),
            start.packets_per_second,
            start.sessions,
            start.source_pps,
            start.clock_window_s,
        )
        self._waits = Waits()
        kind = BatchPort if start.batches and has_mmsg() else PlainPort
        sockets = [socket.socket(fileno=fd) for fd in start.fds]
        self._ports = {each.fileno(): kind(each, self._reflector, self._waits.add) for each in sockets}
        self._stdin, self._stdout = stdin, stdout
        self._heard_in = self._to_say = b""
        self._presence = Presence()
        self._ticks = self._sessions = 0
        self._take(more)

    def run(self) -> None:
        """Until stdin ends."""
        poll = select.poll()
        for fd in (*self._ports, self._stdin):
            poll.register(fd, select.POLLIN)
        due_ns = time.monotonic_ns()
        while True:
            now_ns = time.monotonic_ns()
            if now_ns >= due_ns:
                self._tick(now_ns)
                due_ns = now_ns + TICK_NS
            for fd, _ in poll.poll((due_ns - now_ns) // 1_000_000 + 1):
                port = self._ports.get(fd)
                if port is not None:
                    port.turn(time.monotonic_ns())
                elif not self._listen():
                    return

    def _tick(self, now_ns: int) -> None:
        self._ticks += 1
        full = self._ticks % STATUS_EVERY_TICKS == 1
        if self._ticks % CLOCK_EVERY_TICKS == 1:
            self._reflector.error_estimate = error_estimate(clock_error_s())
        if full:
            self._sessions = self._reflector.expire(now_ns)
        if not self._to_say:  # a supervisor that does not read gets one line, and later all changes in one
            came, went = self._presence.update(self._reflector.heard(), now_ns)
            if full or came or went:
                self._to_say = self._status(came, went)
        self._flush()

    def _status(self, came: set[str], went: set[str]) -> bytes:
        reflector, waits = self._reflector, self._waits.take()
        status = Status(
            reflector.answered, reflector.refused, self._sessions, waits, list(came), list(went), time.process_time()
        )
        return msgspec.json.encode(status) + b"\n"

    def _flush(self) -> None:
        try:
            while self._to_say:
                self._to_say = self._to_say[os.write(self._stdout, self._to_say) :]
        except BlockingIOError:
            pass

    def _listen(self) -> bool:
        """Take the renewed lists of sites that have come in whole; False when the supervisor is gone."""
        try:
            piece = os.read(self._stdin, 1 << 16)
        except BlockingIOError:
            return True
        if not piece or len(self._heard_in) > MAX_LINE_BYTES:
            return False
        self._take(piece)
        return True

    def _take(self, piece: bytes) -> None:
        *lines, self._heard_in = (self._heard_in + piece).split(b"\n")
        if lines:
            sites = msgspec.json.decode(lines[-1], type=list[HubSite])
            self._reflector.know(Senders(senders_of(sites)[0], self._near))


def _first_line(stdin: int) -> tuple[bytes, bytes]:
    """The first line, and what came after it in the same breath; empty when the supervisor died before."""
    heard = b""
    while b"\n" not in heard:
        piece = os.read(stdin, 1 << 16)
        if not piece or len(heard) > MAX_LINE_BYTES:
            return b"", b""
        heard += piece
    first, _, rest = heard.partition(b"\n")
    return first, rest


def main() -> None:
    """`python -m probes.hub.worker`: the first line of stdin says what to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to hear
    stdin, stdout = sys.stdin.fileno(), sys.stdout.fileno()
    first, rest = _first_line(stdin)
    if not first:
        return
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    worker = Worker(msgspec.json.decode(first, type=Start), rest, stdin, stdout)
    gc.collect()
    gc.freeze()
    try:
        worker.run()
    except BrokenPipeError:  # the supervisor died
        sys.stderr.close()


if __name__ == "__main__":
    main()
