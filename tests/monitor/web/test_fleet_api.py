"""Devices as people set them: made, enrolled, given a new token, revoked; and who wrote down what."""

from __future__ import annotations

from pathlib import Path

from monitor.access.roles import Role
from monitor.devices import OLD_TOKEN_MS
from monitor.devices import Role as DeviceRole
from tests.monitor.house import GOOD_LINK, House, house, reports_from
from tests.monitor.people import person


async def takes(city: House, token: str) -> int:
    answer = await city.client.get("/api/v1/agenda", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


async def test_the_old_token_holds_until_the_new_one_is_used(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as operator:
        device, old = city.device("31-1")
        answer = await operator.post(f"/api/v1/devices/{device.id}/token?reason=nghi lộ mã")
        new = answer.json()["token"]
        assert (answer.headers["cache-control"], new != old) == ("no-store", True)
        assert await takes(city, old) == 200
        city.clock.now_ms += OLD_TOKEN_MS - 1
        assert await takes(city, old) == 200
        assert await takes(city, new) == 200
        assert await takes(city, old) == 401
        assert await takes(city, new) == 200


async def test_an_old_token_ends_by_itself(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as operator:
        device, old = city.device("31-1")
        new = (await operator.post(f"/api/v1/devices/{device.id}/token")).json()["token"]
        city.clock.now_ms += OLD_TOKEN_MS + 1
        assert (await takes(city, old), await takes(city, new)) == (401, 200)


async def test_a_device_that_lost_the_answer_asks_again(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        device, old = city.device("31-1")
        ask = {"Authorization": f"Bearer {old}"}
        lost = (await city.client.post("/api/v1/device/token", headers=ask)).json()["token"]
        found = (await city.client.post("/api/v1/device/token", headers=ask)).json()
        assert found["device"] == device.id
        assert await takes(city, lost) == 401
        report = reports_from()(**GOOD_LINK)
        assert (await city.post(device, found["token"], [report])).json()["stored"] == 1
        assert await takes(city, old) == 401


async def test_a_revoked_device_is_out_with_both_its_tokens(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as operator:
        device, old = city.device("31-1")
        path = f"/api/v1/devices/{device.id}"
        new = (await operator.post(f"{path}/token")).json()["token"]
        assert (await operator.delete(f"{path}?reason=mất máy")).status_code == 204
        assert (await takes(city, old), await takes(city, new)) == (401, 401)
        assert (await operator.post(f"{path}/token")).status_code == 409


async def test_a_code_made_on_a_page_enrols_a_device(tmp_path: Path) -> None:
    async with house(tmp_path) as city, person(city, "op", Role.OPERATOR) as operator:
        made = (await operator.post("/api/v1/codes", json={"site": "31-1", "reason": "lắp mới"})).json()
        assert made["code"].endswith("-plain")
        enrolled = (await city.client.post("/api/v1/enrol", json={"code": made["code"]})).json()
        assert (enrolled["site"], await takes(city, enrolled["token"])) == ("31-1", 200)
        assert (await operator.post("/api/v1/codes", json={"site": "nowhere"})).status_code == 422


async def test_what_speaks_for_many_sites_is_for_administrators_to_set(tmp_path: Path) -> None:
    async with (
        house(tmp_path) as city,
        person(city, "op", Role.OPERATOR) as operator,
        person(city, "boss", Role.ADMIN) as admin,
    ):
        hub, token = city.device("hp", DeviceRole.HUB)
        await city.centre.reload()
        body = {"site": "hd", "role": "hub"}
        for client, status in ((operator, 403), (admin, 201)):
            for path in ("/api/v1/devices", "/api/v1/codes"):
                assert (await client.post(path, json=body)).status_code == status, path
        assert (await operator.post(f"/api/v1/devices/{hub.id}/token")).status_code == 403
        assert (await operator.delete(f"/api/v1/devices/{hub.id}")).status_code == 403
        assert (await admin.post(f"/api/v1/devices/{hub.id}/token")).status_code == 200
        assert await takes(city, token) == 200
