"""Accounts, API tokens, wall screens and the audit log over HTTP: what administrators and operators set."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Query, Request
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from monitor.access.audit import Deed, by, deeds
from monitor.access.people import add_user, change_user, link_path, new_link, user_named
from monitor.access.roles import Asker, Role
from monitor.access.sessions import end_sessions
from monitor.access.tokens import ApiToken, check_kiosk, end_api_token, new_api_token
from monitor.centre import HOUR_MS, Centre
from monitor.web.bodies import body_of, gives, takes
from monitor.web.deeds import Reason, Why, do
from monitor.web.devices_api import json_answer
from monitor.web.guard import asker_of, needs
from monitor.web.login_api import NO_STORE, SESSION, sessions_view, told

MOST = 500
Result = TypeVar("Result")
SiteIds = Annotated[list[str], msgspec.Meta(max_length=500)]

USER = {
    "name": "an.nguyen", "shown": "Nguyễn Văn An", "role": "technician", "sites": ["31-11329"], "has_password": True,
    "password_at": 1795468800000, "created_at": 1795400000000, "disabled_at": None,
}  # fmt: skip
TOKEN = {
    "name": "grafana", "role": "viewer", "sites": None, "created_at": 1795468800000, "expires_at": None,
    "used_at": 1795470000000, "made_by": "user:admin",
}  # fmt: skip
DEED = {
    "id": 12, "at": 1795468800000, "who": "user:admin", "address": "10.31.0.7", "action": "user.changed",
    "target": "an.nguyen", "reason": "chuyển công tác", "before": {"role": "viewer"}, "after": {"role": "technician"},
}  # fmt: skip


class NewUser(msgspec.Struct):
    name: str
    role: Role
    shown: str = ""
    sites: SiteIds | None = None
    reason: Why | None = None


class ChangedUser(msgspec.Struct):
    role: Role | UnsetType = UNSET
    shown: str | UnsetType = UNSET
    sites: SiteIds | UnsetType | None = UNSET
    open: bool | UnsetType = UNSET
    """False closes the account, True opens it again."""
    reason: Why | None = None


class NewToken(msgspec.Struct):
    name: str
    role: Role = Role.VIEWER
    sites: SiteIds | None = None
    expires_at: int | None = None
    reason: Why | None = None


class NewKiosk(msgspec.Struct):
    name: str
    reason: Why | None = None


def access_api(centre: Centre) -> APIRouter:
    """The routes for administrators and, of wall screens, for operators."""
    router = APIRouter()
    for part in (_users, _tokens, _kiosks, _audit):
        router.include_router(part(centre))
    return router


def _users(centre: Centre) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["people"])
    admin = [needs(Role.ADMIN)]

    @router.get("/users", dependencies=admin, summary="Every account", responses=gives(200, {"users": [USER]}))
    async def users() -> Response:
        await centre.reload()
        return json_answer({"users": [user.told() for user in centre.access.users.values()]})

    @router.post(
        "/users",
        status_code=201,
        dependencies=admin,
        summary="Make an account; the answer carries the one-time link by which its password is set",
        openapi_extra=takes(NewUser, {"name": "an.nguyen", "role": "technician", "sites": ["31-11329"]}),
        responses=gives(201, {"user": USER, "link": "/join#an.nguyen/…"}),
    )
    async def make(request: Request) -> Response:
        said, now = await body_of(request, NewUser), centre.clock.real_ms()

        def change(connection: sqlite3.Connection) -> Any:
            user = add_user(connection, said.name, said.role, _sites(said.sites), said.shown, now)
            link = new_link(connection, user.name, now, _link_ms(centre))
            return user.told(), link_path(user.name, link)

        told_user, link = await _do(
            request, centre, change, lambda _: by(asker_of(request), "user.made", said.name, said.reason,
                                                  after={"role": said.role.value, "sites": said.sites})
        )  # fmt: skip
        headers = {"Location": f"/api/v1/users/{quote(said.name)}", **NO_STORE}
        return Response(msgspec.json.encode({"user": told_user, "link": link}), 201, headers, "application/json")

    @router.patch(
        "/users/{name}",
        dependencies=admin,
        summary="Change an account's role, sites or name, close it or open it",
        openapi_extra=takes(ChangedUser, {"role": "operator", "reason": "làm ở trung tâm"}),
        responses=gives(200, USER),
    )
    async def change_one(request: Request, name: str) -> Response:
        said, now = await body_of(request, ChangedUser), centre.clock.real_ms()
        new: dict[str, Any] = {
            key: getattr(said, key) for key in ("role", "shown", "open") if getattr(said, key) is not UNSET
        }
        if said.sites is not UNSET:
            new["sites"] = _sites(said.sites)

        def change(connection: sqlite3.Connection) -> Any:
            before, after = change_user(connection, name, now, **new)
            if after.disabled_at is not None:
                end_sessions(connection, name, now)
            return before.told(), after.told()

        def deed(done: Any) -> Deed:
            before, after = done
            turned = [key for key in after if after[key] != before[key]]
            return by(
                asker_of(request), "user.changed", name, said.reason,
                before={key: before[key] for key in turned}, after={key: after[key] for key in turned},
            )  # fmt: skip

        _, after = await _do(request, centre, change, deed)
        return json_answer(after)

    @router.post(
        "/users/{name}/link",
        dependencies=admin,
        summary="A new one-time link for setting the account's password; earlier ones are void",
        responses=gives(200, {"link": "/join#an.nguyen/…", "expires_at": 1795555200000}),
    )
    async def link(request: Request, name: str, reason: Reason = None) -> Response:
        now = centre.clock.real_ms()
        code = await _do(
            request, centre, lambda connection: new_link(connection, name, now, _link_ms(centre)),
            lambda _: by(asker_of(request), "link.made", name, reason),
        )  # fmt: skip
        return json_answer({"link": link_path(name, code), "expires_at": now + _link_ms(centre)}, NO_STORE)

    @router.get(
        "/users/{name}/sessions",
        dependencies=admin,
        summary="The open sessions of an account",
        responses=gives(200, {"sessions": [SESSION]}),
    )
    async def sessions(request: Request, name: str) -> Response:
        with told():
            await centre.store.read(lambda connection: user_named(connection, name))
        return json_answer({"sessions": sessions_view(centre, name, asker_of(request).session)})

    @router.delete(
        "/users/{name}/sessions",
        status_code=204,
        dependencies=admin,
        summary="End all sessions of an account",
    )
    async def end(request: Request, name: str, reason: Reason = None) -> Response:
        def change(connection: sqlite3.Connection) -> int:
            return end_sessions(connection, user_named(connection, name).name, centre.clock.real_ms())

        await _do(
            request, centre, change,
            lambda ended: by(asker_of(request), "sessions.ended", name, reason, after={"ended": ended}),
        )  # fmt: skip
        return Response(status_code=204)

    return router


def _tokens(centre: Centre) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["tokens"])
    admin = [needs(Role.ADMIN)]

    @router.get(
        "/tokens", dependencies=admin, summary="Every API token, without its secret",
        responses=gives(200, {"tokens": [TOKEN]}),
    )  # fmt: skip
    async def tokens() -> Response:
        await centre.reload()
        return json_answer({"tokens": [_token_view(token) for token in centre.access.tokens()]})

    @router.post(
        "/tokens",
        status_code=201,
        dependencies=admin,
        summary="Make an API token, shown this once; an earlier one of the name is replaced",
        openapi_extra=takes(NewToken, {"name": "grafana", "role": "viewer", "reason": "bảng đo của Sở"}),
        responses=gives(201, {"name": "grafana", "token": "dca_…"}),
    )
    async def make(request: Request) -> Response:
        said = await body_of(request, NewToken)
        return await _make_token(request, centre, said)

    @router.delete("/tokens/{name}", status_code=204, dependencies=admin, summary="Make an API token good for nothing")
    async def end(request: Request, name: str, reason: Reason = None) -> Response:
        return await _end_token(request, centre, name, reason)

    return router


def _kiosks(centre: Centre) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["kiosks"])
    operator = [needs(Role.OPERATOR)]

    @router.get(
        "/kiosks", dependencies=operator, summary="Every wall screen",
        responses=gives(200, {"kiosks": [{**TOKEN, "name": "Phòng họp 1", "role": "kiosk"}]}),
    )  # fmt: skip
    async def kiosks() -> Response:
        await centre.reload()
        screens = [token for token in centre.access.tokens() if token.role is Role.KIOSK]
        return json_answer({"kiosks": [_token_view(token) for token in screens]})

    @router.post(
        "/kiosks",
        status_code=201,
        dependencies=operator,
        summary="A link that makes a browser a wall screen until it is revoked; shown this once",
        openapi_extra=takes(NewKiosk, {"name": "Phòng họp 1"}),
        responses=gives(201, {"name": "Phòng họp 1", "token": "dca_…", "link": "/kiosk#dca_…"}),
    )
    async def make(request: Request) -> Response:
        said = await body_of(request, NewKiosk)
        return await _make_token(request, centre, NewToken(said.name, Role.KIOSK, reason=said.reason))

    @router.delete("/kiosks/{name}", status_code=204, dependencies=operator, summary="End a wall screen")
    async def end(request: Request, name: str, reason: Reason = None) -> Response:
        return await _end_token(request, centre, name, reason)

    return router


def _audit(centre: Centre) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["audit"])

    @router.get(
        "/audit",
        dependencies=[needs(Role.ADMIN)],
        summary="What was changed, by whom and why; the newest first",
        responses=gives(200, {"deeds": [DEED], "next": 12}),
    )
    async def audit(
        before: Annotated[int | None, Query(ge=1, le=1 << 62, description="go on from `next`")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
        who: Annotated[str | None, Query(max_length=100)] = None,
        target: Annotated[str | None, Query(max_length=100)] = None,
    ) -> Response:
        found = await centre.store.read(lambda connection: deeds(connection, before, limit, who, target))
        return json_answer({"deeds": found, "next": found[-1]["id"] if len(found) == limit else None})

    return router


# --- what the routes share --------------------------------------------------------------------------------------


async def _do(
    request: Request, centre: Centre, change: Callable[[sqlite3.Connection], Result], deed: Callable[[Result], Deed]
) -> Result:
    with told():
        return await do(centre, change, deed)


async def _make_token(request: Request, centre: Centre, said: NewToken) -> Response:
    asker, now = asker_of(request), centre.clock.real_ms()

    def change(connection: sqlite3.Connection) -> str:
        _keep_to_kiosks(connection, asker, said.name)
        return new_api_token(
            connection, said.name, now, said.role, _sites(said.sites), said.expires_at, made_by=asker.label
        )

    after = {"role": said.role.value, "sites": said.sites, "expires_at": said.expires_at}
    secret = await _do(request, centre, change, lambda _: by(asker, "token.made", said.name, said.reason, after=after))
    made = {"name": said.name, "token": secret}
    if said.role is Role.KIOSK:
        made["link"] = kiosk_path(secret)
    return Response(msgspec.json.encode(made), 201, NO_STORE, "application/json")


async def _end_token(request: Request, centre: Centre, name: str, reason: str | None) -> Response:
    asker = asker_of(request)

    def change(connection: sqlite3.Connection) -> ApiToken:
        _keep_to_kiosks(connection, asker, name)
        return end_api_token(connection, name)

    def deed(was: ApiToken) -> Deed:
        return by(asker, "token.ended", name, reason, before={"role": was.role.value})

    await _do(request, centre, change, deed)
    return Response(status_code=204)


def _keep_to_kiosks(connection: sqlite3.Connection, asker: Asker, name: str) -> None:
    """Asked in the transaction itself: what is in memory may be a second old."""
    if not asker.role.may(Role.ADMIN):
        check_kiosk(connection, name)


def kiosk_path(secret: str) -> str:
    """Behind `#`, which no browser sends to any server."""
    return f"/kiosk#{secret}"


def _token_view(token: ApiToken) -> dict[str, Any]:
    return {
        "name": token.name, "role": token.role, "sites": None if token.sites is None else sorted(token.sites),
        "created_at": token.created_at, "expires_at": token.expires_at, "used_at": token.used_at,
        "made_by": token.made_by,
    }  # fmt: skip


def _sites(sites: list[str] | None) -> frozenset[str] | None:
    return frozenset(sites) if sites else None


def _link_ms(centre: Centre) -> int:
    return int(centre.settings.access.link_hours * HOUR_MS)
