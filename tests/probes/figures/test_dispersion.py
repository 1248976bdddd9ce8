"""Trains and ramps on made arrivals: a queue of known rate, with and without other traffic in it."""

from __future__ import annotations

from random import Random

import pytest

from probes.figures.dispersion import (
    Bracket,
    Stamped,
    capacity_mbps,
    is_bucket_likely,
    is_rising,
    sent_mbps,
    train_mbps,
)

SIZE = 1500
MS = 1_000_000


def through(
    sends: list[Stamped], mbps: float, cross_mbps: float = 0, size: int = SIZE, seed: int = 1, delay_ns: int = 5 * MS
) -> list[Stamped]:
    """What a first-in-first-out queue of this rate makes of packets, with Poisson cross traffic of the same size."""
    service_ns = size * 8_000 / mbps
    random = Random(seed)
    end_ns = sends[-1][1] + 20 * MS
    others, at = list[float](), float(sends[0][1] - 200 * MS)
    while cross_mbps and (at := at + random.expovariate(cross_mbps / (size * 8_000))) < end_ns:
        others.append(at)
    free_ns, arrivals = 0.0, list[Stamped]()
    for at_ns, seq in sorted([(float(at), -1) for at in others] + [(float(ns), seq) for seq, ns in sends]):
        free_ns = max(free_ns, at_ns) + service_ns
        if seq >= 0:
            arrivals.append((seq, int(free_ns) + delay_ns))
    return arrivals


def train(count: int, gap_ns: int = 12_000, first: int = 0) -> list[Stamped]:
    return [(first + number, 1_000_000_000 + number * gap_ns) for number in range(count)]


def burst(mbps: float, count: int = 60, size: int = 1228) -> list[Stamped]:
    return train(count, gap_ns=int(size * 8_000 / mbps))


def delays(sends: list[Stamped], arrivals: list[Stamped]) -> list[Stamped]:
    sent = dict(sends)
    return [(seq, at - sent[seq]) for seq, at in arrivals]


@pytest.mark.parametrize("count", [20, 50])
@pytest.mark.parametrize("mbps", [0.5, 2, 10, 95])
def test_a_train_shows_the_narrowest_hop(mbps: float, count: int) -> None:
    assert train_mbps(through(train(count), mbps), count, SIZE) == pytest.approx(mbps, rel=0.001)


def test_lost_packets_change_nothing() -> None:
    arrivals = [each for each in through(train(50), 10) if each[0] % 7]
    assert train_mbps(arrivals, 50, SIZE) == pytest.approx(10, rel=0.001)


def test_too_few_packets_make_no_figure() -> None:
    assert train_mbps([], 50, SIZE) is None
    assert train_mbps(through(train(50), 10)[::2], 50, SIZE) is None
    assert train_mbps(through(train(50), 10)[-6:], 50, SIZE) is None


def test_stamps_that_do_not_move_make_no_figure() -> None:
    assert train_mbps([(seq, 5) for seq in range(50)], 50, SIZE) is None


@pytest.mark.parametrize("seed", range(5))
def test_cross_traffic_does_not_hide_the_capacity(seed: int) -> None:
    trains = [train_mbps(through(train(50), 10, cross_mbps=4, seed=seed * 10 + each), 50, SIZE) for each in range(5)]
    assert capacity_mbps([each for each in trains if each]) == pytest.approx(10, rel=0.05)


def test_what_a_token_bucket_lets_through_at_once_is_skipped() -> None:
    """A bucket of 16 kB before a 10 Mbit/s line: 11 packets at the speed of the port, then the true rate."""
    head = [(seq, 1_000_000_000 + seq * 12_000) for seq in range(11)]
    tail = [(seq, head[-1][1] + (seq - 10) * 1_200_000) for seq in range(11, 50)]
    long = train_mbps(head + tail, 50, SIZE)
    short = train_mbps((head + tail)[:20], 20, SIZE)
    assert long == pytest.approx(10, rel=0.001)
    assert short is not None
    assert is_bucket_likely(short, long)


def test_trains_of_like_speed_show_no_bucket() -> None:
    assert not is_bucket_likely(10.4, 10)
    assert not is_bucket_likely(None, 10)
    assert not is_bucket_likely(10, None)


def test_the_sending_rate_counts_what_was_lost_on_the_way() -> None:
    sends = burst(10, size=SIZE)
    assert sent_mbps(sends, SIZE) == pytest.approx(10, rel=0.001)
    assert sent_mbps([sends[0], sends[-1]], SIZE) == pytest.approx(10, rel=0.001)


@pytest.mark.parametrize(("rate", "rises"), [(5, False), (9, False), (9.7, False), (11, True), (14, True), (40, True)])
def test_delay_rises_where_the_burst_is_faster_than_the_line(rate: float, rises: bool) -> None:
    sends = burst(rate)
    arrivals = through(sends, 10, size=1228)
    assert is_rising(delays(sends, arrivals), 60, sends[-1][1] - sends[0][1]) is rises


@pytest.mark.parametrize(("rate", "rises"), [(4, False), (8, True)])
def test_cross_traffic_leaves_less_free(rate: float, rises: bool) -> None:
    """4 of 10 Mbit/s are taken by others, in random bunches: one burst may err, nearly all do not."""
    sends, right = burst(rate), 0
    for seed in range(100):
        arrivals = through(sends, 10, cross_mbps=4, size=1228, seed=seed)
        right += is_rising(delays(sends, arrivals), 60, sends[-1][1] - sends[0][1]) is rises
    assert right >= 90


def test_noise_is_no_rise() -> None:
    random = Random(3)
    noisy = [(seq, 5 * MS + int(random.expovariate(1 / 80_000))) for seq in range(60)]
    assert not is_rising(noisy, 60, 60 * MS)


def test_one_late_packet_is_no_rise() -> None:
    flat = [(seq, 5 * MS) for seq in range(59)] + [(59, 30 * MS)]
    assert not is_rising(flat, 60, 60 * MS)


def test_a_queue_that_overflows_is_a_rate_too_high() -> None:
    assert is_rising([(seq, 5 * MS) for seq in range(50)], 60, 60 * MS)


def test_clocks_apart_by_years_do_not_matter() -> None:
    sends = burst(14)
    far = [(seq, delay - 10**18) for seq, delay in delays(sends, through(sends, 10, size=1228))]
    assert is_rising(far, 60, sends[-1][1] - sends[0][1])


def test_a_bracket_closes_in_and_heeds_no_contradiction() -> None:
    bracket = Bracket(0, 10)
    bracket.tell(5, filled=False)
    bracket.tell(7.5, filled=True)
    assert (bracket.low_mbps, bracket.high_mbps) == (5, 7.5)
    bracket.tell(4, filled=True)
    bracket.tell(9, filled=False)
    assert (bracket.low_mbps, bracket.high_mbps) == (5, 5)
