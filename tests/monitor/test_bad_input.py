"""What a stranger or a device out of its mind sends: answered with a sentence, and nobody else is the worse for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import monitor.centre
import monitor.live
from monitor.sites import SitesError, parse_sites
from monitor.store.runs import Run
from tests.monitor.house import NOW_MS, house, reports_from

ABSURD = {"sent_packets": 2.0, "lost_up_packets": 900.0, "reflected_packets": -5.0, "lost_down_packets": 0.4}


async def test_counts_that_cannot_be_are_stored_and_stop_neither_the_answer_nor_the_next_start(tmp_path: Path) -> None:
    make = reports_from()
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        answer = await centre.post(device, token, [make(**ABSURD), make(rtt_p50_ms=5)])
        assert answer.json()["stored"] == 2
    async with house(tmp_path) as centre:
        streams = (await centre.site("31-1"))["streams"]
    assert rtt_of(streams) == 5


async def test_a_run_that_cannot_be_shown_is_answered_and_its_neighbours_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitor.live.Live, "_take", failing_at(1, monitor.live.Live._take))
    make = reports_from()
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        answer = await centre.post(device, token, [make(rtt_p50_ms=4), make(rtt_p50_ms=5)])
        streams = (await centre.site("31-1"))["streams"]
    assert answer.json()["stored"] == 2
    assert rtt_of(streams) == 5
    assert "cannot be shown" in caplog.text


def rtt_of(streams: list[dict[str, Any]]) -> float:
    figures = {figure["metric"]: figure["value"] for figure in streams[0]["figures"]}
    value: float = figures["link.rtt_p50_ms"]
    return value


def failing_at(seq: int, take: Callable[..., bool]) -> Callable[..., bool]:
    """The real step, but for one run at which it meets a fault that nobody has thought of."""

    def took(live: monitor.live.Live, run: Run, *more: object) -> bool:
        if run.report.seq == seq:
            raise ZeroDivisionError
        return take(live, run, *more)

    return took


async def test_a_fault_in_what_looks_on_keeps_no_sender_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(centre: monitor.centre.Centre, runs: list[Run]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(monitor.centre.Centre, "_on_stored", fail)
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        answer = await centre.post(device, token, [reports_from()()])
    assert answer.json()["stored"] == 1
    assert "are stored" in caplog.text


@pytest.mark.parametrize("sent_at", [1 << 63, -(1 << 70), 1 << 53])
async def test_a_time_beyond_all_numbers_is_422_and_the_store_stays_well(tmp_path: Path, sent_at: int) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        body = f'{{"wire": 1, "device": "{device.id}", "sent_at": {sent_at}, "reports": []}}'.encode()
        answer = await centre.post_body(token, body)
        ready = await centre.client.get("/readyz")
    assert answer.status_code == 422
    assert answer.json()["detail"] == f"sent_at {sent_at} is no time in ms."
    assert ready.status_code == 200


@pytest.mark.parametrize(
    "query", ["probe=link&before=99999999999999999999", "probe=link&from=99999999999999999999", "probe=link%0A"]
)
async def test_a_number_beyond_all_numbers_in_a_query_is_422(tmp_path: Path, query: str) -> None:
    async with house(tmp_path) as centre:
        answer = await centre.client.get(f"/api/v1/sites/31-1/reports?{query}")
    assert answer.status_code == 422


async def test_a_query_that_is_no_text_is_answered_where_nothing_is(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        said: list[int] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b""}

        async def send(message: dict[str, int]) -> None:
            said.append(message.get("status", 0))

        app = centre.client._transport.app  # type: ignore[attr-defined]
        scope = {"type": "http", "method": "GET", "path": "/nothing", "query_string": b"\xff", "headers": []}
        await app(scope, receive, send)
    assert said[0] == 404


@pytest.mark.parametrize("header", ['id,"a"b\n', 'id,type,name_vi,bridge,"x\n', ""])
def test_a_header_that_is_no_csv_is_refused_with_its_line(header: str) -> None:
    with pytest.raises(SitesError, match=r"^line 1: .*\.$"):
        parse_sites(header)


async def test_the_reports_of_a_broken_device_do_not_keep_the_store_from_those_of_others(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        broken, broken_token = centre.device("31-1")
        sound, token = centre.device("31-2")
        body = f'{{"wire":1,"device":"{broken.id}","sent_at":{NOW_MS},"reports":[{{"boot":"b","seq":1,"probe":"link",'
        body += f'"at":{1 << 62}}}]}}'
        assert (await centre.post_body(broken_token, body.encode())).json()["refused"][0]["seq"] == 1
        assert (await centre.post(sound, token, [reports_from()()])).json()["stored"] == 1
    with sqlite3.connect(tmp_path / "diemcau.db") as connection:
        assert connection.execute("SELECT count(*) FROM runs_link").fetchone() == (1,)
    connection.close()
