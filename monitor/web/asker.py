"""Who asks: a program by its token, a person by a session or a trusted proxy's word, a wall screen, or nobody."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import Request

from monitor.access.roles import Asker, How, Role
from monitor.access.sessions import seen
from monitor.access.tokens import ApiToken, used
from monitor.centre import Centre
from monitor.devices import hashed
from monitor.settings import is_loopback
from monitor.store.protocol import StoreUnavailable
from monitor.web.peers import address_of, cookie_of, proxy_user
from monitor.web.problem import Problem
from monitor.web.who import ASK_FOR_TOKEN, bearer, is_on_this_machine

log = logging.getLogger(__name__)


async def find_asker(request: Request, centre: Centre) -> Asker | None:
    """By API token, by the word of a trusted proxy, by cookie, else by open reading.

    Raises:
        Problem: 401, the token is not known; 403, the proxy names somebody who has no account.
    """
    address = address_of(request, centre)
    if request.headers.get("authorization", "").partition(" ")[0].lower() == "bearer":
        return await _by_token(bearer(request), centre, address)
    name = proxy_user(request, centre)
    if name is not None:
        return _by_proxy(name, centre, address)
    secret = cookie_of(request, centre)
    found = await _by_cookie(hashed(secret), centre, address) if secret else None
    return found or _open_reader(request, centre, address)


async def _by_token(secret: str, centre: Centre, address: str) -> Asker:
    proof = hashed(secret)
    found = centre.access.token(proof, centre.clock.real_ms())
    if found is None:
        await centre.reload()  # a command may have made it this very second
        found = centre.access.token(proof, centre.clock.real_ms())
    if found is None:
        raise Problem(
            401, "The API token is not known; make one with `diemcau-monitor users token NAME`.", ASK_FOR_TOKEN
        )
    await _keep_use(found, centre)
    return Asker(found.name, found.role, How.TOKEN, found.sites, address=address, proof=proof)


def _by_proxy(name: str, centre: Centre, address: str) -> Asker:
    user = centre.access.user(name)
    if user is None:
        raise Problem(403, f"{name[:80]!r} has no account here; ask an administrator of the centre.")
    return Asker(user.name, user.role, How.PROXY, user.sites, address=address)


async def _by_cookie(proof: str, centre: Centre, address: str) -> Asker | None:
    """Who a browser's cookie stands for: a session, or the token of a wall screen."""
    now = centre.clock.real_ms()
    session = centre.access.session(proof, now, centre.idle_ms)
    if session is not None:
        if centre.access.see(session, now):
            await _keep(centre, lambda connection: seen(connection, session.id, now))
        user = centre.access.users[session.user]
        return Asker(user.name, user.role, How.SESSION, user.sites, session.id, address, proof)
    token = centre.access.token(proof, now)
    if token is None or token.role is not Role.KIOSK:
        return None
    await _keep_use(token, centre)
    return Asker(token.name, Role.KIOSK, How.SESSION, address=address, proof=proof)


async def _keep_use(token: ApiToken, centre: Centre) -> None:
    now = centre.clock.real_ms()
    if centre.access.use(token, now):
        await _keep(centre, lambda connection: used(connection, token.name, now))


async def _keep(centre: Centre, change: Callable[[sqlite3.Connection], None]) -> None:
    try:
        await centre.store.change(change)
    except StoreUnavailable:
        log.debug("When somebody was here last is not written down: the store takes nothing now.")


def still_holds(asker: Asker, centre: Centre) -> bool:
    """Whether somebody who is being answered for a long time could still begin to ask, in the same role."""
    now, access = centre.clock.real_ms(), centre.access
    if asker.how is How.OPEN:
        return True
    if asker.session is None and asker.proof:
        token = access.token(asker.proof, now)
        return token is not None and (token.role, token.sites) == (asker.role, asker.sites)
    if asker.session is not None and access.session(asker.proof, now, centre.idle_ms) is None:
        return False
    user = access.user(asker.name)
    return user is not None and (user.role, user.sites) == (asker.role, asker.sites)


def _open_reader(request: Request, centre: Centre, address: str) -> Asker | None:
    rule = centre.settings.access.open_reading
    here = rule == "loopback" and is_on_this_machine(request) and _calls_itself_here(request)
    return Asker("", Role.VIEWER, How.OPEN, address=address) if here or rule == "everybody" else None


def _calls_itself_here(request: Request) -> bool:
    """A page from elsewhere whose name was bent to this machine (DNS rebinding) still sends its own Host."""
    try:
        return is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")
    except ValueError:
        return False
