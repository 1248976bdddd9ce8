"""How sure a share is, held to theory and to simulated lines whose true share is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.figures.interval import share_interval, variance_factor
from probes.figures.loss import runs_of


def gilbert(packets: int, p: float, r: float, rng: random.Random) -> list[bool]:
    """A two-state chain: p = P(lost | came before), r = P(came | lost before)."""
    lost, out = False, []
    for _ in range(packets):
        lost = rng.random() >= r if lost else rng.random() < p
        out.append(lost)
    return out


def test_no_loss_in_n_packets_still_allows_three_in_n() -> None:
    low, high = share_interval(0, 1000, 0)
    assert low == 0
    assert 0.003 < high < 0.004


@pytest.mark.parametrize(("burst", "factor"), [(2, 3.0), (4, 6.9), (10, 19)])
def test_runs_of_loss_make_the_sample_smaller_as_theory_says(burst: float, factor: float) -> None:
    packets = 1_000_000
    lost = packets // 100
    assert variance_factor(lost, packets, round(lost / burst)) == pytest.approx(factor, rel=0.02)


def test_random_losses_keep_the_whole_sample() -> None:
    lost = gilbert(200_000, 0.05, 0.95, random.Random(1))
    assert variance_factor(sum(lost), len(lost), len(runs_of(lost))) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("burst", [1.02, 2, 4])
def test_the_interval_holds_the_true_ratio_nineteen_times_in_twenty(burst: float) -> None:
    share, packets, trials = 0.05, 3000, 400
    r = 1 / burst
    p = r * share / (1 - share)
    rng = random.Random(7)
    held = 0
    for _ in range(trials):
        lost = gilbert(packets, p, r, rng)
        low, high = share_interval(sum(lost), packets, len(runs_of(lost)))
        held += low <= share <= high
    assert 0.90 <= held / trials <= 0.99


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_interval_holds_the_ratio_seen(packets: int, lost: int, runs: int) -> None:
    lost = min(lost, packets)
    low, high = share_interval(lost, packets, min(runs, lost))
    assert 0 <= low <= lost / packets + 1e-12
    assert lost / packets - 1e-12 <= high <= 1
