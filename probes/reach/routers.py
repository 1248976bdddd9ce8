"""Which routers to ask, by the centre's list of sites: asked for now and then, kept on disk for when it is away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec

from probes.centre import Centre
from probes.clock import Clock
from probes.files import write_whole
from probes.reach.measure import Router, router_of

REFRESH_S = (240.0, 300.0)
RETRY_S = (3.0, 6.0)
"""While there is no list at all."""
log = logging.getLogger(__name__)

Know = Callable[[Sequence[Router]], None]


class Listed(msgspec.Struct, frozen=True):
    """What of a site matters here; the centre tells more."""

    id: str
    router: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    sites: list[Listed]


class _Kept(msgspec.Struct, frozen=True):
    etag: str | None
    sites: list[Listed]


class RouterList:
    """The centre's list, and its copy on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = _read(path)
        self._trouble = ""

    @property
    def routers(self) -> list[Router]:
        return routers_of(self._kept.sites)

    async def keep_fresh(self, centre: Centre, know: Know, clock: Clock, random: Random) -> None:
        """Ask now and then until cancelled; a list that cannot be had or read leaves the old one in force."""
        while True:
            await self._refresh(centre, know)
            await clock.sleep(random.uniform(*(REFRESH_S if self._kept.sites else RETRY_S)))

    async def _refresh(self, centre: Centre, know: Know) -> None:
        reply = await centre.get_sites(self._kept.etag)
        trouble = ""
        if reply.status == 200:
            try:
                listed = msgspec.json.decode(reply.body, type=_Answer).sites
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                trouble = f"The centre's list of sites cannot be read ({error}); the last one stays in force."
            else:
                self._kept = _Kept(reply.etag, listed)
                know(self.routers)
                _write(self._path, self._kept)
        elif reply.status != 304:
            why = reply.text or f"status {reply.status}"
            trouble = f"The centre gave no list of sites ({why}); the last one stays in force."
        if trouble and trouble != self._trouble:
            log.warning("%s", trouble)
        self._trouble = trouble


def routers_of(sites: Sequence[Listed]) -> list[Router]:
    """The routers that can be asked; a site whose router cannot be read is named in the log and left out."""
    found = []
    for each in sites:
        if each.router:
            try:
                found.append(router_of(each.id, each.router))
            except ValueError as error:
                log.error("%s", error)
    return found


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except FileNotFoundError:
        return _Kept(None, [])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("The kept list of sites %s cannot be read (%s); it will be asked anew.", path, error)
        return _Kept(None, [])


def _write(path: Path, kept: _Kept) -> None:
    try:
        write_whole(path, msgspec.json.encode(kept))
    except OSError as error:
        log.error("The list of sites cannot be kept in %s (%s): after a restart the centre is needed.", path, error)
