"""What pages, programs and Prometheus read."""

from __future__ import annotations

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from monitor.access.tokens import new_api_token
from monitor.app import make_app
from monitor.devices import Role
from monitor.store.database import transaction
from probes.report import Report
from tests.monitor.house import GOOD_LINK, NOW_MS, House, house, reports_from

S = 1000


async def fill(centre: House) -> list[Report]:
    """Five minutes of one site, with two minutes missing."""
    device, token = centre.device("31-1")
    make = reports_from()
    ats = [NOW_MS + second * S for second in (0, 10, 20, 30, 180, 190, 200)]
    reports = [make(at=at, **{**GOOD_LINK, "rtt_p50_ms": 5 + number}) for number, at in enumerate(ats)]
    reports += [make(at=at, target="hp", rtt_p50_ms=50) for at in ats]
    centre.clock.now_ms = ats[-1]
    assert (await centre.post(device, token, reports)).json()["stored"] == len(reports)
    return reports


async def test_the_list_of_sites_is_not_sent_twice_when_nothing_has_changed(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        await fill(centre)
        first = await centre.client.get("/api/v1/sites")
        tag = {"If-None-Match": first.headers["etag"]}
        assert (await centre.client.get("/api/v1/sites", headers=tag)).status_code == 304
        centre.clock.now_ms += 60 * S
        assert (await centre.client.get("/api/v1/sites", headers=tag)).status_code == 200
    assert [site["id"] for site in first.json()["sites"]] == ["hp", "hd", "31-1", "31-2", "31-3"]
    assert [site["name"]["vi"] for site in first.json()["sites"][2:4]] == ["Cẩm Giang", "Cẩm Giàng"]


async def test_raw_runs_are_read_newest_first_in_pages(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        reports = await fill(centre)
        query = f"/api/v1/sites/31-1/reports?probe=link&from={NOW_MS}&to={NOW_MS + 3_600_000}&limit=5"
        found: list[int] = []
        after = ""
        while True:
            page = (await centre.client.get(query + after)).json()
            found += [report["seq"] for report in page["reports"]]
            if page["next"] is None:
                break
            after = f"&before={page['next']}"
        last = (await centre.client.get(query)).json()["reports"][0]
    assert found == [report.seq for report in sorted(reports, key=lambda each: (each.at, each.seq), reverse=True)]
    assert last["values"] == reports[-1].values
    assert last["received_at"] == NOW_MS + 200 * S


async def test_a_series_keeps_its_gaps(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        await fill(centre)
        query = f"/api/v1/series?site=31-1&metric=link.rtt_p50_ms&target=hd&from={NOW_MS}&to={NOW_MS + 3_600_000}"
        raw = (await centre.client.get(query)).json()
        minutes = (await centre.client.get(query + "&step=60000")).json()
        other = (await centre.client.get(query.replace("target=hd", "target=hp"))).json()
    assert raw["points"][:2] == [[NOW_MS, 5], [NOW_MS + 10 * S, 6]]
    assert len(raw["points"]) == 7
    assert minutes["points"] == [[NOW_MS, 5, 6.5, 8], [NOW_MS + 180 * S, 9, 10, 11]]
    assert {value for _, value in other["points"]} == {50}
    assert raw["unit"] == "ms"


async def test_what_cannot_be_asked_says_so(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        for path, status, word in (
            ("/api/v1/sites/nowhere", 404, "nowhere"),
            ("/api/v1/sites/31-1/reports?probe=Link", 422, "probe"),
            ("/api/v1/sites/31-1/reports?probe=link&limit=0", 422, "limit"),
            ("/api/v1/series?site=31-1&metric=rtt", 422, "metric"),
            ("/api/v1/series?site=31-1&metric=link.a');--", 422, "metric"),
            ("/api/v1/series?site=31-1&metric=link.rtt_p50_ms&from=9&to=3", 422, "from"),
            ("/api/v1/series?site=31-1", 422, "metric"),
            ("/api/v1/series?site=31-1&metric=link.rtt_p50_ms&from=99999999999999999999", 422, "from"),
        ):
            answer = await centre.client.get(path)
            assert answer.status_code == status, (path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert word in answer.json()["detail"], path


async def test_the_list_of_devices_needs_an_api_token_and_shows_no_secret(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        await fill(centre)
        _, device_token = centre.device("hp", Role.HUB)
        without = await centre.client.get("/api/v1/devices")
        wrong = await centre.client.get("/api/v1/devices", headers={"Authorization": f"Bearer {device_token}"})
        with transaction(tmp_path) as connection:
            token = new_api_token(connection, "grafana", NOW_MS)
        answer = await centre.client.get("/api/v1/devices", headers={"Authorization": f"Bearer {token}"})
    assert (without.status_code, wrong.status_code) == (401, 401)
    assert {device["site"]: device["last_heard"] for device in answer.json()["devices"]} == {
        "31-1": NOW_MS + 200 * S,
        "hp": None,
    }
    assert "secret" not in answer.text
    assert "token" not in answer.text


async def metrics_of(house: House) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    text = (await house.client.get("/metrics")).text
    return {
        family.name: {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


async def test_prometheus_reads_base_units_and_stale_series_disappear(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        await fill(centre)
        found = await metrics_of(centre)
        centre.clock.now_ms += 31 * S
        stale = await metrics_of(centre)
    key = (("grade", "device"), ("line", "main"), ("site", "31-1"), ("target", "hd"))
    assert found["diemcau_link_rtt_p50_seconds"][key] == 0.011
    assert found["diemcau_verdict"][("mark", "line"), ("site", "31-1"), ("verdict", "good")] == 1
    names = {dict(labels)["name"] for labels in found["diemcau_site_info"]}
    assert {"Cẩm Giang", "Cẩm Giàng"} <= names
    assert any(dict(labels)["metric"] == "diemcau_link_rtt_p50_seconds" for labels in found["diemcau_limit"])
    assert found["diemcau_centre_reports_stored"] == {(): 14}
    assert "diemcau_link_rtt_p50_seconds" not in stale
    assert stale["diemcau_verdict"][("mark", "line"), ("site", "31-1"), ("verdict", "unknown")] == 1


async def test_metrics_are_for_this_machine_or_a_token(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        forwarded = await centre.client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.9"})
        with transaction(tmp_path) as connection:
            token = new_api_token(connection, "prometheus", NOW_MS)
        transport = httpx.ASGITransport(make_app(centre.centre), client=("192.0.2.7", 4000))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as stranger:
            without = await stranger.get("/metrics")
            with_token = await stranger.get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert (forwarded.status_code, without.status_code, with_token.status_code) == (401, 401, 200)


async def test_the_openapi_names_every_route(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        paths = (await centre.client.get("/api/v1/openapi.json")).json()["paths"]
    assert {f"/api/v1/{name}" for name in ("reports", "enrol", "agenda", "hub/sites", "sites", "events")} <= set(paths)
