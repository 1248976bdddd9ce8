"""The E-model held to published and independently computed vectors, and to what must always be true of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.figures import emodel
from probes.figures.emodel import Codec
from probes.figures.loss import burst_ratio

G729A = Codec("G.729A", 11, 19, 25)
DELAY = st.floats(0, 2000)
LOSS = st.floats(0, 100)
BURST = st.floats(1, 8)


@pytest.mark.parametrize(
    ("r", "mos"),
    [(50, 2.575), (60, 3.100), (70, 3.597), (80, 4.024), (90, 4.339), (93.2, 4.4093), (30, 1.609), (0, 1), (100, 4.5)],
)
def test_mos_of_r(r: float, mos: float) -> None:
    assert emodel.mos_of(r) == pytest.approx(mos, abs=0.0006)


@pytest.mark.parametrize(
    ("one_way_ms", "default", "low", "very_low"),
    [
        (100, 0, 0, 0),
        (125, 0.0046, 0.0006, 0),
        (150, 0.1635, 0.1641, 0),
        (200, 3.0444, 2.2530, 0.9498),
        (250, 8.9167, 6.0582, 3.3771),
        (300, 14.7607, 10.0942, 6.1786),
        (400, 24.0701, 16.8945, 11.1972),
        (500, 30.6359, 21.8751, 15.067),
    ],
)
def test_what_delay_takes(one_way_ms: float, default: float, low: float, very_low: float) -> None:
    assert emodel.delay_impairment(one_way_ms) == pytest.approx(default, abs=1e-4)
    assert emodel.delay_impairment(one_way_ms, emodel.LOW) == pytest.approx(low, abs=1e-4)
    assert emodel.delay_impairment(one_way_ms, emodel.VERY_LOW) == pytest.approx(very_low, abs=1e-4)


@pytest.mark.parametrize(
    ("impairment", "robustness", "loss_percent", "burst", "taken"),
    [
        (0, 4.3, 1, 1, 17.925),
        (0, 4.3, 2, 1, 30.159),
        (0, 4.3, 5, 1, 51.075),
        (0, 4.3, 5, 2, 69.853),
        (0, 25.1, 1, 1, 3.640),
        (0, 25.1, 2, 1, 7.011),
        (0, 25.1, 5, 1, 15.781),
        (0, 25.1, 5, 2, 17.210),
        (0, 10, 1, 1, 8.636),
        (0, 10, 2, 1, 15.833),
        (0, 10, 5, 1, 31.667),
        (0, 10, 5, 2, 38.0),
        (11, 19, 1, 1, 15.2),
        (11, 19, 2, 1, 19.0),
        (11, 19, 5, 1, 28.5),
        (11, 19, 5, 2, 30.535),
    ],
)
def test_what_loss_takes(impairment: float, robustness: float, loss_percent: float, burst: float, taken: float) -> None:
    assert emodel.loss_impairment(impairment, robustness, loss_percent, burst) == pytest.approx(taken, abs=0.001)


@pytest.mark.parametrize(
    ("one_way_ms", "codec", "loss_percent", "burst", "r", "mos"),
    [
        (150, Codec("G.711 PLC", 0, 25.1, 0), 1, 1, 89.397, 4.324),
        (200, Codec("G.711 PLC", 0, 25.1, 0), 2, 1, 83.145, 4.137),
        (300, Codec("G.711 PLC", 0, 25.1, 0), 3, 1, 68.297, 3.516),
        (400, Codec("G.711 PLC", 0, 25.1, 0), 5, 2, 51.920, 2.676),
        (250, G729A, 2, 1, 65.283, 3.369),
    ],
)
def test_delay_and_loss_together(
    one_way_ms: float, codec: Codec, loss_percent: float, burst: float, r: float, mos: float
) -> None:
    rating = emodel.rating(one_way_ms, codec, loss_percent, burst)
    assert rating == pytest.approx(r, abs=0.001)
    assert emodel.mos_of(rating) == pytest.approx(mos, abs=0.001)


def test_all_defaults_give_the_rating_of_the_recommendation() -> None:
    assert emodel.rating_with_echo(0, 65) == pytest.approx(93.20621, abs=1e-5)


@pytest.mark.parametrize(
    ("echo_loss_db", "at_100_ms", "at_200_ms"),
    [(65, 90.66, 85.80), (55, 86.11, 75.81), (45, 70.15, 54.87), (35, 47.25, 31)],
)
def test_echo_takes_more_the_later_it_comes(echo_loss_db: float, at_100_ms: float, at_200_ms: float) -> None:
    assert emodel.rating_with_echo(100, echo_loss_db) == pytest.approx(at_100_ms, abs=0.005)
    assert emodel.rating_with_echo(200, echo_loss_db) == pytest.approx(at_200_ms, abs=0.005)


@pytest.mark.parametrize(
    ("impairment", "mos"), [(1, 4.493988), (8, 4.420569), (13, 4.337096), (26, 4.018126), (41, 3.512307)]
)
def test_wideband_mos_of_amr_wb_without_loss(impairment: float, mos: float) -> None:
    assert emodel.wideband_mos_of(emodel.WIDEBAND_R - impairment) == pytest.approx(mos, abs=1e-6)


@pytest.mark.parametrize(
    ("one_way_ms", "impairment", "robustness", "loss_percent", "r", "mos"),
    [
        (0, 10.2, 4.3, 0, 137.8, 4.408),
        (100, 10.2, 4.3, 1, 114.819, 3.929),
        (200, 10.2, 4.3, 2, 94.628, 3.301),
        (300, 10.2, 4.3, 0, 115.954, 3.960),
        (100, 7.2, 11.4, 5, 102.751, 3.570),
    ],
)
def test_fullband(
    one_way_ms: float, impairment: float, robustness: float, loss_percent: float, r: float, mos: float
) -> None:
    rating = emodel.fullband_rating(one_way_ms, Codec("", impairment, robustness, 0), loss_percent)
    assert rating == pytest.approx(r, abs=0.001)
    assert emodel.fullband_mos_of(rating) == pytest.approx(mos, abs=0.001)


def test_burst_ratio_of_five_percent_in_runs_of_three() -> None:
    assert burst_ratio(packets=6000, lost=300, runs=100) == pytest.approx(2.85)


@given(DELAY, DELAY, LOSS, LOSS, BURST, BURST, st.floats(0, 40), st.floats(0, 40))
def test_nothing_that_gets_worse_makes_the_rating_better(
    ta: float, ta2: float, loss: float, loss2: float, burst: float, burst2: float, ie: float, ie2: float
) -> None:
    better = emodel.rating(min(ta, ta2), Codec("", min(ie, ie2), 10, 0), min(loss, loss2), min(burst, burst2))
    worse = emodel.rating(max(ta, ta2), Codec("", max(ie, ie2), 10, 0), max(loss, loss2), max(burst, burst2))
    assert worse <= better + 1e-9


@given(st.floats(-50, 150), st.floats(10, 100), st.floats(10, 100))
def test_mos_stays_on_its_scale_and_never_falls_while_r_rises(any_r: float, r: float, r2: float) -> None:
    assert 1 <= emodel.mos_of(any_r) <= 4.5
    assert emodel.mos_of(min(r, r2)) <= emodel.mos_of(max(r, r2)) + 1e-12


@pytest.mark.parametrize("sensitivity", [emodel.DEFAULT, emodel.LOW, emodel.VERY_LOW])
def test_delay_begins_to_take_without_a_jump(sensitivity: emodel.Sensitivity) -> None:
    assert emodel.delay_impairment(sensitivity.least_ms * 1.0001, sensitivity) == pytest.approx(0, abs=1e-3)


def test_a_good_line_rates_good_and_a_lossy_or_slow_one_does_not() -> None:
    assert emodel.conversation_mos(5, 0.2, 0.0, 1.0) > 4.3
    assert emodel.conversation_mos(5, 0.2, 0.05, 1.0) < 3.6
    assert emodel.conversation_mos(900, 0.2, 0.0, 1.0) < 3.6
    assert emodel.conversation_mos(5, 0.2, 1.0, 1.0) < 1.01
