"""What a probe emits is stored once, whatever the disk does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from probes import delivery as delivery_module
from probes.delivery import Delivery
from probes.report import Gone, Report
from probes.spool import LEAST_BYTES, Spool
from tests.probes.fakes import HandClock, link_report, until


class SlowSpool(Spool):
    """A real spool on a disk that hangs until `go`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, LEAST_BYTES, HandClock())
        self.go = threading.Event()
        self.groups: list[int] = []

    def add_all(self, reports: Sequence[Report]) -> list[Report]:
        self.go.wait(30)
        self.groups.append(len(reports))
        return super().add_all(reports)


async def test_all_that_came_while_the_disk_wrote_is_one_commit(tmp_path: Path) -> None:
    spool = SlowSpool(tmp_path / "spool")
    stored: list[int] = []
    delivery = Delivery(spool, stored.append)
    storing = asyncio.create_task(delivery.run())
    delivery.emit(link_report())
    await asyncio.sleep(0.01)
    for _ in range(9):
        delivery.emit(link_report())
    spool.go.set()
    await until(lambda: sum(stored) == 10)
    assert spool.groups == [1, 9]
    delivery.close()
    await storing


async def test_closing_waits_for_what_is_still_to_be_stored(tmp_path: Path) -> None:
    spool = SlowSpool(tmp_path / "spool")
    delivery = Delivery(spool, lambda number: None)
    storing = asyncio.create_task(delivery.run())
    delivery.emit(link_report())
    await asyncio.sleep(0.01)
    delivery.emit(link_report())
    delivery.close()
    spool.go.set()
    await storing
    assert spool.held().reports == 2


async def test_what_a_hanging_disk_makes_us_lose_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "MOST_WAITING", 5)
    spool = SlowSpool(tmp_path / "spool")
    delivery = Delivery(spool, lambda number: None)
    storing = asyncio.create_task(delivery.run())
    delivery.emit(link_report())
    await asyncio.sleep(0.01)
    for _ in range(12):
        delivery.emit(link_report())
    delivery.close()
    spool.go.set()
    await storing
    assert spool.gone(10) == [Gone(spool.boot, 2, 8, "disk_full")]
    assert [report.seq for report in spool.newest(10)] == [13, 12, 11, 10, 9, 1]
