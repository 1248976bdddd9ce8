"""Live verdicts: what a site shows after which reports, and after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.devices import Device, Role
from monitor.store.database import connect, path_in
from probes.report import Report
from tests.monitor.house import GOOD_LINK, NOW_MS, HandClock, House, house, reports_from

S = 1000


async def mark(house: House, site: str = "31-1", name: str = "line") -> tuple[str, str | None]:
    found = (await house.site(site))["marks"][name]
    return found["verdict"], found["why"]


async def verdict(house: House, site: str = "31-1") -> tuple[str, str | None]:
    found = await house.site(site)
    return found["verdict"], found["why"]


async def at_once(house: House, who: tuple[Device, str], *reports: Report) -> None:
    """Send reports at the time of the latest of them."""
    house.clock.now_ms = max(house.clock.now_ms, *(report.at for report in reports))
    assert (await house.post(*who, list(reports))).status_code == 200


async def test_a_site_without_a_device_is_not_fitted_and_outside_the_counts(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        centre.device("31-1")
        await centre.centre.reload()
        assert await verdict(centre, "31-2") == ("not_fitted", None)
        assert await verdict(centre, "31-1") == ("unknown", "never")
        counts = (await centre.client.get("/api/v1/sites")).json()["counts"]
    assert counts == {"sites": 5, "fitted": 1, "not_fitted": 4, "good": 0, "fair": 0, "poor": 0, "unknown": 1, "off": 0}


async def test_a_good_line_is_good_and_marks_that_never_reported_are_not_fitted(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        await centre.post(device, token, [reports_from()(**GOOD_LINK)])
        assert await mark(centre) == await verdict(centre) == ("good", None)
        assert await mark(centre, name="power") == ("not_fitted", None)


async def test_a_bad_reading_is_believed_at_the_third_of_five(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        seen = []
        for number, rtt in enumerate([5, 900, 5, 900, 900]):
            at = NOW_MS + number * 10 * S
            centre.clock.now_ms = at
            await centre.post(device, token, [make(at=at, **{**GOOD_LINK, "rtt_p50_ms": rtt})])
            seen.append((await mark(centre))[0])
        found = (await centre.site("31-1"))["marks"]["line"]
    assert seen == ["good", "good", "good", "good", "poor"]
    assert (found["metric"], found["value"], found["since"]) == ("link.rtt_p50_ms", 900, NOW_MS + 40 * S)


async def test_silence_is_unknown_since_the_last_word_and_an_event_tells_it(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        await centre.post(device, token, [reports_from()(**GOOD_LINK)])
        centre.clock.now_ms += 30 * S
        centre.centre.live.sweep(centre.clock.now_ms)
        assert await mark(centre) == ("good", None)
        centre.clock.now_ms += 1
        centre.centre.live.sweep(centre.clock.now_ms)
        assert await mark(centre) == ("unknown", "stale")
        assert (await centre.site("31-1"))["since"] == NOW_MS
        events = centre.centre.events.kept()
    assert b'"verdict":"unknown"' in events[-1]
    assert b'"was":"good"' in events[-1]


async def test_only_the_main_line_to_the_own_bridge_decides_the_line(tmp_path: Path) -> None:
    dead = {
        "sent_packets": 100,
        "reflected_packets": 0,
        "received_packets": 0,
        "lost_up_packets": 100,
        "loss_up_ratio": 1,
    }
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        for number in range(6):
            at = NOW_MS + number * 10 * S
            other, backup = make(at=at, target="hp", **dead), make(at=at, line="backup", **dead)
            await at_once(centre, (device, token), make(at=at, loss_up_ratio=0, **GOOD_LINK), other, backup)
        assert await mark(centre) == ("good", None)
        streams = {(each["target"], each["line"]): each for each in (await centre.site("31-1"))["streams"]}
    verdicts = {
        key: {figure["verdict"] for figure in each["figures"] if figure["metric"] == "link.loss_up_ratio"}
        for key, each in streams.items()
    }
    assert verdicts == {("hd", "main"): {"good"}, ("hp", "main"): {"poor"}, ("hd", "backup"): {"poor"}}


async def test_a_bridge_is_judged_by_its_link_to_the_other_bridge(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("hp", Role.HUB)
        await centre.post(device, token, [reports_from()(target="hd", **GOOD_LINK)])
        assert await mark(centre, "hp") == ("good", None)


async def test_a_first_hop_alone_does_not_make_the_line_good(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make("lan", gateway_rtt_p50_ms=1)])
        assert await mark(centre) == ("unknown", "never")
        await centre.post(device, token, [make(**GOOD_LINK)])
        assert await mark(centre) == ("good", None)


async def test_a_run_that_accuses_is_poor_at_once_and_clears_after_six_good_ones(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make(**GOOD_LINK)])
        seen = []
        for number in range(1, 9):
            centre.clock.now_ms = at = NOW_MS + number * 10 * S
            failure = "hub_unreachable" if number == 1 else None
            await centre.post(device, token, [make(at=at, failure=failure, **({} if failure else GOOD_LINK))])
            found = (await centre.site("31-1"))["marks"]["line"]
            seen.append((found["verdict"], found["failure"]))
    assert seen == [("poor", "link.hub_unreachable")] * 6 + [("good", None)] * 2


async def test_a_run_that_accuses_nobody_is_unknown_with_its_reason(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make(**GOOD_LINK)])
        await centre.post(device, token, [make(at=NOW_MS + 10 * S, failure="source_missing")])
        assert await mark(centre) == ("unknown", "no_device")
        await centre.post(device, token, [make(at=NOW_MS + 20 * S, **GOOD_LINK)])
        assert await mark(centre) == ("good", None)


async def test_a_silent_router_does_not_spoil_a_good_line(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make(**GOOD_LINK), make("lan", failure="gateway_silent", wifi=1)])
        assert await mark(centre) == ("good", None)


async def test_a_metric_that_is_no_longer_measured_drops_out_of_a_fresh_stream(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        bad = {**GOOD_LINK, "rtt_p50_ms": 900}
        for number in range(3):
            await centre.post(device, token, [make(at=NOW_MS + number * 10 * S, **bad)])
        assert (await mark(centre))[0] == "poor"
        without = {name: value for name, value in GOOD_LINK.items() if name != "rtt_p50_ms"}
        for number in range(3, 7):
            centre.clock.now_ms = at = NOW_MS + number * 10 * S
            await centre.post(device, token, [make(at=at, **without)])
        assert await mark(centre) == ("good", None)


async def test_nothing_judged_in_a_fresh_stream_is_unknown(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make(dscp_sent=0)])
        assert await mark(centre) == ("unknown", "not_measured")


async def test_late_reports_never_take_the_state_back(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make(**GOOD_LINK)])
        late = [make(at=NOW_MS - number * 10 * S, **{**GOOD_LINK, "rtt_p50_ms": 900}) for number in range(1, 9)]
        answer = await centre.post(device, token, late)
        assert answer.json()["stored"] == 8
        found = await centre.site("31-1")
    assert found["verdict"] == "good"
    assert found["streams"][0]["at"] == NOW_MS


async def test_a_batch_that_comes_newest_first_is_judged_in_the_order_of_time(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        reports = [make(at=NOW_MS + n * 10 * S, **{**GOOD_LINK, "rtt_p50_ms": 900}) for n in range(3)]
        await at_once(centre, (device, token), *reversed(reports))
        assert (await mark(centre))[0] == "poor", "three of three"


async def test_an_orderly_shutdown_is_off_until_the_device_speaks_again(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        await centre.post(device, token, [make(**GOOD_LINK)])
        await at_once(centre, (device, token), make("host", at=NOW_MS + S, off=1))
        await centre.post(device, token, [make(at=NOW_MS - 10 * S, **GOOD_LINK)])
        centre.clock.now_ms += 3_600 * S
        assert await verdict(centre) == ("unknown", "off")
        assert (await centre.site("31-1"))["since"] == NOW_MS + S
        assert (await centre.client.get("/api/v1/sites")).json()["counts"]["off"] == 1
        await centre.post(device, token, [make(at=centre.clock.now_ms, **GOOD_LINK)])
        assert await verdict(centre) == ("good", None)


async def test_a_clock_that_ran_ahead_does_not_block_what_comes_after_it_is_set_right(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        make = reports_from()
        hour = 3_600 * S
        await centre.post(device, token, [make(at=NOW_MS + hour, **GOOD_LINK)], sent_at=NOW_MS + hour)
        assert await verdict(centre) == ("good", None)
        centre.clock.now_ms += 20 * S
        await centre.post(device, token, [make(at=centre.clock.now_ms, **{**GOOD_LINK, "rtt_p50_ms": 7})])
        (stream,) = (await centre.site("31-1"))["streams"]
    assert next(each["value"] for each in stream["figures"] if each["metric"] == "link.rtt_p50_ms") == 7


async def test_a_device_whose_clock_is_an_hour_behind_is_heard_now(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        past = NOW_MS - 3_600 * S
        await centre.post(device, token, [reports_from()(at=past - 10 * S, **GOOD_LINK)], sent_at=past)
        assert await verdict(centre) == ("good", None)


async def test_what_the_centre_measures_of_a_site_without_a_device_is_shown_apart(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        central, token = centre.device("hp", Role.CENTRAL)
        make = reports_from()
        await centre.post(central, token, [make("reach", site="31-1", up=1, rtt_p50_ms=4)])
        found = await centre.site("31-1")
        assert (found["fitted"], found["verdict"]) == (False, "not_fitted")
        assert found["reach"] == {
            "answers": True, "since": NOW_MS, "at": NOW_MS, "stale": False, "failure": None, "rtt_p50_ms": 4,
        }  # fmt: skip
        assert found["streams"][0]["grade"] == "centre"
        await at_once(centre, (central, token), make("reach", site="31-1", at=NOW_MS + 10 * S, up=0))
        found = await centre.site("31-1")
        assert (found["reach"]["answers"], found["reach"]["since"]) == (False, NOW_MS + 10 * S)
        assert (await verdict(centre, "hp")) == ("not_fitted", None), "a prober at the centre fits no room"


async def test_a_hub_that_hears_nothing_is_evidence_until_the_site_is_heard(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        hub, hub_token = centre.device("hd", Role.HUB)
        device, token = centre.device("31-1")
        make, make_hub = reports_from(), reports_from("h1")
        await centre.post(device, token, [make(**GOOD_LINK)])
        await at_once(centre, (hub, hub_token), make_hub("hub", at=NOW_MS + 5 * S, site="31-1", session_silent=1))
        found = await centre.site("31-1")
        assert found["evidence"] == [{"hub": "hd", "says": "hears_nothing", "since": NOW_MS + 5 * S}]
        assert found["last_heard"] == NOW_MS
        await at_once(centre, (device, token), make(at=NOW_MS + 9 * S, **GOOD_LINK))
        assert (await centre.site("31-1"))["evidence"] == []


async def test_an_island_is_judged_by_limits_of_its_own_class(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        for site, target in (("31-1", "hd"), ("31-3", "hp")):
            device, token = centre.device(site)
            make = reports_from()
            reports = [make(at=NOW_MS + n * S, target=target, **{**GOOD_LINK, "rtt_p50_ms": 140}) for n in range(3)]
            await centre.post(device, token, reports)
        assert (await mark(centre, "31-1"))[0] == "fair"
        assert (await mark(centre, "31-3"))[0] == "good"


# --- rebuilt -----------------------------------------------------------------------------------------------------

readings = st.fixed_dictionaries(
    {},
    optional={
        "rtt_p50_ms": st.sampled_from([5.0, 150.0, 400.0]),
        "lost_up_packets": st.sampled_from([0.0, 1.0, 30.0]),
        "sent_packets": st.just(100.0),
        "dv_up_p99_ms": st.sampled_from([1.0, 99.0]),
        "rate_pps": st.sampled_from([10.0, 50.0]),
    },
)
moves = st.one_of(
    st.tuples(st.just("link"), st.sampled_from(["31-1", "31-2"]), st.integers(-60, 60), readings),
    st.tuples(st.just("failure"), st.just("31-1"), st.sampled_from(["hub_unreachable", "source_missing", "odd"])),
    st.tuples(st.just("off"), st.just("31-1")),
    st.tuples(st.just("silent"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("wait"), st.integers(1, 400)),
    st.tuples(st.just("keep")),
)


def report_of(move: tuple[Any, ...], make: Any, at: int) -> Report | None:
    match move:
        case ("link", _, offset, values):
            return make(at=at + offset * S, **values)  # type: ignore[no-any-return]
        case ("failure", _, code):
            return make(at=at, failure=code)  # type: ignore[no-any-return]
        case ("off", _):
            return make("host", at=at, off=1)  # type: ignore[no-any-return]
        case _:
            return None


def test_the_state_after_a_restart_is_the_state_before_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    @given(st.lists(moves, max_size=40))
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    def check(chosen: list[tuple[Any, ...]]) -> None:
        asyncio.run(live_through(tmp_path_factory.mktemp("rebuilt"), chosen))

    check()


async def live_through(data: Path, chosen: list[tuple[Any, ...]]) -> None:
    clock = HandClock()
    async with house(data, clock) as centre:
        known = {site: centre.device(site) for site in ("31-1", "31-2")}
        hub, hub_token = centre.device("hd", Role.HUB)
        makers = {site: reports_from() for site in known}
        make_hub = reports_from()
        for move in chosen:
            if move[0] == "wait":
                clock.now_ms += move[1] * S
            elif move[0] == "keep":
                await centre.centre.keep_live()
            elif move[0] == "silent":
                report = make_hub("hub", at=clock.now_ms, site="31-1", session_silent=move[1])
                await centre.post(hub, hub_token, [report])
            else:
                report = report_of(move, makers[move[1]], clock.now_ms)
                assert report is not None
                assert (await centre.post(*known[move[1]], [report])).status_code == 200
        await centre.centre.reload()
        before = msgspec.json.decode(centre.centre.live.snapshot())
        shown = [await centre.site(site) for site in ("31-1", "31-2")]
        kept = await centre.centre.store.read(
            lambda connection: connection.execute("SELECT * FROM snapshots").fetchall()
        )
    # As a kill would leave it: the snapshot of the orderly end is put back to the one before.
    connection = connect(path_in(data))
    connection.execute("DELETE FROM snapshots")
    connection.executemany("INSERT INTO snapshots VALUES (?, ?, ?, ?)", kept)
    connection.close()
    async with house(data, clock) as centre:
        assert msgspec.json.decode(centre.centre.live.snapshot()) == before
        assert [await centre.site(site) for site in ("31-1", "31-2")] == shown
