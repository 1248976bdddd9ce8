"""The list of sites a hub answers: asked from the centre, kept on disk for when the centre is away."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import msgspec

from probes.centre import UNREACHABLE, Centre, Reply
from probes.clock import Clock
from probes.files import write_whole
from probes.hub.talk import HubSite, senders_of

REFRESH_S = (30.0, 60.0)
"""Drawn anew each time, so that two hubs do not ask together for ever."""
RETRY_S = (3.0, 6.0)
"""While there is no list at all."""
log = logging.getLogger(__name__)

Know = Callable[[list[HubSite]], Awaitable[None]]


class Kept(msgspec.Struct, frozen=True):
    """The last list, and the centre's name for it (ETag)."""

    etag: str | None
    sites: list[HubSite]


class SiteList:
    """The list in force. The file holds keys: it is readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _read(path)
        self._trouble = ""

    @property
    def sites(self) -> list[HubSite]:
        return self._kept.sites

    async def refresh(self, centre: Centre, know: Know) -> None:
        """Ask the centre once; a list that cannot be had or read leaves the old one in force."""
        reply = await centre.get_hub_sites(self._kept.etag)
        match reply.status:
            case 200:
                await self._take(reply, know)
            case 304:
                self._say("")
            case _:
                self._say(f"The centre gave no list of sites ({_why(reply)}); the last one stays in force.")

    async def _take(self, reply: Reply, know: Know) -> None:
        try:
            sites = msgspec.json.decode(reply.body, type=list[HubSite])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._say(f"The centre's list of sites cannot be read ({error}); the last one stays in force.")
            return
        self._kept = Kept(reply.etag, sites)
        for fault in senders_of(sites)[1]:
            log.error("%s", fault)
        self._say("")
        await know(sites)
        _write(self._path, self._kept)

    def _say(self, trouble: str) -> None:
        """Once, not every minute."""
        if trouble and trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble

    async def keep_fresh(self, centre: Centre, know: Know, clock: Clock, random: Random) -> None:
        """Ask now and then until cancelled."""
        while True:
            await self.refresh(centre, know)
            await clock.sleep(random.uniform(*(REFRESH_S if self._kept.etag or self._kept.sites else RETRY_S)))


def _why(reply: Reply) -> str:
    return reply.text or ("no answer" if reply.status == UNREACHABLE else f"status {reply.status}")


def _read(path: Path) -> Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return Kept(None, [])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("The kept list of sites %s cannot be read (%s); it will be asked anew.", path, error)
        return Kept(None, [])


def _write(path: Path, kept: Kept) -> None:
    try:
        write_whole(path, msgspec.json.encode(kept))
    except OSError as error:
        log.error("The list of sites cannot be kept in %s (%s): after a restart the hub needs the centre.", path, error)
