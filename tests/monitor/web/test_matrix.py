"""Who may ask for what: every route of the application against everybody who could ask."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from monitor.access.roles import Role
from monitor.app import make_app
from monitor.devices import Role as DeviceRole
from monitor.web.guard import walk
from tests.monitor.house import House, house
from tests.monitor.people import OURS, person

EVERYBODY = "nobody here kiosk viewer technician operator admin token device hub"
KNOWN_TO_ALL = "nobody here kiosk viewer technician operator admin token"
WALL = "here kiosk viewer technician operator admin token"
READERS = "here viewer technician operator admin token"
ALL_SITES = "here viewer operator admin token"
NAMED = "viewer technician operator admin token"
PERSONS = "viewer technician operator admin"
OPERATORS = "operator admin"
ADMINS = "admin"
DEVICES = "device hub"
HUBS = "hub"

MAY = {
    "GET /": WALL,
    "GET /site/{site}": READERS,
    "GET /favicon.ico": EVERYBODY,
    "GET /login": EVERYBODY,
    "GET /join": EVERYBODY,
    "GET /kiosk": EVERYBODY,
    "GET /people": NAMED,
    "GET /healthz": EVERYBODY,
    "GET /readyz": EVERYBODY,
    "GET /ca.pem": EVERYBODY,
    "GET /metrics": ALL_SITES,  # asked on this machine; from afar see below
    "GET /api/v1/openapi.json": EVERYBODY,
    "POST /api/v1/reports": DEVICES,
    "POST /api/v1/enrol": EVERYBODY,
    "GET /api/v1/agenda": DEVICES,
    "GET /api/v1/hub/sites": HUBS,
    "POST /api/v1/device/token": DEVICES,
    "GET /api/v1/sites": WALL,
    "GET /api/v1/sites/{site_id}": READERS,  # a wall screen reads the two bridges
    "GET /api/v1/sites/{site_id}/reports": READERS,
    "GET /api/v1/series": READERS,
    "GET /api/v1/events": WALL,
    "GET /api/v1/devices": NAMED,
    "POST /api/v1/devices": OPERATORS,
    "POST /api/v1/devices/{device}/token": OPERATORS,
    "DELETE /api/v1/devices/{device}": OPERATORS,
    "POST /api/v1/codes": OPERATORS,
    "GET /api/v1/meetings": WALL,
    "POST /api/v1/meetings": OPERATORS,
    "GET /api/v1/meetings/{id}": READERS,
    "PUT /api/v1/meetings/{id}": OPERATORS,
    "DELETE /api/v1/meetings/{id}": OPERATORS,
    "POST /api/v1/login": EVERYBODY,
    "POST /api/v1/join": EVERYBODY,
    "POST /api/v1/kiosk": EVERYBODY,
    "GET /api/v1/me": KNOWN_TO_ALL,
    "POST /api/v1/logout": WALL,
    "PUT /api/v1/me/password": PERSONS,
    "GET /api/v1/me/sessions": PERSONS,
    "DELETE /api/v1/me/sessions/{id}": PERSONS,
    "GET /api/v1/users": ADMINS,
    "POST /api/v1/users": ADMINS,
    "PATCH /api/v1/users/{name}": ADMINS,
    "POST /api/v1/users/{name}/link": ADMINS,
    "GET /api/v1/users/{name}/sessions": ADMINS,
    "DELETE /api/v1/users/{name}/sessions": ADMINS,
    "GET /api/v1/tokens": ADMINS,
    "POST /api/v1/tokens": ADMINS,
    "DELETE /api/v1/tokens/{name}": ADMINS,
    "GET /api/v1/kiosks": OPERATORS,
    "POST /api/v1/kiosks": OPERATORS,
    "DELETE /api/v1/kiosks/{name}": OPERATORS,
    "GET /api/v1/audit": ADMINS,
}
"""Each route, and everybody whom it lets through."""

PLACES = {"site": "31-1", "site_id": "31-1", "id": "none", "name": "none", "device": "none"}
QUERIES = {
    "GET /api/v1/series": "site=31-1&metric=link.rtt_p50_ms",
    "GET /api/v1/sites/{site_id}/reports": "probe=link",
}
REFUSED = (303, 401, 403)
LAST = "POST /api/v1/logout"
FAR, NEAR = "192.0.2.7", "127.0.0.1"


async def status_of(app: FastAPI, method: str, path: str, headers: dict[str, str], peer: str, query: str) -> int:
    """What the application answers first; a feed that would go on is left."""
    first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    body = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not body:
            await asyncio.Event().wait()
        return body.pop()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start" and not first.done():
            first.set_result(message["status"])

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": (peer, 4000), "server": ("centre", 80),
    }  # fmt: skip
    task = asyncio.create_task(app(scope, receive, send))
    done, _ = await asyncio.wait((task, first), return_when=asyncio.FIRST_COMPLETED)
    if first not in done:
        task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return first.result()


async def askers_of(city: House, stack: AsyncExitStack) -> dict[str, tuple[str, dict[str, str]]]:
    """Everybody who could ask: address and headers."""
    local = {"Host": "localhost", **OURS}
    found = {"nobody": (FAR, local), "here": (NEAR, local)}
    for role in (Role.VIEWER, Role.TECHNICIAN, Role.OPERATOR, Role.ADMIN):
        sites = frozenset(("31-1",)) if role is Role.TECHNICIAN else None
        client = await stack.enter_async_context(person(city, role.value, role, sites))
        found[role.value] = (FAR, {**local, "Cookie": f"diemcau={client.cookies['diemcau']}"})
    made = await client.post("/api/v1/kiosks", json={"name": "screen"})
    found["kiosk"] = (FAR, {**local, "Cookie": f"diemcau={made.json()['token']}"})
    found["token"] = (FAR, {**local, **city.known_as(Role.VIEWER)})
    for name, site, kind in (("device", "31-1", DeviceRole.PROBE), ("hub", "hp", DeviceRole.HUB)):
        found[name] = (FAR, {**local, "Authorization": f"Bearer {city.device(site, kind)[1]}"})
    return found


def routes_of(app: FastAPI) -> set[str]:
    """Every route that answers, as METHOD PATH; HEAD is GET without its body."""
    return {f"{method} {route.path}" for route in walk(app.routes) for method in route.methods if method != "HEAD"}


def filled(path: str, **places: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: {**PLACES, **places}[found[1]], path)


async def test_every_route_lets_through_whom_it_should_and_nobody_else(tmp_path: Path) -> None:
    wrong = []
    async with house(tmp_path) as city, AsyncExitStack() as stack:
        app = make_app(city.centre)
        assert routes_of(app) == set(MAY), "write down who may ask for a new route"
        in_schema = {f"{verb.upper()} {path}" for path, verbs in app.openapi()["paths"].items() for verb in verbs}
        assert in_schema <= set(MAY)
        askers = await askers_of(city, stack)
        for route in sorted(MAY, key=lambda route: route == LAST):
            method, path = route.split(" ")
            for name, (peer, headers) in askers.items():
                peer = NEAR if path == "/metrics" and name != "nobody" else peer
                status = await status_of(app, method, filled(path), headers, peer, QUERIES.get(route, ""))
                assert status < 500, (route, name, status)
                if (status not in REFUSED) != (name in MAY[route].split()):
                    wrong.append((route, name, status))
    assert wrong == []


async def test_a_technician_comes_to_no_other_site_by_any_route(tmp_path: Path) -> None:
    async with house(tmp_path) as city, AsyncExitStack() as stack:
        app = make_app(city.centre)
        peer, headers = (await askers_of(city, stack))["technician"]
        about_a_site = [route for route in sorted(MAY) if "{site" in route or "site=" in QUERIES.get(route, "")]
        assert len(about_a_site) >= 4
        for route in about_a_site:
            method, path = route.split(" ")
            query = QUERIES.get(route, "").replace("31-1", "31-2")
            for other in ("31-2", "hp", "nowhere", "31-1/../31-2", "31-1%00"):
                asked = filled(path, site=other, site_id=other)
                status = await status_of(app, method, asked, headers, peer, query.replace("31-2", other))
                assert status in (403, 404), (route, other, status)


async def test_metrics_from_afar_need_a_name_that_reads_all_sites(tmp_path: Path) -> None:
    async with house(tmp_path) as city, AsyncExitStack() as stack:
        app = make_app(city.centre)
        for name, (_, headers) in (await askers_of(city, stack)).items():
            status = await status_of(app, "GET", "/metrics", headers, FAR, "")
            assert (status == 200) == (name in ("viewer", "operator", "admin", "token")), (name, status)
