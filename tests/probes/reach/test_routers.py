"""The list of routers: the centre's word, or its last word."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import cast

import pytest

from probes.centre import Centre, Reply
from probes.reach.measure import Router
from probes.reach.routers import RouterList
from tests.probes.fakes import HandClock

BODY = b'{"now":1,"sites":[{"id":"a","router":"10.0.0.1:862","marks":{}},{"id":"b","router":""},{"id":"c"}]}'


class FakeCentre:
    """Answers from a list, the last for ever, and remembers what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.etags: list[str | None] = []

    async def get_sites(self, etag: str | None) -> Reply:
        self.etags.append(etag)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


async def ask(routers: RouterList, centre: FakeCentre, times: int) -> list[list[Router]]:
    known: list[list[Router]] = []
    task = asyncio.create_task(
        routers.keep_fresh(cast(Centre, centre), lambda list_: known.append(list(list_)), HandClock(), Random(1))
    )
    while len(centre.etags) <= times:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return known


async def test_only_sites_with_a_router_are_asked(tmp_path: Path) -> None:
    known = await ask(RouterList(tmp_path / "list"), FakeCentre(Reply(200, BODY, etag='"1"'), Reply(304)), 2)
    assert known == [[Router("a", "10.0.0.1", 862)]]


async def test_the_centre_is_asked_only_for_what_is_new(tmp_path: Path) -> None:
    centre = FakeCentre(Reply(200, BODY, etag='"1"'), Reply(304))
    await ask(RouterList(tmp_path / "list"), centre, 2)
    assert centre.etags[:2] == [None, '"1"']


async def test_the_last_list_outlives_a_restart_and_a_centre_that_is_away(tmp_path: Path) -> None:
    await ask(RouterList(tmp_path / "list"), FakeCentre(Reply(200, BODY), Reply(304)), 1)
    again = RouterList(tmp_path / "list")
    assert again.routers == [Router("a", "10.0.0.1", 862)]
    assert await ask(again, FakeCentre(Reply(0, text="no answer")), 2) == []
    assert again.routers == [Router("a", "10.0.0.1", 862)]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"sites":[{"router":"x"}]}', b"\xff"])
async def test_an_answer_that_is_no_list_changes_nothing(tmp_path: Path, body: bytes) -> None:
    assert await ask(RouterList(tmp_path / "list"), FakeCentre(Reply(200, body)), 2) == []


async def test_a_router_that_cannot_be_read_costs_only_its_own_site(tmp_path: Path) -> None:
    body = b'{"sites":[{"id":"a","router":"10.0.0.1:x"},{"id":"b","router":"10.0.0.2"}]}'
    known = await ask(RouterList(tmp_path / "list"), FakeCentre(Reply(200, body), Reply(304)), 1)
    assert known == [[Router("b", "10.0.0.2")]]


def test_a_kept_list_that_is_damaged_is_asked_anew(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"{cut")
    assert RouterList(tmp_path / "list").routers == []
