"""Every change by a person or a command leaves a line: who, what, why; and no line ever goes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monitor.access.roles import Role
from monitor.cli import main
from monitor.store.database import connect, path_in, prepare, reading
from monitor.web.guard import SAFE, Audience, marks_of, walk
from tests.monitor.house import NOW_MS, house
from tests.monitor.people import PASSWORD, person

MEETING = {"title": "Họp", "from": NOW_MS + 3_600_000, "to": NOW_MS + 7_200_000}
CHANGES: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("POST /api/v1/users", "/api/v1/users", {"name": "an", "role": "viewer", "reason": "why"}, "user.made"),
    ("PATCH /api/v1/users/{name}", "/api/v1/users/an", {"role": "operator", "reason": "why"}, "user.changed"),
    ("POST /api/v1/users/{name}/link", "/api/v1/users/an/link?reason=why", None, "link.made"),
    ("DELETE /api/v1/users/{name}/sessions", "/api/v1/users/an/sessions?reason=why", None, "sessions.ended"),
    ("POST /api/v1/tokens", "/api/v1/tokens", {"name": "grafana", "reason": "why"}, "token.made"),
    ("DELETE /api/v1/tokens/{name}", "/api/v1/tokens/grafana?reason=why", None, "token.ended"),
    ("POST /api/v1/kiosks", "/api/v1/kiosks", {"name": "wall", "reason": "why"}, "token.made"),
    ("DELETE /api/v1/kiosks/{name}", "/api/v1/kiosks/wall?reason=why", None, "token.ended"),
    ("POST /api/v1/devices", "/api/v1/devices", {"site": "31-1", "reason": "why"}, "device.made"),
    ("POST /api/v1/codes", "/api/v1/codes", {"site": "31-1", "reason": "why"}, "code.made"),
    ("POST /api/v1/devices/{device}/token", "/api/v1/devices/{device}/token?reason=why", None, "device.token"),
    ("DELETE /api/v1/devices/{device}", "/api/v1/devices/{device}?reason=why", None, "device.revoked"),
    ("POST /api/v1/meetings", "/api/v1/meetings?reason=why", MEETING, "meeting.planned"),
    ("PUT /api/v1/meetings/{id}", "/api/v1/meetings/m-1?reason=why", {**MEETING, "title": "X"}, "meeting.changed"),
    ("DELETE /api/v1/meetings/{id}", "/api/v1/meetings/m-1?reason=why", None, "meeting.cancelled"),
]
"""Each route that changes what is set, an example of its use, and the line it leaves."""
OWN = {"PUT /api/v1/me/password", "DELETE /api/v1/me/sessions/{id}", "POST /api/v1/logout"}
"""What somebody does to the own account needs no reason."""


async def test_every_change_leaves_a_line_with_who_and_why(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin:
        app = admin._transport.app  # type: ignore[attr-defined]
        changing = {
            f"{method} {route.path}"
            for route in walk(app.routes)
            for method in route.methods - SAFE
            if marks_of(route)[0].audience is Audience.PEOPLE
        }
        assert changing == {route for route, *_ in CHANGES} | OWN, "a new route that changes something needs its line"
        device = city.device("31-1")[0].id
        await city.centre.reload()
        for route, path, body, action in CHANGES:
            method = route.partition(" ")[0]
            answer = await admin.request(method, path.replace("{device}", device), json=body)
            assert answer.status_code < 300, (route, answer.text)
            deed = (await admin.get("/api/v1/audit?limit=1")).json()["deeds"][0]
            assert (deed["action"], deed["who"], deed["reason"]) == (action, "user:boss", "why"), route
            assert deed["address"] == "192.0.2.7"
            if method in ("PUT", "PATCH"):
                assert deed["before"] != deed["after"]


async def test_the_log_is_read_in_pages_and_by_who_and_what(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin:
        for number in range(7):
            await admin.post("/api/v1/tokens", json={"name": f"t{number}"})
        found: list[str] = []
        query = "/api/v1/audit?who=user:boss&limit=3"
        after = ""
        while True:
            page = (await admin.get(query + after)).json()
            found += [deed["target"] for deed in page["deeds"]]
            if page["next"] is None:
                break
            after = f"&before={page['next']}"
        assert found == [f"t{number}" for number in reversed(range(7))] + ["boss"] * 2
        about = (await admin.get("/api/v1/audit?target=t3")).json()["deeds"]
        assert [(deed["action"], deed["after"]["role"]) for deed in about] == [("token.made", "viewer")]


async def test_a_change_that_is_refused_leaves_no_line(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN) as admin:
        before = (await admin.get("/api/v1/audit")).json()["deeds"]
        assert (await admin.post("/api/v1/users", json={"name": "boss", "role": "viewer"})).status_code == 422
        assert (await admin.delete("/api/v1/tokens/none")).status_code == 404
        assert (await admin.put("/api/v1/me/password", json={"old": PASSWORD, "new": "short"})).status_code == 422
        assert (await admin.get("/api/v1/audit")).json()["deeds"] == before


async def test_no_line_can_be_changed_or_taken_out(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "boss", Role.ADMIN):
        connection = connect(path_in(tmp_path))
        for statement in ("UPDATE audit SET who = 'user:other'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="only grows"):
                connection.execute(statement)
        connection.close()


def test_commands_leave_lines_too(tmp_path: Path) -> None:
    prepare(tmp_path)
    sites = tmp_path / "sites.csv"
    sites.write_text(
        "id,code,type,name_vi,name_en,bridge,area,carrier,class,lat,lon,hubs,router\n"
        "hp,,bridge,B,,hp,,,fibre,,,,\ns1,,xa,A,,hp,a,,fibre,,,,\n"
    )
    data = ["--data", str(tmp_path)]
    for words in (
        ["sites", "import", str(sites)],
        ["devices", "add", "s1"],
        ["users", "link"],
        ["users", "add", "an", "--role", "technician", "--site", "s1", "--reason", "mới"],
        ["users", "add", "--kiosk"],
        ["users", "token", "grafana"],
        ["users", "end", "grafana"],
        ["users", "end", "an"],
    ):
        done = CliRunner().invoke(main, [*words, *data])
        assert done.exit_code == 0, (words, done.output)
    with reading(tmp_path) as connection:
        lines = connection.execute("SELECT who, action, target, reason FROM audit ORDER BY id").fetchall()
    assert {who.partition(":")[0] for who, *_ in lines} == {"command"}
    assert [action for _, action, *_ in lines] == [
        "sites.imported", "device.made", "link.made", "user.made", "token.made", "token.made", "token.ended",
        "user.changed",
    ]  # fmt: skip
    assert lines[3][2:] == ("an", "mới")


def test_the_first_link_makes_an_administrator_and_no_second_one(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path)]
    first = CliRunner().invoke(main, ["users", "link", *data])
    again = CliRunner().invoke(main, ["users", "link", *data])
    assert [done.exit_code for done in (first, again)] == [0, 0]
    assert "/join#admin/" in first.stdout
    assert first.stdout != again.stdout, "a link that was lost before its use is replaced"
    assert CliRunner().invoke(main, ["users", "add", "binh", "--role", "admin", *data]).exit_code == 0
    refused = CliRunner().invoke(main, ["users", "link", *data])
    assert (refused.exit_code, "name the account" in refused.output) == (2, True)
    assert CliRunner().invoke(main, ["users", "end", "binh", *data]).exit_code == 0
    last = CliRunner().invoke(main, ["users", "end", "admin", *data])
    assert (last.exit_code, "last administrator" in last.output) == (2, True)
