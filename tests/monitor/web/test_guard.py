"""Whom the guard lets through: every route says whom it is for, and strangers come no further."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from monitor.access.roles import Role
from monitor.app import make_app
from monitor.settings import AccessSetting, Settings
from monitor.web.guard import marks_of, needs, unmarked, walk
from tests.monitor.house import HUBS, House, house

SITES = "/api/v1/sites"


def ids(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {site["id"] for site in answer.json()["sites"]}


def from_afar(city: House, address: str = "192.0.2.7") -> httpx.AsyncClient:
    """A client whose peer address is not of this machine."""
    transport = httpx.ASGITransport(make_app(city.centre), client=(address, 4000))
    return httpx.AsyncClient(transport=transport, base_url="http://centre.example")


async def test_every_route_says_whom_it_is_for(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        app = make_app(city.centre)
        routes = list(walk(app.routes))
        in_schema = {(path, verb) for path, verbs in app.openapi()["paths"].items() for verb in verbs}
    assert unmarked(app.routes) == []
    walked = {(route.path, method.lower()) for route in routes for method in route.methods}
    assert in_schema <= walked, "the walk sees every route that is served"
    assert all(len(marks_of(route)) == 1 for route in routes)


async def test_an_application_with_a_forgotten_route_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forgotten() -> None: ...

    def with_one_more(app: FastAPI) -> None:
        app.add_api_route("/forgotten", forgotten)

    async with house(tmp_path) as city:
        pass
    monkeypatch.setattr("monitor.app.add_pages", with_one_more)
    with pytest.raises(RuntimeError, match="/forgotten"):
        make_app(city.centre)


async def test_reading_is_open_on_this_machine_and_nowhere_else(tmp_path: Path) -> None:
    async with house(tmp_path) as city, from_afar(city) as stranger:
        assert len(ids(await city.client.get(SITES))) == 5
        refused = await stranger.get(SITES)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="diemcau"')
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host", "Via"):
            assert (await city.client.get(SITES, headers={name: "10.0.0.9"})).status_code == 401, name


async def test_a_page_from_elsewhere_bent_to_this_machine_reads_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        for host in ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "[", ""):
            assert (await city.client.get(SITES, headers={"Host": host})).status_code == 401, host
        for host in ("localhost:8080", "127.0.0.1:8080", "[::1]:8080"):
            assert (await city.client.get(SITES, headers={"Host": host})).status_code == 200, host


@pytest.mark.parametrize(("rule", "here", "afar"), [("nobody", 401, 401), ("everybody", 200, 200)])
async def test_a_setting_opens_or_closes_reading(tmp_path: Path, rule: str, here: int, afar: int) -> None:
    settings = Settings(hubs=HUBS, access=AccessSetting(open_reading=rule))  # type: ignore[arg-type]
    async with house(tmp_path, settings=settings) as city, from_afar(city) as stranger:
        assert (await city.client.get(SITES)).status_code == here
        assert (await stranger.get(SITES)).status_code == afar
        assert (await stranger.post("/api/v1/meetings", json={})).status_code == 401


async def test_a_browser_that_is_not_known_is_sent_to_the_login_page(tmp_path: Path) -> None:
    async with house(tmp_path) as city, from_afar(city) as stranger:
        answer = await stranger.get("/site/31-1?range=week&x=%0d%0aSet-Cookie:a")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fsite%2F31-1%3Frange%3Dweek%26x%3D%250d%250aSet-Cookie%3Aa"


async def test_a_technician_reads_the_own_site_and_no_other(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        own = city.known_as(Role.TECHNICIAN, frozenset(("31-1",)))
        city.device("31-1")
        city.device("31-2")
        assert ids(await city.client.get(SITES, headers=own)) == {"31-1"}
        devices = (await city.client.get("/api/v1/devices", headers=own)).json()["devices"]
        assert {device["site"] for device in devices} == {"31-1"}
        for path, status in (
            ("/api/v1/sites/31-1", 200),
            ("/api/v1/sites/31-2", 403),
            ("/api/v1/sites/hp", 403),
            ("/api/v1/sites/nowhere", 403),
            ("/api/v1/sites/31-2/reports?probe=link", 403),
            ("/api/v1/sites/31-2/reports?probe=link&site=31-1", 403),
            ("/api/v1/series?site=31-1&metric=link.rtt_p50_ms", 200),
            ("/api/v1/series?site=31-2&metric=link.rtt_p50_ms", 403),
            ("/api/v1/series?site=31-1&site=31-2&metric=link.rtt_p50_ms", 403),
            ("/api/v1/series?site=31-2&site=31-1&metric=link.rtt_p50_ms", 403),
            ("/api/v1/events?site=31-2", 403),
            ("/metrics", 403),
        ):
            assert (await city.client.get(path, headers=own)).status_code == status, path


def test_roles_are_in_one_line() -> None:
    assert [role for role in Role if Role.OPERATOR.may(role)] == [
        Role.KIOSK,
        Role.VIEWER,
        Role.TECHNICIAN,
        Role.OPERATOR,
    ]
    assert needs(Role.ADMIN).mark.role is Role.ADMIN
