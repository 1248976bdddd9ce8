"""The dice of the emulated link: same seed, same fate; and what the log says is what the receiver saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.world.link import Bursts, Link, Verdict, Way, namespaces
from tests.world.needs import NEEDS_WORLD
from tests.world.stream import send_through

pytestmark = NEEDS_WORLD

EVERYTHING = Way(loss=0.02, bursts=Bursts(0.01, 0.3), duplicate=0.03, reorder=0.02, reorder_by_ms=3)


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with namespaces(2) as (a, b), Link(a, b, match=9000) as wire:
        yield wire


def fates(link: Link, direction: str = "ab") -> list[tuple[int, Verdict]]:
    return [(row.n, row.verdict) for row in link.rows(direction)]


def counts(link: Link) -> Counter[Verdict]:
    return Counter(verdict for _, verdict in fates(link))


def test_the_same_seed_gives_every_packet_the_same_fate(link: Link) -> None:
    link.set(EVERYTHING)
    seen = []
    for seed, gap_us in ((5, 200), (5, 700), (6, 200)):
        link.reset(seed)
        send_through(link, 500, gap_us=gap_us)
        seen.append(fates(link))
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_the_two_directions_have_luck_of_their_own(link: Link) -> None:
    link.set(EVERYTHING)
    link.reset(5)
    send_through(link, 500)
    send_through(link, 500, back=True)
    assert fates(link, "ab") != fates(link, "ba")


def test_one_setting_does_not_shift_the_luck_of_another(link: Link) -> None:
    lost = []
    for way in (Way(loss=0.05), Way(loss=0.05, jitter_ms=1, shape="normal", duplicate=0.2)):
        link.set(way)
        link.reset(8)
        send_through(link, 400)
        lost.append([n for n, verdict in fates(link) if verdict == Verdict.LOST_RANDOM])
    assert lost[0] == lost[1]
    assert lost[0]


def test_what_the_log_calls_delivered_arrived_and_nothing_else(link: Link) -> None:
    link.set(EVERYTHING)
    link.reset(11)
    arrivals = send_through(link, 1000)
    rows = link.rows("ab")
    assert Counter(a.seq for a in arrivals) == Counter(row.seq32 for row in rows if row.t_out_ns)
    assert {row.seq32 for row in rows} == set(range(1000))
    assert min(counts(link)[v] for v in (Verdict.LOST_RANDOM, Verdict.LOST_BURST, Verdict.DUPLICATE)) > 0


def test_the_log_holds_the_order_of_arrival(link: Link) -> None:
    link.set(EVERYTHING)
    link.reset(12)
    arrivals = send_through(link, 1000)
    released = sorted((row for row in link.rows("ab") if row.t_out_ns), key=lambda row: row.t_out_ns)
    assert [a.seq for a in arrivals] == [row.seq32 for row in released]
    assert [a.seq for a in arrivals] != sorted(a.seq for a in arrivals)


def test_random_loss_and_duplicates_come_as_often_as_asked(link: Link) -> None:
    link.set(Way(loss=0.05, duplicate=0.02))
    link.reset(3)
    send_through(link, 10_000, gap_us=60)
    seen = counts(link)
    assert seen[Verdict.LOST_RANDOM] == pytest.approx(500, abs=66)  # three standard deviations
    assert seen[Verdict.DUPLICATE] == pytest.approx(190, abs=42)


def test_bursts_follow_gilbert_and_elliott(link: Link) -> None:
    to_bad, to_good, count = 0.01, 0.25, 20_000
    link.set(Way(bursts=Bursts(to_bad, to_good)))
    link.reset(4)
    send_through(link, count, gap_us=60)
    verdicts = [verdict for _, verdict in fates(link)]
    share = verdicts.count(Verdict.LOST_BURST) / count
    lengths = [len(list(run)) for verdict, run in groupby(verdicts) if verdict == Verdict.LOST_BURST]
    loss = to_bad / (to_bad + to_good)
    memory = 1 - to_bad - to_good  # correlated draws: the variance grows by (1 + rho)/(1 - rho)
    deviation = (loss * (1 - loss) / count * (1 + memory) / (1 - memory)) ** 0.5
    assert share == pytest.approx(loss, abs=3 * deviation)
    assert sum(lengths) / len(lengths) == pytest.approx(1 / to_good, abs=3 * 3.46 / len(lengths) ** 0.5)


def test_only_matching_packets_meet_the_dice() -> None:
    with namespaces(2) as (a, b), Link(a, b, Way(loss=1.0), match=9000) as link:
        assert " 0% packet loss" in a.run("ping", "-c", "3", "-i", "0.05", link.b_ip)
        assert send_through(link, 20) == []
        assert counts(link) == {Verdict.LOST_RANDOM: 20}
