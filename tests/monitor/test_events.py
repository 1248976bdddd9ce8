"""The feed of the pages: what an open page hears, what it asks for after a break, and when it is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from monitor.events import RING, WAITING, Events
from tests.monitor.house import GOOD_LINK, NOW_MS, house, reports_from


def parse(chunk: bytes) -> list[tuple[str, str | None, Any]]:
    """Event name, id and data of each event in a chunk."""
    found = []
    for block in chunk.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields.get("id"), msgspec.json.decode(fields["data"])))
    return found


async def first(feed: AsyncIterator[bytes]) -> list[tuple[str, str | None, Any]]:
    return parse(await anext(feed))


async def test_a_page_is_greeted_and_hears_what_is_published(tmp_path: Path) -> None:
    events = Events()
    feed = events.listen(lambda: {"now": 1}, None, None)
    assert await first(feed) == [("hello", None, {"now": 1, "resumed": False})]
    events.publish("verdict", {"id": "31-1"})
    ((name, event_id, data),) = await first(feed)
    assert (name, data) == ("verdict", {"id": "31-1"})
    assert event_id


async def test_a_page_that_lost_its_feed_gets_what_it_missed_and_no_more() -> None:
    events = Events()
    feed = events.listen(dict, None, None)
    await anext(feed)
    events.publish("verdict", {"n": 1})
    ((_, last_id, _),) = await first(feed)
    events.publish("verdict", {"n": 2})
    events.publish("verdict", {"n": 3})
    again = await first(events.listen(dict, last_id, None))
    assert [(name, data) for name, _, data in again] == [
        ("hello", {"resumed": True}),
        ("verdict", {"n": 2}),
        ("verdict", {"n": 3}),
    ]


async def test_an_id_that_is_too_old_or_of_another_run_is_told_to_load_again() -> None:
    events = Events()
    feed = events.listen(dict, None, None)
    await anext(feed)
    events.publish("verdict", {"n": 0})
    ((_, first_id, _),) = await first(feed)
    for number in range(RING + 1):
        events.publish("verdict", {"n": number})
    for last_id in (first_id, "other.1", "nonsense", None):
        (hello,) = await first(events.listen(dict, last_id, None))
        assert hello[2] == {"resumed": False}


async def test_a_page_hears_a_beat_while_nothing_happens() -> None:
    events = Events()
    feed = events.listen(lambda: {"now": 7}, None, None)
    await anext(feed)
    assert await first(feed) == [("beat", None, {"now": 7})]


async def test_a_slow_page_is_let_go_with_a_sentence_and_the_others_are_not() -> None:
    events = Events()
    slow, quick = events.listen(dict, None, None), events.listen(dict, None, None)
    await anext(slow)
    await anext(quick)
    for number in range(WAITING + 1):
        events.publish("verdict", {"n": number})
        assert len(await first(quick)) == 1
    heard = [event async for chunk in slow for event in parse(chunk)]
    assert heard[-1][0] == "bye"
    assert "load it again" in heard[-1][2]["detail"]
    assert (events.listening, events.dropped_listeners) == (1, 1)


async def test_readings_go_to_the_wall_in_short_and_to_the_page_of_a_site_whole(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        device, token = centre.device("31-1")
        events = centre.centre.events
        wall, page, other = (events.listen(dict, None, site) for site in (None, "31-1", "31-2"))
        for feed in (wall, page, other):
            await anext(feed)
        await centre.post(device, token, [reports_from()(**GOOD_LINK)])
        centre.centre.live.tell_readings(NOW_MS)
        on_wall = [data for name, _, data in await first(wall) if name == "reading"]
        on_page = [data for name, _, data in await first(page) if name == "reading"]
        elsewhere = await first(other)
    assert on_wall[0]["readings"][0]["values"] == {"rtt_p50_ms": 5}
    assert on_page[0]["readings"][0]["values"] == GOOD_LINK
    assert {name for name, _, _ in elsewhere} == {"verdict"}, "no readings of another site"


async def test_the_route_streams_and_the_centre_can_stop_while_pages_are_open(tmp_path: Path) -> None:
    async with house(tmp_path) as centre:
        listening = asyncio.create_task(centre.client.get("/api/v1/events"))
        while not centre.centre.events.listening:  # noqa: ASYNC110 - the client shows nothing before the end
            await asyncio.sleep(0.01)
        centre.centre.let_go()
        answer = await asyncio.wait_for(listening, 10)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert parse(answer.content)[0][0] == "hello"
