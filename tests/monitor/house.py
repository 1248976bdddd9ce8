"""A centre in a folder of its own, with a clock moved by hand, spoken to over real HTTP code without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from monitor.access.roles import Role as Right
from monitor.access.tokens import new_api_token
from monitor.app import make_app
from monitor.centre import Centre
from monitor.clock import Clock
from monitor.devices import Device, Role, add_device
from monitor.settings import HubAddress, Settings
from monitor.sites import import_sites, parse_sites
from monitor.store.database import transaction
from probes.report import Batch, Failure, Gone, Report, encode

NOW_MS = 1_795_468_800_000
SITES = """id,code,type,name_vi,name_en,bridge,area,carrier,class,lat,lon,hubs,router,sources
hp,,bridge,Điểm cầu chính Hải Phòng,,hp,,,fibre,,,,,
hd,,bridge,Điểm cầu chính Hải Dương,,hd,,,fibre,,,,,
31-1,1,xa,Cẩm Giang,Cam Giang,hd,cam-giang,VNPT,fibre,20.9,106.2,,10.0.0.1,10.1.0.0/24
31-2,2,xa,Cẩm Giàng,Cam Giang,hd,cam-giang,,fibre,,,,,
31-3,3,dac_khu,Cát Hải,Cat Hai,hp,cat-hai,,island,,,,,
"""
HUBS = [HubAddress("hp", "127.0.0.1", 8620), HubAddress("hd", "127.0.0.2", 8620)]


class HandClock(Clock):
    """A clock that moves only when told."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        super().__init__()
        self.now_ms = now_ms

    def wall_ms(self) -> int:
        return self.now_ms

    def real_ms(self) -> int:
        return self.now_ms


class House:
    """A running centre, its clock, and a client that speaks to it."""

    def __init__(self, centre: Centre, clock: HandClock, client: httpx.AsyncClient, data: Path) -> None:
        self.centre, self.clock, self.client, self.data = centre, clock, client, data

    def device(self, site: str, role: Role = Role.PROBE) -> tuple[Device, str]:
        """A new device and its token, added as the command does it, beside the running centre."""
        with transaction(self.data) as connection:
            return add_device(connection, site, role, self.clock.now_ms)

    def known_as(self, role: Right, sites: frozenset[str] | None = None) -> dict[str, str]:
        """The headers of a program that holds a new API token of this role."""
        with transaction(self.data) as connection:
            token = new_api_token(connection, f"the {role.value}", self.clock.now_ms, role, sites)
        return {"Authorization": f"Bearer {token}"}

    async def post(
        self,
        device: Device,
        token: str,
        reports: list[Report],
        gone: list[Gone] | None = None,
        sent_at: int | None = None,
    ) -> httpx.Response:
        batch = Batch(1, device.id, self.clock.now_ms if sent_at is None else sent_at, reports, gone or [])
        return await self.post_body(token, encode(batch))

    async def post_body(self, token: str, body: bytes, **headers: str) -> httpx.Response:
        return await self.client.post(
            "/api/v1/reports",
            content=body,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", **headers},
        )

    async def site(self, site: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/sites/{site}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def prepare_city(data: Path, more_sites: str = "") -> None:
    with transaction(data) as connection:
        import_sites(connection, parse_sites(SITES + more_sites))


@asynccontextmanager
async def house(
    data: Path,
    clock: HandClock | None = None,
    settings: Settings | None = None,
    role: Right | None = None,
    more_sites: str = "",
) -> AsyncIterator[House]:
    """A centre that runs while the block does; its client is known by a token of `role`, else by nothing."""
    prepare_city(data, more_sites)
    clock = clock or HandClock()
    centre = Centre(settings or Settings(hubs=HUBS), clock, data)
    await centre.start()
    transport = httpx.ASGITransport(make_app(centre), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=30) as client:
        try:
            city = House(centre, clock, client, data)
            client.headers.update(city.known_as(role) if role else {})
            yield city
        finally:
            await centre.close()


def reports_from(boot: str = "b1", start: int = 1) -> Callable[..., Report]:
    """Makes reports with one sequence after the other."""
    seq = start - 1

    def make(probe: str = "link", at: int = NOW_MS, failure: str | None = None, **more: Any) -> Report:
        nonlocal seq
        seq += 1
        target = more.pop("target", "hd" if probe == "link" else None)
        named = {name: more.pop(name) for name in ("line", "room", "site", "labels", "took_ms") if name in more}
        values = {name: float(value) for name, value in more.items()}
        return Report(
            probe, at, boot=boot, seq=seq, target=target, values=values,
            failure=Failure(failure) if failure else None, **named,
        )  # fmt: skip

    return make


GOOD_LINK = {"sent_packets": 100, "reflected_packets": 100, "received_packets": 100, "lost_up_packets": 0,
             "lost_down_packets": 0, "rtt_p50_ms": 5, "rate_pps": 10}  # fmt: skip
