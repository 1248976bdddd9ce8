"""The push against a real HTTP server: nothing lost, nothing twice, whatever the server answers."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from probes.centre import Centre
from probes.clock import SystemClock
from probes.config import CentreTarget
from probes.push import Push
from probes.report import Gone, Report
from probes.spool import Spool
from tests.probes.centres import Script, SmallCentre, always, serving, store_but_lose_the_answer
from tests.probes.fakes import HandClock, link_report, running, until

TOKEN = "secret-token"


class World:
    """A spool, a push and a centre between which time passes only as fast as work is done."""

    def __init__(self, centre: SmallCentre, folder: Path) -> None:
        self.centre = centre
        self.clock = HandClock()
        self.spool = Spool(folder / "spool", 1 << 24, self.clock)
        self.agenda: list[Any] = []

    @asynccontextmanager
    async def pushing(self, url: str | None = None, ca: Path | None = None) -> AsyncIterator[Push]:
        target = CentreTarget(url or self.centre.url, "d-1", TOKEN, str(ca) if ca else None)
        async with Centre(target) as centre:
            yield Push(centre, "d-1", self.spool, self.clock, self.agenda.append, Random(3))

    def fill(self, number: int) -> list[Report]:
        return self.spool.add_all([link_report(1_800_000_000_000 + 10_000 * index) for index in range(number)])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(SmallCentre()) as centre:
        yield World(centre, tmp_path)


async def until_empty(world: World, push: Push) -> None:
    """Run the push until the spool has nothing more to say."""
    async with running(push.run()) as task:
        await until(lambda: task.done() or nothing_waits(world))


def nothing_waits(world: World) -> bool:
    held = world.spool.held()
    return held.reports == held.gone == 0


async def test_all_that_waits_arrives_once_newest_first(world: World) -> None:
    reports = world.fill(300)
    async with world.pushing() as push:
        assert await push.flush()
    assert sorted(world.centre.stored.values(), key=lambda report: report.seq) == reports
    arrived = [seq for batch in world.centre.order for seq in batch]
    assert arrived == list(range(300, 0, -1))
    assert set(world.centre.encodings) == {"zstd"}


async def test_a_fresh_report_goes_before_what_waits(world: World) -> None:
    world.fill(2000)
    async with world.pushing() as push, running(push.run()):
        await until(lambda: world.centre.posts >= 3)
        fresh = world.spool.add(link_report())
        posts = world.centre.posts
        push.wake(1)
        await until(lambda: (fresh.boot, fresh.seq) in world.centre.stored)
        assert world.centre.posts <= posts + 2, "the batch on its way, and then the fresh one"
        await until(lambda: nothing_waits(world))
    assert len(world.centre.stored) == 2001


async def test_a_fresh_report_does_not_wait_out_the_rest_between_backfill_batches(tmp_path: Path) -> None:
    """With the machine's own clock: after a batch the push rests, and the fresh report leaves within the rest."""
    async with serving(SmallCentre()) as centre:
        world = World(centre, tmp_path)
        world.fill(3000)
        async with Centre(CentreTarget(centre.url, "d-1", TOKEN)) as to_centre:
            push = Push(to_centre, "d-1", world.spool, SystemClock(), world.agenda.append, Random(3))
            async with running(push.run()):
                await until(lambda: centre.posts >= 6)
                fresh = world.spool.add(link_report())
                push.wake(1)
                await until(lambda: (fresh.boot, fresh.seq) in centre.stored)
                assert world.spool.held().reports > 0, "it arrived while others still waited"


async def test_near_a_meeting_old_reports_trickle(world: World) -> None:
    """1,200 reports: with haste within a minute or so; near a meeting at 32 kbit/s, twenty at a time."""
    world.fill(1200)
    may_hurry = False
    start = world.clock.monotonic_ns()
    async with Centre(CentreTarget(world.centre.url, "d-1", TOKEN)) as centre:
        push = Push(centre, "d-1", world.spool, world.clock, world.agenda.append, Random(3), lambda: may_hurry)
        async with running(push.run()):
            await until(lambda: len(world.centre.stored) >= 600)
            calm_s = (world.clock.monotonic_ns() - start) / 1e9
            largest_calm = max(map(len, world.centre.order))
            may_hurry = True
            await until(lambda: nothing_waits(world))
            hurried_s = (world.clock.monotonic_ns() - start) / 1e9 - calm_s
    assert largest_calm <= 20
    assert max(map(len, world.centre.order)) > 100
    assert calm_s > 4 * hurried_s


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
async def test_a_centre_in_trouble_is_tried_again(world: World, status: int) -> None:
    reports = world.fill(3)
    world.centre.scripts = [always(status)] * 4
    async with world.pushing() as push:
        await until_empty(world, push)
    assert list(world.centre.stored) == [(report.boot, report.seq) for report in reversed(reports)]


