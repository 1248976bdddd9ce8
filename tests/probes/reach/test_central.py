"""The central prober whole: from configuration to spool, without a centre."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from probes.clock import SystemClock
from probes.config import CentralConfig, ConfigError, SpoolConfig, load_central
from probes.reach.central import serve
from probes.spool import SPOOL_FILE, Spool
from tests.world.needs import NEEDS_WORLD


def config(tmp_path: Path, **routers: str) -> CentralConfig:
    return CentralConfig("centre", spool=SpoolConfig(str(tmp_path)), every_s=1, routers=routers)


@pytest.mark.world
@NEEDS_WORLD[1]
async def test_what_was_measured_is_on_disk_after_an_orderly_stop(tmp_path: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(7, stop.set)
    await serve(config(tmp_path, a="127.0.0.1", b="127.0.0.2:862"), SystemClock(), stop)
    spool = Spool(tmp_path / SPOOL_FILE, 16 << 20, SystemClock())
    reports = spool.newest(100)
    spool.close()
    assert {report.site for report in reports} == {"a", "b"}
    assert all(report.values["up"] == 1 for report in reports)
    assert {report.labels.get("twamp") for report in reports if report.site == "b"} == {"silent"}


async def test_a_router_that_cannot_be_read_stops_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"router '10.0.0.1:x' of site a is not HOST"):
        await serve(config(tmp_path, a="10.0.0.1:x"), SystemClock(), asyncio.Event())


def test_routers_stand_in_the_configuration_by_site(tmp_path: Path) -> None:
    file = tmp_path / "central.toml"
    file.write_text('site = "centre"\n[routers]\n31-11329 = "10.1.2.1"\n31-11338 = "10.1.3.1:862"\n')
    assert load_central(file).routers == {"31-11329": "10.1.2.1", "31-11338": "10.1.3.1:862"}
