"""Coming in and going out: login, one-time links, wall screens, and what somebody may do with the own account."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from monitor.access.audit import Deed, by, note
from monitor.access.passwords import is_right
from monitor.access.people import good_password, set_password, user_of_link
from monitor.access.roles import Asker, How, Role
from monitor.access.sessions import begin_session, end_session, end_sessions, is_familiar
from monitor.access.tokens import AccessError, Unknown, Void
from monitor.access.tries import PAIR, Keys, keys_of
from monitor.centre import HOUR_MS, Centre
from monitor.devices import hashed
from monitor.web.asker import find_asker
from monitor.web.bodies import body_of, gives, takes
from monitor.web.devices_api import json_answer
from monitor.web.guard import asker_of, needs, open_to_all, refuse_foreign_pages
from monitor.web.peers import KIOSK_COOKIE_S, address_of, cookie_of, drop_cookie, set_cookie
from monitor.web.problem import Problem

AT_ONCE = 2
"""Passwords checked at a time: each takes 64 MiB."""
WAITING = 20
WRONG = "The name or the password is wrong."
Result = TypeVar("Result")
NO_STORE = {"Cache-Control": "no-store"}
ME = {"name": "an.nguyen", "shown": "Nguyễn Văn An", "role": "operator", "sites": None, "how": "session"}
SESSION = {
    "id": "5f0c2a91d3b7e604", "user": "an.nguyen", "created_at": 1795468800000, "seen_at": 1795470000000,
    "expires_at": 1795526400000, "address": "10.31.0.7", "agent": "Mozilla/5.0", "this": True,
}  # fmt: skip


class Login(msgspec.Struct):
    name: str
    password: str


class Join(msgspec.Struct):
    code: str
    password: str


class Kiosk(msgspec.Struct):
    key: str


class NewPassword(msgspec.Struct):
    old: str
    new: str


@contextmanager
def told() -> Iterator[None]:
    """What cannot be done to accounts, tokens and sessions as an answer."""
    try:
        yield
    except Unknown as error:
        raise Problem(404, str(error)) from error
    except Void as error:
        raise Problem(410, str(error)) from error
    except AccessError as error:
        raise Problem(422, str(error)) from error


class Door:
    """Checks passwords: few at a time, and each failure makes the next try wait."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def check(self, name: str, password: str, address: str) -> bool:
        """Whether it is the password of an open account.

        Raises:
            Problem: 429, after too many failures; 503, too many are trying at this moment.
        """
        now = self._centre.clock.real_ms()
        familiar = await self._centre.store.read(lambda connection: is_familiar(connection, name, address))
        keys = keys_of(name, address, familiar)
        counts = self.count(keys, now)
        user = self._centre.access.user(name)
        right = await self._is_right(password, user.password if user else None)
        if right:
            self._centre.tries.forgive(keys)
        begins = not right and PAIR.free in (counts[key] for key, rule in keys.items() if rule is PAIR)
        known = user.name if user else "?"  # what was typed as a name may be a password
        await self.keep(keys, now, Deed("nobody", "login.throttled", known, address) if begins else None)
        return right

    def count(self, keys: Keys, now: int) -> dict[str, int]:
        """Count a try, or refuse it. Raises `Problem` 429."""
        wait_ms = self._centre.tries.wait_ms(keys, now)
        if wait_ms > 0:
            seconds = wait_ms // 1000 + 1
            raise Problem(
                429, f"Too many failed tries; try again in {seconds} s.", {"Retry-After": str(seconds), **NO_STORE}
            )
        return self._centre.tries.count(keys, now)

    async def keep(self, keys: Keys, now: int, deed: Deed | None = None) -> None:
        def change(connection: sqlite3.Connection) -> None:
            self._centre.tries.keep(connection, keys, now)
            if deed is not None:
                note(connection, deed, now)

        await self._centre.store.change(change)

    async def _is_right(self, password: str, stored: str | None) -> bool:
        return await self.in_turn(lambda: is_right(password, stored))

    async def in_turn(self, work: Callable[[], Result]) -> Result:
        """Run what argon2 does in a thread. Raises `Problem` 503 when too many wait."""
        if self._waiting >= WAITING:
            raise Problem(503, "Too many are logging in at this moment; try again.", {"Retry-After": "5"})
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def login_api(centre: Centre) -> APIRouter:
    """The routes of the login page, of links and of the own account."""
    router = APIRouter(prefix="/api/v1", tags=["login"])
    door = Door(centre)

    @router.post(
        "/login",
        dependencies=[open_to_all()],
        summary="Log in; the answer sets the session's cookie",
        openapi_extra=takes(Login, {"name": "an.nguyen", "password": "…"}),
        responses=gives(200, {"name": "an.nguyen", "role": "operator"}),
    )
    async def login(request: Request) -> Response:
        refuse_foreign_pages(request, centre)
        said = await body_of(request, Login)
        name, address = said.name.strip().lower(), address_of(request, centre)
        if not await door.check(name, said.password, address):
            raise Problem(401, WRONG, NO_STORE)
        return await _come_in(request, centre, name)

    @router.post(
        "/join",
        dependencies=[open_to_all()],
        summary="Set the password of an account by a one-time link, and log in",
        openapi_extra=takes(Join, {"code": "…", "password": "…"}),
        responses=gives(200, {"name": "an.nguyen", "role": "operator"}),
    )
    async def join(request: Request) -> Response:
        refuse_foreign_pages(request, centre)
        said, now, address = await body_of(request, Join), centre.clock.real_ms(), address_of(request, centre)
        keys = keys_of(None, address, False)
        door.count(keys, now)
        with told():
            user = await centre.store.read(lambda connection: user_of_link(connection, said.code, now))
            centre.tries.forgive(keys)
            stored = await door.in_turn(lambda: good_password(said.password, user.name))

            def change(connection: sqlite3.Connection) -> None:
                set_password(connection, user_of_link(connection, said.code, now).name, stored, now)
                note(connection, Deed(f"user:{user.name}", "password.set", user.name, address), now)

            await centre.store.change(change)
        await centre.reload()
        return await _come_in(request, centre, user.name)

    @router.post(
        "/kiosk",
        dependencies=[open_to_all()],
        summary="Make this browser a wall screen by the key of its link",
        openapi_extra=takes(Kiosk, {"key": "…"}),
        responses=gives(200, {"name": "Phòng họp 1", "role": "kiosk"}),
    )
    async def kiosk(request: Request) -> Response:
        refuse_foreign_pages(request, centre)
        said, now = await body_of(request, Kiosk), centre.clock.real_ms()
        keys = keys_of(None, address_of(request, centre), False)
        door.count(keys, now)
        await centre.reload()
        token = centre.access.token(hashed(said.key), now)
        if token is None or token.role is not Role.KIOSK:
            raise Problem(401, "This link of a wall screen is not good any more; ask an operator for another.")
        centre.tries.forgive(keys)
        response = json_answer({"name": token.name, "role": token.role}, NO_STORE)
        set_cookie(response, request, centre, said.key, KIOSK_COOKIE_S)
        return response

    @router.get("/me", dependencies=[open_to_all()], summary="Who asks, and what they may do", responses=gives(200, ME))
    async def me(request: Request) -> Response:
        asker = await find_asker(request, centre)
        return json_answer(me_view(centre, asker), NO_STORE)

    @router.post("/logout", status_code=204, dependencies=[needs(Role.KIOSK, sifts=True)], summary="End this session")
    async def logout(request: Request) -> Response:
        asker, now = asker_of(request), centre.clock.real_ms()
        if asker.session is not None:
            id = asker.session
            with told():
                await centre.store.change(lambda connection: end_session(connection, id, asker.name, now))
            await centre.reload()
        response = Response(status_code=204, headers={"Clear-Site-Data": '"cache"', **NO_STORE})
        drop_cookie(response, request, centre)
        return response

    @router.put(
        "/me/password",
        status_code=204,
        dependencies=[needs(Role.VIEWER, named=True, sifts=True)],
        summary="Change the own password; other sessions end",
        openapi_extra=takes(NewPassword, {"old": "…", "new": "…"}),
    )
    async def password(request: Request) -> Response:
        asker, now, said = _person(request), centre.clock.real_ms(), await body_of(request, NewPassword)
        if not await door.check(asker.name, said.old, asker.address):
            raise Problem(403, "The old password is wrong.")
        with told():
            stored = await door.in_turn(lambda: good_password(said.new, asker.name))

        def change(connection: sqlite3.Connection) -> None:
            set_password(connection, asker.name, stored, now)
            note(connection, by(asker, "password.changed", asker.name), now)

        await centre.store.change(change)
        await centre.reload()
        response = Response(status_code=204, headers=NO_STORE)
        await _begin(request, response, centre, asker.name)
        return response

    @router.get(
        "/me/sessions",
        dependencies=[needs(Role.VIEWER, named=True, sifts=True)],
        summary="The own open sessions",
        responses=gives(200, {"sessions": [SESSION]}),
    )
    async def own_sessions(request: Request) -> Response:
        asker = _person(request)
        return json_answer({"sessions": sessions_view(centre, asker.name, asker.session)})

    @router.delete(
        "/me/sessions/{id}",
        status_code=204,
        dependencies=[needs(Role.VIEWER, named=True, sifts=True)],
        summary="End one of the own sessions; `others`: all but this one",
    )
    async def end_own(request: Request, id: str) -> Response:
        asker, now = _person(request), centre.clock.real_ms()

        def change(connection: sqlite3.Connection) -> None:
            if id == "others":
                end_sessions(connection, asker.name, now, asker.session)
            else:
                end_session(connection, id, asker.name, now)
            note(connection, by(asker, "session.ended", id[:64]), now)

        with told():
            await centre.store.change(change)
        await centre.reload()
        return Response(status_code=204)

    return router