async def test_what_was_stored_without_an_answer_is_sent_again_and_known(world: World) -> None:
    world.fill(3)
    world.centre.scripts = [store_but_lose_the_answer]
    async with world.pushing() as push:
        await until_empty(world, push)
    assert len(world.centre.stored) == 3
    assert world.centre.order == [[3, 2, 1], [3, 2, 1]]


async def test_retry_after_is_obeyed(world: World) -> None:
    world.fill(1)
    world.centre.scripts = [always(429, {"Retry-After": "120"})]
    start = world.clock.monotonic_ns()
    async with world.pushing() as push:
        await until_empty(world, push)
    assert 120 <= (world.clock.monotonic_ns() - start) / 1e9 < 122


async def test_a_cut_line_is_tried_again_and_again(tmp_path: Path) -> None:
    async with serving(SmallCentre()) as centre:
        port = int(centre.url.rsplit(":", 1)[1])
    world = World(centre, tmp_path)
    reports = world.fill(10)
    async with world.pushing() as push, running(push.run()):
        await until(lambda: push.trouble)
        assert push.trouble.startswith("The centre cannot be reached (ConnectError")
        async with serving(centre, port):
            await until(lambda: nothing_waits(world))
    assert len(centre.stored) == len(reports)


@pytest.mark.parametrize(
    ("status", "words"), [(401, "Enrol the device again"), (403, "Was it revoked, or moved?"), (404, "answered 404")]
)
async def test_what_only_people_can_mend_is_said_once_and_tried_slowly(
    world: World, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.fill(2)
    world.centre.rule = always(status)
    start = world.clock.monotonic_ns()
    async with world.pushing() as push, running(push.run()):
        await until(lambda: world.centre.posts >= 6)
        waited_s = (world.clock.monotonic_ns() - start) / 1e9
        world.centre.rule = lambda centre, reports: None
        await until(lambda: nothing_waits(world) and not push.trouble)
    assert waited_s >= 2 * 48
    assert caplog.text.count(words) == 1
    assert len(world.centre.stored) == 2
    assert "takes reports again" in caplog.text


def unreadable_with(*seqs: int, status: int = 422) -> Script:
    return lambda centre, reports: (status, {}, b"") if {report.seq for report in reports} & set(seqs) else None


@pytest.mark.parametrize("status", [422, 403, 413])
async def test_a_batch_that_cannot_be_read_is_searched_for_the_report_at_fault(
    world: World, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    world.fill(40)
    world.centre.rule = unreadable_with(7, 30, status=status)
    async with world.pushing() as push:
        await until_empty(world, push)
    assert {seq for _, seq in world.centre.stored} == set(range(1, 41)) - {7, 30}
    boot = world.spool.boot
    assert sorted(world.centre.gone, key=lambda gone: gone.from_seq) == [
        Gone(boot, 7, 7, "refused"),
        Gone(boot, 30, 30, "refused"),
    ]
    assert caplog.text.count("It is set aside and told as refused") == 2


async def test_a_report_is_not_condemned_for_a_trouble_that_is_just_over(world: World) -> None:
    world.fill(1)
    world.centre.scripts = [always(422)]
    async with world.pushing() as push:
        assert await push.flush()
    assert len(world.centre.stored) == 1
    assert world.centre.gone == []


async def test_a_centre_that_reads_nothing_at_all_condemns_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy gone wrong, or another wire version: every report is kept, and no POST follows at once."""
    world.fill(40)
    world.centre.rule = always(422, {}, b'{"detail": "Wire version 1 is not known"}')
    start = world.clock.monotonic_ns()
    async with world.pushing() as push:
        assert not await push.flush()
        assert world.spool.held().reports == 40
        assert world.spool.gone(10) == []
        assert "422 Wire version 1 is not known" in push.trouble
        world.centre.rule = lambda centre, reports: None
        await until_empty(world, push)
    assert (world.clock.monotonic_ns() - start) / 1e9 < 100


async def test_a_refused_report_is_told_as_gone_and_its_neighbours_are_stored(world: World) -> None:
    world.fill(10)
    world.centre.refuse = lambda report: "value x is no name" if report.seq == 4 else None
    async with world.pushing() as push:
        await until_empty(world, push)
    assert {seq for _, seq in world.centre.stored} == {1, 2, 3, 5, 6, 7, 8, 9, 10}
    assert world.centre.gone == [Gone(world.spool.boot, 4, 4, "refused")]


async def test_a_refusal_without_an_identity_is_searched_for(world: World) -> None:
    def nameless(centre: SmallCentre, reports: list[Report]) -> tuple[int, dict[str, str], bytes] | None:
        if not any(report.seq == 3 for report in reports):
            return None
        good = [report for report in reports if report.seq != 3]
        answer = msgspec.json.decode(centre.store(good, []))
        answer["refused"] = [{"boot": "", "seq": 0, "why": "it cannot be read"}]
        return 200, {}, msgspec.json.encode(answer)

    world.fill(6)
    world.centre.rule = nameless
    async with world.pushing() as push:
        await until_empty(world, push)
    assert {seq for _, seq in world.centre.stored} == {1, 2, 4, 5, 6}
    assert world.centre.gone == [Gone(world.spool.boot, 3, 3, "refused")]


@pytest.mark.parametrize(
    "answer", [b"<html>Log in to the Wi-Fi</html>", b"{}", b'{"stored": 1, "known": 0}', b"[]", b"\xff\xfe"]
)
async def test_a_200_that_is_not_the_centres_acknowledges_nothing(world: World, answer: bytes) -> None:
    world.fill(4)
    world.centre.rule = always(200, {}, answer)
    async with world.pushing() as push:
        assert not await push.flush()
    assert world.spool.held().reports == 4


async def test_a_redirect_is_not_followed_with_the_token(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(SmallCentre()) as elsewhere:
        world.fill(1)
        world.centre.rule = always(307, {"Location": f"{elsewhere.url}/api/v1/reports"})
        async with world.pushing() as push:
            assert not await push.flush()
        assert elsewhere.posts == 0
    assert f"redirects (307 to {elsewhere.url}" in caplog.text


async def test_an_encoding_that_is_not_taken_gives_way_to_the_next(world: World) -> None:
    world.fill(2)
    world.centre.scripts = [always(415), always(415)]
    async with world.pushing() as push:
        assert await push.flush()
        world.fill(1)
        assert await push.flush()
    assert world.centre.encodings == ["zstd", "gzip", "none", "none"]


async def test_ranges_that_are_gone_are_told_once(world: World) -> None:
    world.spool.acknowledge([], refused=[(report.boot, report.seq) for report in world.fill(3)])
    async with world.pushing() as push:
        assert await push.flush()
        assert await push.flush()
    assert world.centre.gone == [Gone(world.spool.boot, 1, 3, "refused")]


async def test_the_agenda_is_handed_on_from_answers_and_from_the_poll(world: World) -> None:
    item = {"id": "a-1", "do": "quiet", "at": 1, "until": 2, "args": {}}
    world.centre.agenda = [item]
    world.fill(1)
    async with world.pushing() as push:
        assert await push.flush()
        assert world.agenda == [[item]]
        async with running(push.listen()):
            await until(lambda: world.centre.polls >= 2)
    assert world.agenda[1:] == [[item]] * len(world.agenda[1:])
    assert len(world.agenda) >= 2


async def test_the_token_is_in_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.fill(2)
    world.centre.scripts = [always(500), always(403), always(403)]
    async with world.pushing() as push:
        await until_empty(world, push)
    async with world.pushing("http://127.0.0.1:9") as push:
        world.fill(1)
        assert not await push.flush()
    assert TOKEN not in caplog.text


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, file = folder / f"{name}.key", folder / f"{name}.pem"
    command = f"""openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2
        -keyout {key} -out {file} -subj /CN={name} -addext subjectAltName=IP:127.0.0.1"""
    subprocess.run(command.split(), check=True, capture_output=True)
    return file, key


async def test_only_the_centres_own_authority_is_trusted(tmp_path: Path) -> None:
    ours, key = certificate(tmp_path, "ours")
    others, _ = certificate(tmp_path, "others")
    async with serving(SmallCentre(), certificate=ours, key=key) as centre:
        world = World(centre, tmp_path)
        world.fill(1)
        async with world.pushing(ca=others) as push:
            assert not await push.flush()
            assert "CERTIFICATE_VERIFY_FAILED" in push.trouble
        assert centre.posts == 0
        async with world.pushing(ca=ours) as push:
            assert await push.flush()
    assert len(centre.stored) == 1
