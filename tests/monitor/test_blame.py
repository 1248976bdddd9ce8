"""What the centre says of where a fault lies, from reports to the site's JSON."""

from __future__ import annotations

from pathlib import Path

from monitor.devices import Device
from tests.monitor.house import GOOD_LINK, House, house, reports_from

S = 1000
LOSSY = {**GOOD_LINK, "lost_up_packets": 30, "loss_runs_up_count": 20}
GATEWAY = {"gateway_sent_packets": 10, "gateway_lost_packets": 0, "gateway_rtt_p50_ms": 0.4}
DEAF_GATEWAY = {**GATEWAY, "gateway_lost_packets": 5, "gateway_loss_ratio": 0.5}


async def a_minute(
    city: House, devices: list[tuple[Device, str]], link: dict[str, float], lan: dict[str, float]
) -> None:
    """All devices report every ten seconds, seven times."""
    makes = [reports_from(f"boot{city.clock.now_ms % 10_000_000}") for _ in devices]
    start = city.clock.now_ms
    for second in range(0, 70, 10):
        at = city.clock.now_ms = start + second * S
        for who, make in zip(devices, makes, strict=True):
            reports = [make(at=at, target="hd", **link), make("lan", at=at, target="10.0.0.1", **lan)]
            assert (await city.post(*who, reports)).status_code == 200


async def test_a_router_that_answers_test_packets_badly_on_a_good_line_accuses_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        who = city.device("31-1")
        await a_minute(city, [who], GOOD_LINK, DEAF_GATEWAY)
        site = await city.site("31-1")
    assert (site["verdict"], site["segment"]) == ("good", None)
    lan = next(stream for stream in site["streams"] if stream["probe"] == "lan")
    figure = next(each for each in lan["figures"] if each["metric"] == "lan.gateway_loss_ratio")
    assert figure["verdict"] == "poor", "the figure itself is told as it is"


async def test_a_first_hop_that_loses_what_the_line_loses_is_the_rooms_fault(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        who = city.device("31-1")
        await a_minute(city, [who], LOSSY, DEAF_GATEWAY)
        site = await city.site("31-1")
    assert (site["verdict"], site["segment"]) == ("poor", "room")


async def test_a_line_that_loses_behind_a_good_first_hop_is_the_carriers(tmp_path: Path) -> None:
    async with house(tmp_path) as city:
        who = city.device("31-1")
        await a_minute(city, [who], LOSSY, GATEWAY)
        site = await city.site("31-1")
    assert (site["verdict"], site["segment"]) == ("poor", "line")


async def test_many_sites_that_suffer_at_once_accuse_the_bridge_the_first_of_them_too(tmp_path: Path) -> None:
    rows = "".join(f"31-{number},{number},xa,Xã {number},,hd,,,fibre,,,,,\n" for number in range(10, 15))
    async with house(tmp_path, more_sites=rows) as city:
        first, *others = [city.device(f"31-{number}") for number in range(10, 15)]
        await a_minute(city, [first], LOSSY, GATEWAY)
        assert (await city.site("31-10"))["segment"] == "line"
        await a_minute(city, [first, *others], LOSSY, GATEWAY)
        city.centre.live.sweep(city.clock.now_ms)
        segments = {(await city.site(site))["segment"] for site in ("31-10", "31-14")}
    assert segments == {"bridge"}
