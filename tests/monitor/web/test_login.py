"""Coming in and going out: links, passwords, sessions, wall screens."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.access.roles import Role
from monitor.access.tokens import new_api_token
from monitor.settings import AccessSetting, Settings
from monitor.store.database import transaction
from tests.monitor.house import HUBS, House, house
from tests.monitor.people import PASSWORD, account, browser, log_in, person

HOUR = 3_600_000
SITES, ME = "/api/v1/sites", "/api/v1/me"


async def test_a_one_time_link_sets_a_password_once_and_logs_in(tmp_path: Path) -> None:
    async with house(tmp_path) as city, browser(city) as own, browser(city) as thief:
        code = account(city, "an", Role.VIEWER)
        assert (await own.get(SITES)).status_code == 401
        joined = await own.post("/api/v1/join", json={"code": code, "password": PASSWORD})
        assert joined.json() == {"name": "an", "role": "viewer"}
        assert (await own.get(SITES)).status_code == 200
        again = await thief.post("/api/v1/join", json={"code": code, "password": PASSWORD + "!"})
        assert (again.status_code, "used" in again.json()["detail"]) == (410, True)
        assert (await log_in(thief, "an", PASSWORD + "!")).status_code == 401
        assert (await log_in(thief, "AN ", PASSWORD)).status_code == 200


async def test_a_link_too_old_or_replaced_sets_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin, browser(city) as own:
        code = account(city, "an", Role.VIEWER)
        fresh = (await admin.post("/api/v1/users/an/link")).json()["link"].rpartition("/")[2]
        assert (await own.post("/api/v1/join", json={"code": code, "password": PASSWORD})).status_code == 410
        city.clock.now_ms += 25 * HOUR
        assert (await own.post("/api/v1/join", json={"code": fresh, "password": PASSWORD})).status_code == 410


@pytest.mark.parametrize(
    "password", ["short", "1234567890", "matkhau123", "an.nguyen2026", "aaaaaaaaaaaaaa", "x" * 201]
)
async def test_a_password_that_is_easily_guessed_is_not_taken_and_the_link_stays_good(
    tmp_path: Path, password: str
) -> None:
    async with house(tmp_path) as city, browser(city) as own:
        code = account(city, "an.nguyen", Role.VIEWER)
        weak = await own.post("/api/v1/join", json={"code": code, "password": password})
        assert (weak.status_code, "password" in weak.json()["detail"]) == (422, True)
        assert (await own.post("/api/v1/join", json={"code": code, "password": PASSWORD})).status_code == 200


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.VIEWER) as own:
        plain = (await log_in(own, "an")).headers["set-cookie"]
        assert plain.startswith("diemcau=")
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(plain.split("; "))
        assert "Secure" not in plain
    settings = Settings(hubs=HUBS, public_url="https://giamsat.example")
    async with house(tmp_path / "tls", settings=settings) as city, person(city, "an", Role.VIEWER) as own:
        secure = (await log_in(own, "an")).headers["set-cookie"]
        assert secure.startswith("__Host-diemcau=")
        assert {"HttpOnly", "SameSite=lax", "Path=/", "Secure"} <= set(secure.split("; "))
        assert "Domain" not in secure


async def test_a_login_never_takes_up_a_session_that_was_there_before(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.VIEWER) as own:
        first = own.cookies["diemcau"]
        await log_in(own, "an")
        second = own.cookies["diemcau"]
        assert first != second
        own.cookies.set("diemcau", first, domain="centre.example", path="/")
        async with browser(city) as thief:
            assert (await thief.get(SITES, headers={"Cookie": f"diemcau={first}"})).status_code == 401
            assert (await thief.get(SITES, headers={"Cookie": f"diemcau={second}"})).status_code == 200
        planted = "a" * 43
        async with browser(city) as victim:
            victim.cookies.set("diemcau", planted, domain="centre.example", path="/")
            answer = await log_in(victim, "an")
            assert planted not in answer.headers["set-cookie"]


async def test_a_session_ends_by_logging_out_by_idleness_and_by_age(tmp_path: Path) -> None:
    settings = Settings(hubs=HUBS, access=AccessSetting(idle_hours=2, session_hours=5))
    async with house(tmp_path, settings=settings) as city, person(city, "an", Role.VIEWER) as own:
        cookie = {"Cookie": f"diemcau={own.cookies['diemcau']}"}
        for _ in range(2):
            city.clock.now_ms += 2 * HOUR - 1
            assert (await own.get(SITES, headers=cookie)).status_code == 200, "whoever works is not idle"
        city.clock.now_ms += HOUR + 2
        assert (await own.get(SITES, headers=cookie)).status_code == 401, "too old"
        await log_in(own, "an")
        city.clock.now_ms += 2 * HOUR
        assert (await own.get(SITES)).status_code == 401, "idle"
        await log_in(own, "an")
        cookie = {"Cookie": f"diemcau={own.cookies['diemcau']}"}
        assert (await own.post("/api/v1/logout")).status_code == 204
        assert "diemcau" not in own.cookies
        async with browser(city) as thief:
            assert (await thief.get(SITES, headers=cookie)).status_code == 401


async def test_idleness_is_remembered_over_a_restart(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.VIEWER) as own:
        cookie = {"Cookie": f"diemcau={own.cookies['diemcau']}"}
        clock = city.clock
        clock.now_ms += 3 * HOUR
        assert (await own.get(SITES)).status_code == 200
    async with house(tmp_path, clock) as city, browser(city) as own:
        clock.now_ms += 3 * HOUR
        assert (await own.get(SITES, headers=cookie)).status_code == 200
        clock.now_ms += 5 * HOUR
        assert (await own.get(SITES, headers=cookie)).status_code == 401


async def test_somebody_sees_the_own_sessions_and_ends_them(tmp_path: Path) -> None:
    async with (
        house(tmp_path) as city,
        person(city, "an", Role.VIEWER) as office,
        browser(city, "192.0.2.8") as phone,
        person(city, "binh", Role.VIEWER) as other,
    ):
        city.clock.now_ms += 1000
        await log_in(phone, "an")
        found = (await office.get("/api/v1/me/sessions")).json()["sessions"]
        assert [(each["address"], each["this"]) for each in found] == [("192.0.2.8", False), ("192.0.2.7", True)]
        theirs = f"/api/v1/me/sessions/{found[0]['id']}"
        assert (await other.delete(theirs)).status_code == 404, "not somebody else's"
        assert (await phone.get(SITES)).status_code == 200
        assert (await office.delete(theirs)).status_code == 204
        assert (await phone.get(SITES)).status_code == 401
        assert (await office.get(SITES)).status_code == 200
        await log_in(phone, "an")
        assert (await phone.delete("/api/v1/me/sessions/others")).status_code == 204
        assert (await office.get(SITES)).status_code == 401


async def test_a_new_password_ends_every_other_session(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.VIEWER) as own, browser(city) as forgotten:
        await log_in(forgotten, "an")
        wrong = await own.put("/api/v1/me/password", json={"old": "no", "new": "Sóng biển Đồ Sơn"})
        assert wrong.status_code == 403
        right = await own.put("/api/v1/me/password", json={"old": PASSWORD, "new": "Sóng biển Đồ Sơn"})
        assert (right.status_code, (await own.get(SITES)).status_code) == (204, 200)
        assert (await forgotten.get(SITES)).status_code == 401
        assert (await log_in(forgotten, "an")).status_code == 401
        assert (await log_in(forgotten, "an", "Sóng biển Đồ Sơn")).status_code == 200


async def test_the_same_letters_typed_on_another_system_are_the_same_password(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.VIEWER), browser(city) as mac:
        apart = "Hoa phươ\u0323ng đo\u0309 2026"
        assert apart != PASSWORD
        assert (await log_in(mac, "an", apart)).status_code == 200


async def test_a_closed_account_is_out_at_once(tmp_path: Path) -> None:
    async with (
        house(tmp_path) as city,
        person(city, "boss", Role.ADMIN) as admin,
        person(city, "an", Role.OPERATOR) as own,
    ):
        assert (await admin.patch("/api/v1/users/an", json={"open": False, "reason": "nghỉ hưu"})).status_code == 200
        assert (await own.get(SITES)).status_code == 401
        assert (await log_in(own, "an")).status_code == 401
        assert (await admin.patch("/api/v1/users/an", json={"open": True})).status_code == 200
        assert (await own.get(SITES)).status_code == 401, "its old session does not come back"
        assert (await log_in(own, "an")).status_code == 200


async def test_a_new_role_holds_from_the_next_request_on(tmp_path: Path) -> None:
    async with (
        house(tmp_path) as city,
        person(city, "boss", Role.ADMIN) as admin,
        person(city, "an", Role.ADMIN) as own,
    ):
        assert (await own.get("/api/v1/users")).status_code == 200
        await admin.patch("/api/v1/users/an", json={"role": "technician", "sites": ["31-1"]})
        assert (await own.get("/api/v1/users")).status_code == 403
        assert [site["id"] for site in (await own.get(SITES)).json()["sites"]] == ["31-1"]


async def test_the_last_administrator_cannot_go(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin:
        for change in ({"open": False}, {"role": "viewer"}):
            refused = await admin.patch("/api/v1/users/boss", json=change)
            assert (refused.status_code, "last administrator" in refused.json()["detail"]) == (422, True)
        assert (await admin.get("/api/v1/users")).json()["users"][0]["role"] == "admin"


# --- wall screens -----------------------------------------------------------------------------------------------


async def test_a_wall_screen_shows_the_wall_for_years_and_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as operator, browser(city) as screen:
        made = (await operator.post("/api/v1/kiosks", json={"name": "Phòng họp 1"})).json()
        key = made["link"].removeprefix("/kiosk#")
        assert (await screen.post("/api/v1/kiosk", json={"key": key})).json()["role"] == "kiosk"
        city.clock.now_ms += 3 * 365 * 24 * HOUR
        for path, status in (
            ("/", 200), (SITES, 200), ("/api/v1/sites/hp", 200), ("/api/v1/meetings", 200),
            ("/api/v1/sites/31-1", 403), ("/site/31-1", 403), ("/api/v1/sites/31-1/reports?probe=link", 403),
            ("/api/v1/series?site=31-1&metric=link.rtt_p50_ms", 403), ("/api/v1/devices", 403), ("/metrics", 403),
            ("/api/v1/users", 403), ("/api/v1/me/sessions", 403),
        ):  # fmt: skip
            assert (await screen.get(path)).status_code == status, path
        assert (await screen.post("/api/v1/meetings", json={})).status_code == 403
        assert (await log_in(operator, "op")).status_code == 200
        assert (await operator.delete("/api/v1/kiosks/Phòng họp 1?reason=tháo màn hình")).status_code == 204
        assert (await screen.get(SITES)).status_code == 401
        assert (await screen.post("/api/v1/kiosk", json={"key": key})).status_code == 401


async def test_an_api_token_does_not_become_a_cookie(tmp_path: Path) -> None:
    async with house(tmp_path) as city, browser(city) as thief:
        with transaction(tmp_path) as connection:
            token = new_api_token(connection, "all", city.clock.now_ms, Role.ADMIN)
        assert (await thief.post("/api/v1/kiosk", json={"key": token})).status_code == 401
        assert (await thief.get(SITES, headers={"Cookie": f"diemcau={token}"})).status_code == 401


async def test_an_operator_touches_no_token_but_those_of_wall_screens(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as operator:
        known = city.known_as(Role.ADMIN)
        assert (await operator.post("/api/v1/kiosks", json={"name": "the admin"})).status_code == 422
        assert (await operator.delete("/api/v1/kiosks/the admin")).status_code == 422
        assert (await operator.delete("/api/v1/kiosks/nowhere")).status_code == 404
        assert (await city.client.get("/api/v1/users", headers=known)).status_code == 200
        assert (await operator.post("/api/v1/tokens", json={"name": "x", "role": "admin"})).status_code == 403


# --- single sign-on ----------------------------------------------------------------------------------------------

PROXIED = Settings(hubs=HUBS, access=AccessSetting(sso_header="X-Remote-User", trusted_peers=["10.0.0.5"]))


async def sso_city(city: House) -> None:
    account(city, "an", Role.OPERATOR)
    await city.centre.reload()


async def test_a_trusted_proxy_says_who_somebody_is(tmp_path: Path) -> None:
    async with house(tmp_path, settings=PROXIED) as city, browser(city, "10.0.0.5") as proxy:
        await sso_city(city)
        me = await proxy.get(ME, headers={"X-Remote-User": "An", "X-Forwarded-For": "6.6.6.6, 10.31.0.7"})
        assert (me.json()["name"], me.json()["role"], me.json()["how"]) == ("an", "operator", "proxy")
        unknown = await proxy.get(SITES, headers={"X-Remote-User": "binh"})
        assert (unknown.status_code, "no account" in unknown.json()["detail"]) == (403, True)
        assert (await proxy.get(SITES)).status_code == 401


async def test_the_same_header_from_anybody_else_says_nothing(tmp_path: Path) -> None:
    async with house(tmp_path, settings=PROXIED) as city, browser(city, "10.0.0.6") as stranger:
        await sso_city(city)
        assert (await stranger.get(SITES, headers={"X-Remote-User": "an"})).status_code == 401
        forged = {"X-Remote-User": "an", "X-Forwarded-For": "10.0.0.5", "Forwarded": "for=10.0.0.5"}
        assert (await stranger.get(SITES, headers=forged)).status_code == 401
        async with browser(city, "10.0.0.5") as proxy:
            twice = [("X-Remote-User", "an"), ("X-Remote-User", "binh")]
            assert (await proxy.get(SITES, headers=twice)).status_code == 401


async def test_a_foreign_page_cannot_write_through_the_proxy(tmp_path: Path) -> None:
    async with house(tmp_path, settings=PROXIED) as city, browser(city, "10.0.0.5") as proxy:
        await sso_city(city)
        del proxy.headers["X-Requested-By"]
        answer = await proxy.post("/api/v1/meetings", json={}, headers={"X-Remote-User": "an"})
        assert (answer.status_code, "X-Requested-By" in answer.json()["detail"]) == (403, True)
