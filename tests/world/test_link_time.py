"""The clocks of the emulated link: delay, jitter, bottleneck, outages and changes at their time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from statistics import mean, median, stdev

import pytest

from tests.world.link import Change, Link, Verdict, Way, namespaces
from tests.world.needs import NEEDS_WORLD
from tests.world.stream import send_through

pytestmark = NEEDS_WORLD


@pytest.fixture(scope="module")
def link() -> Iterator[Link]:
    with namespaces(2) as (a, b), Link(a, b) as wire:
        yield wire


def pings(link: Link, count: int, target: str) -> list[float]:
    out = link.a.run("ping", "-n", "-c", str(count), "-i", "0.02", target)
    return [float(ms) for ms in re.findall(r"time=([\d.]+) ms", out)]


def delays_ms(link: Link, direction: str = "ab") -> list[float]:
    return [row.delay_ns / 1e6 for row in link.rows(direction) if row.verdict.arrived]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_ping_sees_the_delay_asked_for_and_the_log_agrees(link: Link, family: str) -> None:
    link.set(ab=Way(delay_ms=15), ba=Way(delay_ms=25))
    link.reset()
    seen = pings(link, 30, link.b_ip if family == "ipv4" else link.b_ip6)
    truth = [out + back for out, back in zip(delays_ms(link, "ab"), delays_ms(link, "ba"), strict=True)]
    assert min(truth) >= 40.0
    assert min(seen) == pytest.approx(40.0, abs=1.0)
    assert median(seen) - median(truth) == pytest.approx(0, abs=0.5)


def test_the_log_has_the_kernels_stamps_of_the_receiver(link: Link) -> None:
    link.set(Way(delay_ms=5))
    link.reset()
    arrivals = send_through(link, 300, gap_us=1000)
    rows = link.rows("ab")
    assert all(row.kernel_stamped for row in rows)
    gaps_us = [(a.t_ns - row.t_out_ns) / 1000 for a, row in zip(arrivals, rows, strict=True)]
    assert min(gaps_us) >= 0
    assert median(gaps_us) < 20


@pytest.mark.parametrize(
    ("shape", "average", "spread"), [("uniform", 20, 5.77), ("normal", 20, 10), ("exponential", 30, 10)]
)
def test_jitter_has_the_shape_asked_for(link: Link, shape: str, average: float, spread: float) -> None:
    link.set(Way(delay_ms=20, jitter_ms=10, shape=shape, ordered=False))
    link.reset(2)
    send_through(link, 2000, gap_us=300)
    delays = delays_ms(link)
    assert mean(delays) == pytest.approx(average, abs=1.0)
    assert stdev(delays) == pytest.approx(spread, rel=0.1)


def test_jitter_on_an_ordered_link_lets_nobody_overtake(link: Link) -> None:
    link.set(Way(delay_ms=20, jitter_ms=10, ordered=True))
    link.reset()
    arrivals = send_through(link, 500)
    assert [a.seq for a in arrivals] == list(range(500))


def test_the_bottleneck_lets_through_its_rate(link: Link) -> None:
    link.set(Way(rate_kbps=2000, queue_bytes=1_000_000))
    link.reset()
    send_through(link, 400, gap_us=500, size=972)  # 1,000 bytes of IP, 16 Mbit/s offered
    rows = link.rows("ab")
    seconds = (rows[-1].t_out_ns - rows[0].t_out_ns) / 1e9
    assert (len(rows) - 1) * 8000 / seconds == pytest.approx(2e6, rel=0.01)


def test_a_full_queue_drops_and_nobody_waits_longer_than_it_is_long(link: Link) -> None:
    link.set(Way(rate_kbps=2000, queue_bytes=20_000))
    link.reset()
    arrivals = send_through(link, 400, gap_us=500, size=972)
    rows = link.rows("ab")
    dropped = sum(row.verdict == Verdict.QUEUE_FULL for row in rows)
    assert dropped == 400 - len(arrivals) > 0
    assert max(delays_ms(link)) == pytest.approx(80, abs=6)


def test_an_outage_takes_everything_both_ways(link: Link) -> None:
    link.set(Way())
    link.cut()
    link.reset()
    out = link.a.run("ping", "-c", "3", "-i", "0.05", "-W", "1", link.b_ip, check=False)
    assert "100% packet loss" in out
    assert {row.verdict for row in link.rows()} == {Verdict.DOWN}
    link.cut(down=False)
    assert len(pings(link, 3, link.b_ip)) == 3


def test_a_timed_change_comes_at_its_time(link: Link) -> None:
    link.set(Way())
    link.reset(changes=[Change(0.5, "ab", Way(down=True)), Change(1.0, "ab", Way())])
    send_through(link, 300, gap_us=5000)
    rows = link.rows("ab")
    down_s = [row.t_in_ns / 1e9 for row in rows if row.verdict == Verdict.DOWN]
    assert down_s[-1] - down_s[0] == pytest.approx(0.5, abs=0.1)
    assert rows[0].verdict == rows[-1].verdict == Verdict.DELIVERED


def test_a_wrong_setting_is_refused_with_its_words(link: Link) -> None:
    with pytest.raises(RuntimeError, match=r"ab\.loss=1\.5 is not a setting"):
        link.set(ab=Way(loss=1.5))
