"""Enrolment, the agenda and what a hub is told."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from pathlib import Path
from typing import Any

import pytest

from monitor.agenda import AgendaError, add_item
from monitor.devices import Role, add_device, new_code, revoke_device
from monitor.settings import Settings
from monitor.store.database import transaction
from tests.monitor.house import GOOD_LINK, HUBS, NOW_MS, House, house, prepare_city, reports_from

HOUR = 3_600_000


def code_for(centre: House, site: str, role: Role = Role.PROBE) -> str:
    with transaction(centre.data) as connection:
        return new_code(connection, site, role, NOW_MS, HOUR)


async def test_a_code_makes_a_device_once(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        code = code_for(centre, "31-1")
        first = await centre.client.post("/api/v1/enrol", json={"code": f"{code}-plain"})
        again = await centre.client.post("/api/v1/enrol", json={"code": code})
        enrolled = first.json()
        headers = {"Authorization": f"Bearer {enrolled['token']}"}
        agenda = await centre.client.get("/api/v1/agenda", headers=headers)
    assert (enrolled["site"], enrolled["role"], enrolled["class"]) == ("31-1", "probe", "fibre")
    assert [hub["id"] for hub in enrolled["hubs"]] == ["hp", "hd"]
    assert enrolled["limits"]["limits"]["link.rtt_p50_ms"]["good"] == [None, 100]
    assert agenda.status_code == 200
    assert again.status_code == 403
    assert "used already" in again.json()["detail"]


async def test_a_code_is_read_as_people_write_it(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        code = code_for(centre, "31-1").replace("-", "").lower()
        answer = await centre.client.post("/api/v1/enrol", json={"code": f" {code[:4]} {code[4:]} "})
    assert answer.status_code == 200


async def test_an_old_or_unknown_code_is_refused_with_what_to_do(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        code = code_for(centre, "31-1")
        centre.clock.now_ms += HOUR + 1
        old = await centre.client.post("/api/v1/enrol", json={"code": code})
        unknown = await centre.client.post("/api/v1/enrol", json={"code": "ABCD-EFGH"})
        nonsense = await centre.client.post("/api/v1/enrol", json={"kode": 1})
    assert (old.status_code, unknown.status_code, nonsense.status_code) == (403, 403, 422)
    assert "too old" in old.json()["detail"]
    assert "not known" in unknown.json()["detail"]


async def test_guessing_codes_is_throttled(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        answers = [await centre.client.post("/api/v1/enrol", json={"code": "ABCD-EFGH"}) for _ in range(11)]
        good = await centre.client.post("/api/v1/enrol", json={"code": code_for(centre, "31-1")})
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) <= 60
    assert good.status_code == 429, "a guesser learns nothing more until the time is over"


async def test_keys_of_device_and_hub_agree(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        _, hub_token = centre.device("hp", Role.HUB)
        enrolled = (await centre.client.post("/api/v1/enrol", json={"code": code_for(centre, "31-1")})).json()
        headers = {"Authorization": f"Bearer {hub_token}"}
        answer = await centre.client.get("/api/v1/hub/sites", headers=headers)
        unchanged = await centre.client.get(
            "/api/v1/hub/sites", headers={**headers, "If-None-Match": answer.headers["etag"]}
        )
        hub = centre.centre.devices.by_token(hub_token)
        assert hub is not None
        assert hub.hub_secret is not None
        device = enrolled["device"]
        key = hmac.new(bytes.fromhex(hub.hub_secret), f"stamp|{device}".encode(), hashlib.sha256).hexdigest()
        with transaction(tmp_path) as connection:
            revoke_device(connection, device, NOW_MS)
        await centre.centre.reload()
        later = await centre.client.get(
            "/api/v1/hub/sites", headers={**headers, "If-None-Match": answer.headers["etag"]}
        )
    by_id = {each["id"]: each for each in enrolled["hubs"]}
    assert by_id["hp"]["stamp_key"] == key
    assert by_id["hd"]["stamp_key"] is None, "a bridge without a hub of ours has no key"
    (told,) = answer.json()
    assert told == {"site": "31-1", "ssid": by_id["hp"]["ssid"], "stamp_key": key, "sources": ["10.1.0.0/24"]}
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (later.status_code, later.json()) == (200, []), "a revoked device is answered no more"


async def test_only_a_hub_reads_the_keys(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        _, token = centre.device("31-1")
        answer = await centre.client.get("/api/v1/hub/sites", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 403


async def test_the_agenda_hands_limits_once_and_then_waits_for_something_new(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-3")
        headers = {"Authorization": f"Bearer {token}"}
        (limits,) = (await centre.client.get("/api/v1/agenda?wait=25", headers=headers)).json()
        assert limits["do"] == "limits"
        assert limits["id"] == f"limits-{limits['args']['version']}"
        waiting = asyncio.create_task(centre.client.get("/api/v1/agenda?wait=25", headers=headers))
        await asyncio.sleep(0.1)
        assert not waiting.done(), "nothing is new"
        with transaction(tmp_path) as connection:
            item = add_item(connection, device.id, "burst", NOW_MS, NOW_MS + HOUR, '{"seconds": 60}', NOW_MS)
        await centre.centre.reload()
        answer = await asyncio.wait_for(waiting, 10)
    assert answer.json()[1:] == [
        {"id": item, "do": "burst", "at": NOW_MS, "until": NOW_MS + HOUR, "args": {"seconds": 60}}
    ]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"do": "dance"}, "'dance'"),
        ({"do": "limits"}, "'limits'"),
        ({"device": "d-0"}, "'d-0'"),
        ({"args": "[1]"}, "JSON object"),
        ({"args": "{"}, "JSON object"),
        ({"until": NOW_MS}, "until"),
    ],
)
def test_what_cannot_be_asked_of_a_device_is_refused(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    prepare_city(tmp_path)
    with transaction(tmp_path) as connection:
        device, _ = add_device(connection, "31-1", Role.PROBE, NOW_MS)
        asked = {
            "device": device.id,
            "do": "path",
            "at": NOW_MS,
            "until": NOW_MS + HOUR,
            "args": "{}",
            "now_ms": NOW_MS,
        }
        with pytest.raises(AgendaError, match=re.escape(word)):
            add_item(connection, **{**asked, **change})


async def test_the_agenda_is_not_said_again_to_who_has_it(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        _, token = centre.device("31-1")
        headers = {"Authorization": f"Bearer {token}"}
        tag = (await centre.client.get("/api/v1/agenda", headers=headers)).headers["etag"]
        answer = await centre.client.get("/api/v1/agenda", headers={**headers, "If-None-Match": tag})
    assert (answer.status_code, answer.content) == (304, b"")


async def test_an_item_comes_with_every_answer_until_its_report_is_stored_or_its_time_is_over(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        with transaction(tmp_path) as connection:
            done = add_item(connection, device.id, "path", NOW_MS, NOW_MS + 2 * HOUR, "{}", NOW_MS)
            over = add_item(connection, device.id, "quiet", NOW_MS, NOW_MS + HOUR, "{}", NOW_MS)
        await centre.centre.reload()
        make = reports_from()
        asked = (await centre.post(device, token, [make(**GOOD_LINK)])).json()["agenda"]
        assert [item["id"] for item in asked] == [done, over]
        await centre.post(device, token, [make(labels={"agenda": done}, path_hops_count=4)])
        while len(centre.centre.agendas.open_items(device.id, NOW_MS)) > 1:
            await asyncio.sleep(0.01)
            await centre.centre.reload()
        centre.clock.now_ms += HOUR
        assert (await centre.post(device, token, [])).json()["agenda"] == []


async def test_a_device_that_is_waiting_is_answered_when_the_centre_stops(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        _, token = centre.device("31-1")
        headers = {"Authorization": f"Bearer {token}"}
        await centre.client.get("/api/v1/agenda", headers=headers)
        waiting = asyncio.create_task(centre.client.get("/api/v1/agenda?wait=25", headers=headers))
        await asyncio.sleep(0.1)
        centre.centre.let_go()
        assert (await asyncio.wait_for(waiting, 5)).status_code == 200


async def test_the_certificate_authority_is_handed_over(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----\n")
    async with house(tmp_path / "data", settings=Settings(hubs=HUBS, ca_file=str(ca))) as centre:
        answer = await centre.client.post("/api/v1/enrol", json={"code": code_for(centre, "31-1")})
        offered = await centre.client.get("/ca.pem")
    assert answer.json()["ca_pem"] == offered.text == ca.read_text()


async def test_a_centre_without_an_authority_offers_none(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        assert (await centre.client.get("/ca.pem")).status_code == 404
