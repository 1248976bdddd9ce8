"""Meetings: planned, changed, called off; handed to devices, told to pages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from monitor.access.roles import Role as Right
from monitor.store.database import transaction
from probes.agenda import forbids, take
from tests.monitor.house import NOW_MS, HandClock, House, house

HOUR = 3_600_000
operated = partial(house, role=Right.OPERATOR)
PLAN: dict[str, Any] = {"title": "Họp giao ban", "from": NOW_MS + 2 * HOUR, "to": NOW_MS + 4 * HOUR, "sites": ["31-1"]}


async def plan(city: House, **more: Any) -> dict[str, Any]:
    answer = await city.client.post("/api/v1/meetings", json={**PLAN, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/api/v1/meetings/{answer.json()['id']}"
    found: dict[str, Any] = answer.json()
    return found


async def asked(city: House, token: str) -> list[dict[str, Any]]:
    answer = await city.client.get("/api/v1/agenda", headers={"Authorization": f"Bearer {token}"})
    return [item for item in answer.json() if item["do"] == "meeting"]


async def listed(city: House, **query: Any) -> list[dict[str, Any]]:
    answer = await city.client.get("/api/v1/meetings", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["meetings"]
    return found


async def test_a_meeting_is_planned_read_changed_and_called_off(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        made = await plan(city, title="  Họp   giao ban ", sites=["31-1", "31-2", "31-1"])
        assert (made["title"], made["sites"], made["importance"]) == ("Họp giao ban", ["31-1", "31-2"], "routine")
        path = f"/api/v1/meetings/{made['id']}"
        assert (await city.client.get(path)).json() == made
        later = {**PLAN, "to": NOW_MS + 5 * HOUR, "importance": "critical"}
        changed = (await city.client.put(path, json=later)).json()
        assert (changed["to"], changed["importance"], changed["revision"]) == (NOW_MS + 5 * HOUR, "critical", 2)
        called_off = (await city.client.delete(path)).json()
        assert (called_off["cancelled_at"], called_off["revision"]) == (NOW_MS, 3)
        assert await listed(city) == [called_off]
        again = await city.client.put(path, json=later)
        assert again.status_code == 422
        assert "was cancelled" in again.json()["detail"]


async def test_who_changes_what_somebody_else_has_changed_is_told(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        made = await plan(city)
        path = f"/api/v1/meetings/{made['id']}"
        seen = (await city.client.get(path)).headers["etag"]
        assert (await city.client.get(path, headers={"If-None-Match": seen})).status_code == 304
        first = await city.client.put(path, json={**PLAN, "title": "Một"}, headers={"If-Match": seen})
        second = await city.client.put(path, json={**PLAN, "title": "Hai"}, headers={"If-Match": seen})
        third = await city.client.delete(path, headers={"If-Match": seen})
        assert (first.status_code, second.status_code, third.status_code) == (200, 412, 412)
        assert "look again" in second.json()["detail"]
        assert (await city.client.get(path)).json()["title"] == "Một"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"title": " "}, "title = ' '"),
        ({"title": "x" * 121}, "1 to 120"),
        ({"title": "hai\u0007"}, "can be read"),
        ({"to": NOW_MS + 2 * HOUR}, "ends after it begins"),
        ({"to": NOW_MS + 20 * HOUR}, "at most 14 hours"),
        ({"from": NOW_MS - 3 * HOUR, "to": NOW_MS}, "is past"),
        ({"from": NOW_MS + 401 * 24 * HOUR, "to": NOW_MS + 401 * 24 * HOUR + 1}, "400 days"),
        ({"sites": []}, "sites is empty"),
        ({"sites": ["31-1", "31-99"]}, "no site '31-99'"),
        ({"importance": "huge"}, "importance = 'huge'"),
        ({"hosts": ["hp"]}, "hosts"),
        ({"from": "08:00"}, "from"),
    ],
)
async def test_a_wrong_meeting_is_refused_with_the_value(tmp_path: Path, wrong: dict[str, Any], sentence: str) -> None:
    async with operated(tmp_path) as city:
        answer = await city.client.post("/api/v1/meetings", json={**PLAN, **wrong})
        assert answer.status_code == 422
        assert sentence in answer.json()["detail"]
        assert await listed(city) == []


async def test_devices_of_the_sites_that_take_part_and_of_the_bridges_are_told(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        (_, takes_part), (_, stays_out), (_, bridge) = (city.device(site) for site in ("31-1", "31-2", "hp"))
        made = await plan(city)
        item = {"id": made["id"], "do": "meeting", "at": PLAN["from"], "until": PLAN["to"],
                "args": {"importance": "routine"}}  # fmt: skip
        assert await asked(city, takes_part) == [item]
        assert await asked(city, bridge) == [item]
        assert await asked(city, stays_out) == []
        await city.client.put(f"/api/v1/meetings/{made['id']}", json={**PLAN, "sites": None})
        assert len(await asked(city, stays_out)) == 1
        await city.client.delete(f"/api/v1/meetings/{made['id']}")
        assert await asked(city, takes_part) == []


async def test_a_device_takes_the_item_and_keeps_its_path_run_out_of_it(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        _, token = city.device("31-1")
        await plan(city)
        agenda, faults = take(await asked(city, token), NOW_MS, set())
        assert faults == []
        assert forbids(agenda, "path", NOW_MS + HOUR) is not None
        assert forbids(agenda, "path", NOW_MS + 5 * HOUR) is None


async def test_a_meeting_far_ahead_is_handed_out_when_it_is_near_and_is_gone_when_over(tmp_path: Path) -> None:
    clock = HandClock()
    async with operated(tmp_path, clock) as city:
        _, token = city.device("31-1")
        await plan(city, **{"from": NOW_MS + 40 * HOUR, "to": NOW_MS + 42 * HOUR})
        assert await asked(city, token) == []
        clock.now_ms += 5 * HOUR
        assert len(await asked(city, token)) == 1
        clock.now_ms += 37 * HOUR
        assert await asked(city, token) == []
        assert await listed(city) == []
        assert len(await listed(city, **{"from": NOW_MS})) == 1


async def test_pages_are_told_of_each_change_once(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        made = await plan(city)
        await city.centre.reload()
        await city.client.delete(f"/api/v1/meetings/{made['id']}")
        await city.centre.reload()
        told = [event for event in city.centre.events.kept() if b"event: meeting\n" in event]
        assert len(told) == 2
        assert b'"cancelled_at":null' in told[0]
        assert b'"cancelled_at":%d' % NOW_MS in told[1]


async def test_the_list_is_read_in_pages_in_order_of_time(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        for hour in (6, 2, 4, 2):
            await plan(city, **{"from": NOW_MS + hour * HOUR, "to": NOW_MS + (hour + 1) * HOUR})
        starts: list[int] = []
        following: dict[str, str] = {}
        for _ in range(4):
            answer = (await city.client.get("/api/v1/meetings", params={"limit": 1, **following})).json()
            starts += [(meeting["from"] - NOW_MS) // HOUR for meeting in answer["meetings"]]
            following = {"after": answer["next"] or ""}
        assert starts == [2, 2, 4, 6]
        assert answer["next"] is None


@pytest.mark.parametrize("query", ["from=9&to=8", "after=x", "limit=0", "limit=501", "from=-1", "to=99999999999999999"])
async def test_a_wrong_question_is_answered_with_a_sentence(tmp_path: Path, query: str) -> None:
    async with operated(tmp_path) as city:
        answer = await city.client.get(f"/api/v1/meetings?{query}")
        assert answer.status_code == 422
        assert answer.json()["detail"]


async def test_what_does_not_exist_or_cannot_be_read_is_said(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:

        async def status(method: str, path: str, **more: Any) -> int:
            answer: httpx.Response = await city.client.request(method, f"/api/v1/meetings{path}", **more)
            assert answer.json()["detail"].endswith(".")
            return answer.status_code

        assert await status("GET", "/m-9") == 404
        assert await status("PUT", "/m-9", json=PLAN) == 404
        assert await status("DELETE", "/m-9") == 404
        assert await status("POST", "", content=b"[1", headers={"Content-Type": "application/json"}) == 422
        assert await status("POST", "", content=b"{}", headers={"Content-Type": "text/plain"}) == 415
        assert await status("DELETE", "/m-9", headers={"If-Match": "three"}) == 422


async def test_meetings_are_there_after_a_restart(tmp_path: Path) -> None:
    async with operated(tmp_path) as city:
        made = await plan(city)
    async with operated(tmp_path) as city:
        assert [meeting.id for meeting in city.centre.meetings] == [made["id"]]
        assert [event for event in city.centre.events.kept() if b"event: meeting\n" in event] == []
        with transaction(tmp_path) as connection:
            assert connection.execute("SELECT count(*) FROM meetings").fetchone() == (1,)
