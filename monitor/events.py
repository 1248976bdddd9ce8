"""Server-sent events: each is encoded once for all who listen; a listener that cannot keep up is let go.

Verdicts carry an id and stay in a bounded ring, so that a page which lost its feed asks for what it missed
(`Last-Event-ID`). Readings do not: the next one is newer.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

RING = 4_096
WAITING = 256
"""Events a listener may be behind."""
HEARTBEAT_S = 2.0
"""A page greys itself when nothing came for twice as long. A comment would do for a proxy; a page cannot see one."""

_encode = msgspec.json.Encoder().encode


@dataclass(eq=False, slots=True)
class Listener:
    """One open page.

    Attributes:
        site: the one it wants every reading of; None for the wall's selection of all.
        may_see: the sites it is told of at all; None: every site.
    """

    site: str | None
    may_see: frozenset[str] | None = None
    waiting: deque[bytes] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    slow: bool = False

    def hears(self, site: str | None) -> bool:
        """Whether it is told the readings of a site, or (None) those of the wall."""
        return self.site == site and (site is not None or self.may_see is None)


class Events:
    """The one place where events are published and listened to."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._run = secrets.token_hex(4)
        self._number = 0
        self._ring: deque[tuple[int, bytes, frozenset[str] | None]] = deque(maxlen=RING)
        self.dropped_listeners = 0
        self.closed = False

    @property
    def listening(self) -> int:
        return len(self._listeners)

    def wants_readings(self, site: str | None) -> bool:
        return any(listener.hears(site) for listener in self._listeners)

    def kept(self) -> list[bytes]:
        """The events a page could still ask for."""
        return [event for _, event, _ in self._ring]

    def publish(self, name: str, data: Any, about: frozenset[str] | None = None) -> None:
        """To everybody who may see one of the sites it is about (None: all), with an id, kept in the ring."""
        self._number += 1
        event = b"id: %b.%d\n" % (self._run.encode(), self._number) + _event(name, data)
        self._ring.append((self._number, event, about))
        for listener in list(self._listeners):
            if _concerns(about, listener.may_see):
                self._hand(listener, event)

    def publish_readings(self, data: Any, site: str | None) -> None:
        """To those who listen to `site` (None: to the wall, by somebody who may see all of it), not kept."""
        event = _event("reading", data)
        for listener in [each for each in self._listeners if each.hears(site)]:
            self._hand(listener, event)

    def _hand(self, listener: Listener, event: bytes) -> None:
        if len(listener.waiting) >= WAITING:
            self._listeners.discard(listener)
            self.dropped_listeners += 1
            listener.slow = listener.closed = True
        else:
            listener.waiting.append(event)
        listener.wake.set()

    async def listen(
        self,
        time_now: Callable[[], dict[str, Any]],
        last_id: str | None,
        site: str | None,
        may_see: frozenset[str] | None = None,
        holds: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[bytes]:
        """The bytes of one page's feed, until it leaves, falls behind, may listen no more or the centre stops.

        Args:
            time_now: the centre's time, which the greeting and each beat carry.
            may_see: the sites it is told of; None: every site.
            holds: whether the page may still listen; asked at every event and beat.
        """
        listener = Listener(site, may_see)
        missed = self._since(last_id, may_see)
        self._listeners.add(listener)
        try:
            hello = _event("hello", {**time_now(), "resumed": missed is not None})
            yield b"".join((b"retry: 2000\n", hello, *(missed or ())))
            while not listener.closed and not self.closed:
                if not holds():
                    yield _event("end", {"detail": "The login is over; log in again."})
                    return
                try:
                    await asyncio.wait_for(listener.wake.wait(), HEARTBEAT_S)
                except TimeoutError:
                    yield _event("beat", time_now())
                    continue
                listener.wake.clear()
                chunk = b"".join(listener.waiting)
                listener.waiting.clear()
                if chunk:
                    yield chunk
            if listener.slow:
                yield _event("bye", {"detail": f"This page was {WAITING} events behind and is let go; load it again."})
        finally:
            self._listeners.discard(listener)

    def _since(self, last_id: str | None, may_see: frozenset[str] | None) -> list[bytes] | None:
        """The events after an id; None when they are no longer all there."""
        run, _, number = (last_id or "").partition(".")
        if run != self._run or not number.isdigit() or int(number) > self._number:
            return None
        first = self._ring[0][0] if self._ring else self._number + 1
        if int(number) + 1 < first:
            return None
        return [event for each, event, about in self._ring if each > int(number) and _concerns(about, may_see)]

    def close(self) -> None:
        """Let every listener go: the centre is stopping."""
        self.closed = True
        for listener in self._listeners:
            listener.closed = True
            listener.wake.set()
        self._listeners.clear()


def _concerns(about: frozenset[str] | None, may_see: frozenset[str] | None) -> bool:
    return about is None or may_see is None or not about.isdisjoint(may_see)


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(data))
