"""POST reports: every bad input its own clear answer, and 200 only for what is durable."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import zstandard

from monitor.collect import DAY_MS, UNKNOWN_PER_DEVICE
from monitor.devices import Role, revoke_device
from monitor.store.database import path_in, reading, transaction
from monitor.store.reads import runs_after
from monitor.store.runs import Run
from probes.report import Batch, Gone, encode
from tests.monitor.house import GOOD_LINK, NOW_MS, house, reports_from


def runs_in(data: Path) -> list[Run]:
    with reading(data) as connection:
        return list(runs_after(connection, 0))


def sentence_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["detail"].endswith(".")
    return str(problem["detail"])


async def test_good_reports_are_stored_and_sent_again_they_are_known(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        reports = [make(**GOOD_LINK), make(**GOOD_LINK)]
        first = await centre.post(device, token, reports)
        again = await centre.post(device, token, reports)
    assert (first.status_code, first.json()) == (200, {"stored": 2, "known": 0, "refused": [], "agenda": []})
    assert again.json() == {"stored": 0, "known": 2, "refused": [], "agenda": []}
    assert [run.report for run in runs_in(tmp_path)] == reports
    assert {run.site for run in runs_in(tmp_path)} == {"31-1"}


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "identity"])
async def test_each_encoding_of_the_wire_is_read(tmp_path: Path, encoding: str) -> None:
    pack = {"gzip": gzip.compress, "zstd": zstandard.compress, "identity": bytes}[encoding]
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        body = pack(encode(Batch(1, device.id, NOW_MS, [reports_from()(**GOOD_LINK)])))
        answer = await centre.post_body(token, body, **{"Content-Encoding": encoding})
    assert answer.json()["stored"] == 1


@pytest.mark.parametrize("header", [None, "Basic abc", "Bearer", "Bearer wrong"])
async def test_without_a_good_token_nothing_is_read(tmp_path: Path, header: str | None) -> None:
    async with house(tmp_path) as centre:
        headers = {"Authorization": header} if header else {}
        answer = await centre.client.post("/api/v1/reports", content=b"x" * (2 << 20), headers=headers)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]
    assert "token" in sentence_of(answer).lower()


async def test_a_revoked_device_is_told_so(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        assert (await centre.post(device, token, [])).status_code == 200
        with transaction(tmp_path) as connection:
            revoke_device(connection, device.id, NOW_MS)
        await centre.centre.reload()
        answer = await centre.post(device, token, [reports_from()(**GOOD_LINK)])
    assert answer.status_code == 401
    assert "revoked" in sentence_of(answer)
    assert runs_in(tmp_path) == []


async def test_a_device_may_not_speak_for_another_device_or_site(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        other, _ = centre.device("31-2")
        make = reports_from()
        as_other = await centre.post(other, token, [make(**GOOD_LINK)])
        of_other = await centre.post(device, token, [make(**GOOD_LINK), make(site="31-2", **GOOD_LINK)])
    assert as_other.status_code == of_other.status_code == 403
    assert other.id in sentence_of(as_other)
    assert "'31-2'" in sentence_of(of_other)
    assert runs_in(tmp_path) == []


@pytest.mark.parametrize("role", [Role.HUB, Role.CENTRAL, Role.BROWSER])
async def test_roles_that_see_many_sites_may_speak_for_them(tmp_path: Path, role: Role) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("hp", role)
        make = reports_from()
        answer = await centre.post(
            device, token, [make("reach", site="31-2", up=1), make("reach", site="nowhere", up=1)]
        )
    assert answer.status_code == 200
    assert answer.json()["stored"] == 1
    (refused,) = answer.json()["refused"]
    assert (refused["boot"], refused["seq"]) == ("b1", 2)
    assert "'nowhere'" in refused["why"]
    assert [run.site for run in runs_in(tmp_path)] == ["31-2"]


async def test_a_body_too_long_is_refused_by_its_length_and_while_it_comes(tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    async with house(tmp_path) as centre:
        _, token = centre.device("31-1")
        headers = {"Authorization": f"Bearer {token}"}
        stated = await centre.client.post("/api/v1/reports", content=b" " * ((1 << 20) + 1), headers=headers)
        streamed = await centre.client.post("/api/v1/reports", content=endless(), headers=headers)
        bomb = await centre.post_body(token, zstandard.compress(b" " * (5 << 20)), **{"Content-Encoding": "zstd"})
        many = b'{"wire":1,"device":"d-1","sent_at":1,"reports":[' + b",".join([b"{}"] * 1001) + b"]}"
        crowded = await centre.post_body(token, many)
    for answer in (stated, streamed, bomb, crowded):
        assert answer.status_code == 413
        assert "fewer reports" in sentence_of(answer) or "at most" in sentence_of(answer)


async def test_what_is_not_json_or_not_a_known_encoding_is_415(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        _, token = centre.device("31-1")
        encoding = await centre.post_body(token, b"{}", **{"Content-Encoding": "br"})
        kind = await centre.post_body(token, b"a=1", **{"Content-Type": "application/x-www-form-urlencoded"})
    assert encoding.status_code == kind.status_code == 415
    assert "gzip or zstd" in sentence_of(encoding)
    assert "application/json" in sentence_of(kind)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"wire":1}', "device"),
        (b'{"wire":2,"device":"d-1","sent_at":1}', "version 2"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
async def test_a_batch_that_cannot_be_read_is_422(tmp_path: Path, body: bytes, word: str) -> None:
    async with house(tmp_path) as centre:
        _, token = centre.device("31-1")
        answer = await centre.post_body(token, body)
    assert answer.status_code == 422
    assert word in sentence_of(answer)


async def test_a_bad_report_is_refused_alone_and_unknown_keys_are_counted(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        good, late = msgspec.to_builtins(make(**GOOD_LINK)), msgspec.to_builtins(make(**GOOD_LINK))
        bad = {**good, "seq": 7, "values": {"rtt_p50_ms": None}}
        body = msgspec.json.encode(
            {
                "wire": 1,
                "device": device.id,
                "sent_at": NOW_MS,
                "reports": [good, bad, {**late, "colour": "red"}],
                "x": 1,
            }
        )
        answer = await centre.post_body(token, body)
        ignored = centre.centre.collector.counts.ignored_keys
    assert answer.json()["stored"] == 2
    (refused,) = answer.json()["refused"]
    assert (refused["boot"], refused["seq"]) == ("b1", 7)
    assert ignored == 2


async def test_an_impossible_time_is_stored_as_received_and_labelled(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        times = [0, NOW_MS + DAY_MS + 1, NOW_MS + DAY_MS, NOW_MS - 400 * DAY_MS]
        await centre.post(device, token, [make(at=at, **GOOD_LINK) for at in times])
    found = [(run.report.at, run.report.labels, run.received_at) for run in runs_in(tmp_path)]
    assert found == [
        (NOW_MS - 400 * DAY_MS, {}, NOW_MS),
        (NOW_MS, {"clock": "wrong"}, NOW_MS),
        (NOW_MS, {"clock": "wrong"}, NOW_MS),
        (NOW_MS + DAY_MS, {}, NOW_MS),
    ]


async def test_undeclared_metrics_are_kept_up_to_a_bound_that_outlives_a_restart(tmp_path: Path) -> None:
    make = reports_from()
    strange = {f"strange_{number}": number for number in range(UNKNOWN_PER_DEVICE + 5)}
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        await centre.post(device, token, [make(**GOOD_LINK, **strange)])
        assert centre.centre.collector.counts.left_out_values == 5
    async with house(tmp_path) as centre:
        await centre.post(device, token, [make(rtt_p50_ms=4, strange_0=1, one_more=2)])
    first, second = runs_in(tmp_path)
    assert len(first.report.values) == len(GOOD_LINK) + UNKNOWN_PER_DEVICE
    assert second.report.values == {"rtt_p50_ms": 4, "strange_0": 1}


async def test_gone_ranges_are_taken_with_the_reports(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        answer = await centre.post(device, token, [reports_from(start=9)(**GOOD_LINK)], [Gone("b1", 1, 8, "disk_full")])
    assert answer.json()["stored"] == 1
    with reading(tmp_path) as connection:
        assert connection.execute("SELECT from_seq, to_seq, why FROM gone").fetchall() == [(1, 8, "disk_full")]


async def test_a_store_that_takes_nothing_answers_503_and_readyz_says_so_until_it_is_back(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        blocker = sqlite3.connect(path_in(tmp_path), isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")  # as a command that hangs in the middle of its change
        blocked = await centre.post(device, token, [make(**GOOD_LINK)])
        ready = await centre.client.get("/readyz")
        blocker.execute("ROLLBACK")
        blocker.close()
        stored = await centre.post(device, token, [make(**GOOD_LINK)])
        ready_again = await centre.client.get("/readyz")
    assert blocked.status_code == ready.status_code == 503
    assert int(blocked.headers["retry-after"]) > 0
    assert "send it again" in sentence_of(blocked)
    assert "takes nothing" in sentence_of(ready)
    assert (stored.status_code, ready_again.status_code) == (200, 200)
    assert [run.report.seq for run in runs_in(tmp_path)] == [2]


async def test_the_centre_is_ready_and_well(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        for path in ("/healthz", "/readyz"):
            assert (await centre.client.get(path)).json() == {"ok": True}


async def test_what_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        missing = await centre.client.get("/api/v1/nothing")
        method = await centre.client.delete("/api/v1/sites")
    assert (missing.status_code, method.status_code) == (404, 405)
    assert "/api/v1/nothing" in sentence_of(missing)
    assert "DELETE" in sentence_of(method)


async def test_every_answer_forbids_what_a_page_does_not_need(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        for path in ("/", "/api/v1/sites", "/nothing"):
            headers = (await centre.client.get(path)).headers
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
