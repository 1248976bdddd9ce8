"""The E-model: how a conversation would be rated, from delay and loss (ITU-T G.107, G.107.1, G.107.2).

Three scales that must never be mixed or averaged: narrowband R 0-100, wideband 0-129, fullband 0-148. A figure made
with them is an estimate and carries the model's name.
"""

from __future__ import annotations

from math import exp, log2, log10, sqrt
from typing import NamedTuple

NARROWBAND_R = 93.2
"""R with all defaults, as G.107 rounds it (the full formula gives 93.206)."""
WIDEBAND_R = 129.0
FULLBAND_R = 148.0


class Sensitivity(NamedTuple):
    """How much the talkers mind delay (G.107 section 7.4): mT in ms, sT."""

    least_ms: float = 100.0
    slope: float = 1.0


DEFAULT = Sensitivity()
LOW = Sensitivity(120.0, 0.55)
VERY_LOW = Sensitivity(150.0, 0.4)


class Codec(NamedTuple):
    """Equipment impairment Ie and robustness against loss Bpl (ITU-T G.113 appendix I), and the codec's own delay."""

    name: str
    impairment: float
    robustness: float
    delay_ms: float


OPUS = Codec("Opus Ie 0 Bpl 10", 0.0, 10.0, 26.5)
"""No Ie and Bpl of Opus are published: ours. 20 ms frame and 6.5 ms look-ahead (RFC 6716 section 2.1.4)."""
NARROWBAND_OPUS = f"G.107 NB, {OPUS.name}"
"""The model's name as reports carry it."""


def mos_of(r: float) -> float:
    """MOS-CQE of a narrowband R (G.107 annex B), held between 1 and 4.5 (the cubic dips below 1 under R 6.5)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def wideband_mos_of(r: float) -> float:
    """MOS of a wideband R (G.107.1)."""
    return mos_of(r / 1.29)


def fullband_mos_of(r: float) -> float:
    """MOS of a fullband R (G.107.2)."""
    return mos_of(r / 1.48)


def delay_impairment(one_way_ms: float, sensitivity: Sensitivity = DEFAULT) -> float:
    """Idd: what pure delay takes from a conversation (G.107 equation 7-27)."""
    if one_way_ms <= sensitivity.least_ms:
        return 0.0
    x = log2(one_way_ms / sensitivity.least_ms)
    e = 6 * sensitivity.slope
    return float(25 * ((1 + x**e) ** (1 / e) - 3 * (1 + (x / 3) ** e) ** (1 / e) + 2))


def loss_impairment(
    impairment: float, robustness: float, loss_percent: float, burst_ratio: float = 1.0, ceiling: float = 95.0
) -> float:
    """Ie,eff: codec and packet loss (G.107 equation 7-29); `ceiling` is 95 narrowband, 132 fullband.

    Held at the ceiling: long runs of heavy loss would pass it, and a better codec would then rate worse.
    """
    if loss_percent <= 0:
        return impairment
    share = min(1.0, loss_percent / (loss_percent / burst_ratio + robustness))
    return impairment + (ceiling - impairment) * share


def rating(one_way_ms: float, codec: Codec, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """R, narrowband short form: all other parameters at their defaults. `one_way_ms` is mouth to ear."""
    impairment = loss_impairment(codec.impairment, codec.robustness, loss_percent, burst_ratio)
    return NARROWBAND_R - delay_impairment(one_way_ms) - impairment


def fullband_rating(one_way_ms: float, codec: Codec, loss_percent: float) -> float:
    """R, fullband (G.107.2)."""
    impairment = loss_impairment(codec.impairment, codec.robustness, loss_percent, ceiling=132.0)
    return FULLBAND_R - 1.48 * delay_impairment(one_way_ms) - impairment


def rating_with_echo(one_way_ms: float, echo_loss_db: float) -> float:
    """R by the full narrowband formula for talker echo of `echo_loss_db` (TELR), T = Ta, Tr = 2 T, defaults else."""
    circuit_noise, slr, rlr, stmr, ds, dr, ps, pr, floor = -70.0, 8.0, 2.0, 15.0, 3.0, 3.0, 35.0, 35.0, -64.0
    weighted_echo_loss, quantising = 110.0, 37.0
    olr = slr + rlr
    sent_noise = ps - slr - ds - 100 + 0.004 * (ps - olr - ds - 14) ** 2
    effective_pr = pr + 10 * log10(1 + 10 ** ((10 - (stmr + dr)) / 10))
    received_noise = rlr - 121 + effective_pr + 0.008 * (effective_pr - 35) ** 2
    noise = 10 * log10(sum(10 ** (level / 10) for level in (circuit_noise, sent_noise, received_noise, floor + rlr)))
    basic = 15 - 1.5 * (slr + noise)
    t = one_way_ms
    simultaneous = _simultaneous(noise, olr, rlr, stmr, echo_loss_db, t, basic, quantising)
    echo_rating = 80 + 2.5 * (_perceived_echo_loss(echo_loss_db, t) - 14)
    noise_rating = -1.5 * (noise - rlr)
    half = (noise_rating - echo_rating) / 2
    talker_echo = (half + sqrt(half * half + 100) - 1) * (1 - exp(-t))
    listener_rating = 10.5 * (weighted_echo_loss + 7) * (2 * t + 1) ** -0.25
    half = (basic - listener_rating) / 2
    listener_echo = half + sqrt(half * half + 169)
    return float(basic - simultaneous - talker_echo - listener_echo - delay_impairment(t))


def _perceived_echo_loss(echo_loss_db: float, t: float) -> float:
    """TERV (G.107 equation 7-22)."""
    return echo_loss_db - 40 * log10((1 + t / 10) / (1 + t / 150)) + 6 * exp(-0.3 * t * t)


def _simultaneous(
    noise: float, olr: float, rlr: float, stmr: float, telr: float, t: float, basic: float, quantising: float
) -> float:
    """Is: too loud a connection, sidetone and quantising (G.107 section 7.3)."""
    loud = (olr + 0.2 * (64 + noise - rlr)) / 8
    too_loud = 20 * ((1 + loud**8) ** (1 / 8) - loud)
    sidetone = -10 * log10(10 ** (-stmr / 10) + exp(-t / 4) * 10 ** (-telr / 10))
    poor_sidetone = (
        12 * (1 + ((sidetone - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((sidetone + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((sidetone - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    g = 1.07 + 0.258 * quantising + 0.0602 * quantising**2
    y = (basic - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return float(too_loud + poor_sidetone + 15 * log10(1 + 10**y + 10**z))


def conversation_mos(
    round_trip_ms: float, variation_ms: float, loss_ratio: float, burst_ratio: float, codec: Codec = OPUS
) -> float:
    """MOS of speech over a measured line, for one direction of loss.

    Mouth to ear is half the round trip, a de-jitter buffer of twice the mean variation (what adaptive buffers settle
    at; nothing is then lost by lateness a second time), and the codec.
    """
    one_way_ms = round_trip_ms / 2 + 2 * variation_ms + codec.delay_ms
    return mos_of(rating(one_way_ms, codec, loss_ratio * 100, burst_ratio))
