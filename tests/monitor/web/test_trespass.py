"""What somebody tries who has no business here: each attempt, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from monitor.access import passwords
from monitor.access.roles import Role
from monitor.app import make_app
from monitor.settings import AccessSetting, Settings
from monitor.web.peers import address_of, is_secure
from tests.monitor.house import HUBS, NOW_MS, House, house
from tests.monitor.people import OURS, PASSWORD, account, browser, log_in, person

SITES, USERS = "/api/v1/sites", "/api/v1/users"
MEETING = {"title": "Họp", "from": NOW_MS + 3_600_000, "to": NOW_MS + 7_200_000}


# --- a page of somebody else asks in the victim's browser ----------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"X-Requested-By": "XMLHttpRequest"},
        {**OURS, "Origin": "http://evil.example"},
        {**OURS, "Origin": "null"},
        {**OURS, "Origin": "http://["},
        {**OURS, "Origin": "http://centre.example.evil.example"},
        {**OURS, "Sec-Fetch-Site": "cross-site"},
        {**OURS, "Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_a_foreign_page_changes_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as victim:
        del victim.headers["X-Requested-By"]
        answer = await victim.post("/api/v1/meetings", json=MEETING, headers=headers)
        assert answer.status_code == 403, answer.text
        assert (await victim.delete("/api/v1/me/sessions/others", headers=headers)).status_code == 403
        assert (await victim.get("/api/v1/meetings")).json()["meetings"] == []
        assert (await log_in(victim, "op")).status_code == 403, "nor logs the victim in as somebody else"


async def test_our_own_page_changes_what_it_may(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as own:
        ours = {"Origin": "http://centre.example", "Sec-Fetch-Site": "same-origin"}
        assert (await own.post("/api/v1/meetings", json=MEETING, headers=ours)).status_code == 201
        plain = {**ours, "Content-Type": "text/plain"}
        assert (await own.post("/api/v1/meetings", content=b"{}", headers=plain)).status_code == 415


async def test_no_page_elsewhere_may_read_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as own:
        for method in ("GET", "OPTIONS"):
            asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
            answer = await own.request(method, SITES, headers=asked)
            assert not [name for name in answer.headers if name.startswith("access-control")]


# --- somebody writes headers only a proxy should write --------------------------------------------------------------


def asked(headers: dict[str, str], peer: str) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "query_string": b"",
            "root_path": "",
            "http_version": "1.1",
            "asgi": {"version": "3.0"},
            "headers": raw,
            "client": (peer, 1),
            "server": ("centre", 80),
        }
    )


PROXIED = Settings(hubs=HUBS, access=AccessSetting(trusted_peers=["10.0.0.0/24"]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.7", "1.1.1.1", "192.0.2.7"),
        ("10.0.0.5", "1.1.1.1, 192.0.2.9", "192.0.2.9"),
        ("10.0.0.5", "1.1.1.1, 192.0.2.9, 10.0.0.6", "192.0.2.9"),
        ("10.0.0.5", "nonsense", "10.0.0.5"),
        ("10.0.0.5", "", "10.0.0.5"),
    ],
)
async def test_the_address_is_the_last_one_no_trusted_proxy_wrote(
    tmp_path: Path, peer: str, forwarded: str, found: str
) -> None:
    async with house(tmp_path, settings=PROXIED) as city:
        request = asked({"X-Forwarded-For": forwarded}, peer)
        assert address_of(request, city.centre) == found


async def test_tls_is_believed_of_proxies_only(tmp_path: Path) -> None:
    async with house(tmp_path, settings=PROXIED) as city:
        said = {"X-Forwarded-Proto": "https"}
        assert [is_secure(asked(said, peer), city.centre) for peer in ("10.0.0.5", "127.0.0.1", "192.0.2.7")] == [
            True,
            True,
            False,
        ]


async def test_a_forged_address_does_not_spread_guesses(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.VIEWER, address="192.0.2.1"), browser(city) as thief:
        codes = []
        for number in range(8):
            thief.headers["X-Forwarded-For"] = f"198.51.100.{number}"
            codes.append((await log_in(thief, "an", "guess")).status_code)
        assert codes[5:] == [429, 429, 429]


# --- what a long answer and a cache would give away -----------------------------------------------------------------


class Feed:
    """An open feed of events, as a browser with these headers holds it."""

    def __init__(self, city: House, headers: dict[str, str]) -> None:
        self._said: asyncio.Queue[bytes] = asyncio.Queue()
        scope = {**asked(headers, "192.0.2.7").scope, "path": "/api/v1/events", "raw_path": b"/api/v1/events"}
        self.task = asyncio.create_task(make_app(city.centre)(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self._said.put_nowait(message["body"])

    async def until(self, word: bytes) -> bytes:
        """All that is said up to the piece with the word in it."""
        said = b""
        async with asyncio.timeout(30):
            while word not in said:
                said += await self._said.get()
        return said

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def cookie_of(client: httpx.AsyncClient) -> dict[str, str]:
    return {"Cookie": f"diemcau={client.cookies['diemcau']}"}


@pytest.mark.parametrize("end", ["logout", "closed", "role", "age"])
async def test_a_feed_ends_with_the_session_that_opened_it(tmp_path: Path, end: str) -> None:
    async with (
        house(tmp_path) as city,
        person(city, "boss", Role.ADMIN) as admin,
        person(city, "an", Role.OPERATOR) as own,
    ):
        feed = Feed(city, cookie_of(own))
        await feed.until(b"event: hello")
        match end:
            case "logout":
                await own.post("/api/v1/logout")
            case "closed":
                await admin.patch(f"{USERS}/an", json={"open": False})
            case "role":
                await admin.patch(f"{USERS}/an", json={"role": "technician", "sites": ["31-1"]})
            case "age":
                city.clock.now_ms += 17 * 3_600_000
        await feed.until(b"event: end")
        await asyncio.wait_for(feed.task, 30)


async def test_a_feed_tells_a_technician_of_no_other_site(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "an", Role.TECHNICIAN, frozenset(("31-1",))) as own:
        feed = Feed(city, cookie_of(own))
        await feed.until(b"hello")
        events = city.centre.events
        events.publish("verdict", {"id": "31-2"}, frozenset(("31-2",)))
        events.publish("meeting", {"id": "m-1", "sites": ["31-2"]}, frozenset(("31-2", "hp")))
        events.publish_readings({"readings": [{"site": "31-2"}]}, None)
        events.publish("verdict", {"id": "31-1"}, frozenset(("31-1",)))
        said = await feed.until(b"31-1")
        assert b"31-2" not in said
        await feed.leave()
        run = said.partition(b"id: ")[2].partition(b".")[0].decode()
        again = Feed(city, {**cookie_of(own), "Last-Event-ID": f"{run}.0"})
        missed = await again.until(b"31-1")
        assert b"31-2" not in missed, "nor when it asks for what it missed"
        await again.leave()


async def test_no_cache_between_keeps_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin:
        for path in (SITES, "/api/v1/sites/31-1", "/api/v1/devices", USERS, "/api/v1/me", "/metrics", "/api/v1/audit"):
            said = (await admin.get(path)).headers["cache-control"]
            assert "private" in said or said == "no-store", path
        assert "no-store" in (await admin.get("/api/v1/tokens")).headers["cache-control"]


# --- secrets ------------------------------------------------------------------------------------------------------


async def test_no_secret_is_written_to_a_log_or_the_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin, browser(city) as other:
        code = account(city, "an", Role.VIEWER)
        await other.post("/api/v1/join", json={"code": code, "password": "Sóng biển Đồ Sơn"})
        await log_in(other, "an", "một mật khẩu sai")
        made = (await admin.post("/api/v1/tokens", json={"name": "x"})).json()["token"]
        kiosk = (await admin.post("/api/v1/kiosks", json={"name": "y"})).json()["token"]
        device = (await admin.post("/api/v1/devices", json={"site": "31-1"})).json()
        renewed = (await admin.post(f"/api/v1/devices/{device['device']}/token")).json()["token"]
        cookies = [admin.cookies["diemcau"], other.cookies["diemcau"]]
        secrets = [
            code,
            PASSWORD,
            "Sóng biển Đồ Sơn",
            "một mật khẩu sai",
            made,
            kiosk,
            device["token"],
            renewed,
            *cookies,
        ]
        shown = " ".join([(await admin.get(path)).text for path in (USERS, "/api/v1/tokens", "/api/v1/audit")])
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in shown
        assert secret.encode() not in written


async def test_a_wrong_name_takes_as_long_as_a_wrong_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the clock, which this machine shares: by what is checked, an argon2 hash of the same cost each time."""
    checked: list[str] = []
    real = passwords.HASHER

    class Counting:
        def verify(self, stored: str, password: str) -> bool:
            checked.append(stored.rpartition("$")[0].rpartition("$")[0])
            return bool(real.verify(stored, password))

    async with house(tmp_path) as city, person(city, "an", Role.VIEWER), browser(city) as thief:
        account(city, "new", Role.VIEWER)
        monkeypatch.setattr(passwords, "HASHER", Counting())
        answers = [await log_in(thief, name, "guess") for name in ("an", "nobody", "new", "%00", "")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert len(checked) == 5
    assert len(set(checked)) == 1