def me_view(centre: Centre, asker: Asker | None) -> dict[str, Any]:
    """Who asks as pages are told; without a name and a role for somebody who must log in first."""
    if asker is None:
        return {"name": None, "shown": None, "role": None, "sites": None, "how": None}
    user = centre.access.users.get(asker.name) if asker.how in (How.SESSION, How.PROXY) else None
    return {
        "name": asker.name or None,
        "shown": user.shown if user else asker.name or None,
        "role": asker.role,
        "sites": None if asker.sites is None else sorted(asker.sites),
        "how": asker.how,
    }


def sessions_view(centre: Centre, user: str, this: str | None = None) -> list[dict[str, Any]]:
    now = centre.clock.real_ms()
    return [
        {**session.told(), "seen_at": centre.access.seen_at(session), "this": session.id == this}
        for session in centre.access.sessions_of(user, now, centre.idle_ms)
    ]


def _person(request: Request) -> Asker:
    """Who asks, if it is a person: a token has no sessions and no password."""
    asker = asker_of(request)
    if asker.how is How.TOKEN:
        raise Problem(403, "This is about a person's account; an API token has none.")
    return asker


async def _come_in(request: Request, centre: Centre, name: str) -> Response:
    """The answer to whoever has logged in."""
    response = json_answer({"name": name, "role": centre.access.users[name].role}, NO_STORE)
    await _begin(request, response, centre, name)
    return response


async def _begin(request: Request, response: Response, centre: Centre, name: str) -> None:
    """A new session for the account, its cookie on the response; the one this browser had before ends."""
    now = centre.clock.real_ms()
    address, agent = address_of(request, centre), request.headers.get("user-agent", "")
    good_for_ms = int(centre.settings.access.session_hours * HOUR_MS)
    secret = cookie_of(request, centre)
    before = centre.access.session(hashed(secret), now, centre.idle_ms) if secret else None

    def change(connection: sqlite3.Connection) -> str:
        if before is not None:
            connection.execute("UPDATE sessions SET ended_at = ? WHERE id = ? AND ended_at IS NULL", (now, before.id))
        session, fresh = begin_session(connection, name, now, good_for_ms, address, agent)
        note(connection, Deed(f"user:{name}", "login", name, address, after={"session": session.id}), now)
        return fresh

    fresh = await centre.store.change(change)
    await centre.reload()
    set_cookie(response, request, centre, fresh, good_for_ms // 1000)
