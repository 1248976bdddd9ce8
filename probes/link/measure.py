"""The figures of one window of a STAMP session: packets sent and answers heard in, values and labels out. Pure.

All times are of one steady clock of the sender, but T2 and T3, which are the reflector's. A packet is lost when its
answer is not back 3 s after it was sent; a late answer does not unmake that, and is not counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from probes.figures import delay, emodel
from probes.figures.delay import ClockPoint
from probes.figures.interval import share_interval
from probes.figures.loss import burst_ratio, bursts_and_gaps, longest_loss_ms, runs_of, worst_ratio
from probes.figures.sequence import Echo, Fates, Ledger, judge
from probes.link.packet import SYNCHRONISED, error_s_of
from probes.report import Failure

LOST_AFTER_NS = 3_000_000_000
FULL_RATE_PPS = 50
"""The worst 200 ms means something only at this rate or above: below, one packet is more than a tenth of it."""
REMEMBERED_WINDOWS = 18
"""Of the clocks' relation: three minutes of windows."""
EF, AF41 = 46, 34
"""DSCP of voice (RFC 3246) and of conference video (RFC 2597)."""
_MS = 1e-6


class Sent(NamedTuple):
    """A packet as it left. `t1_ns` is the kernel's stamp where `kernel`; `size` is the UDP payload in bytes."""

    sseq: int
    t1_ns: int
    kernel: bool
    size: int
    dscp: int


class Answer(NamedTuple):
    """An answer as it came. What it or the kernel did not tell is None. `error` is the reflector's error estimate."""

    sseq: int
    rseq: int
    t2_ns: int
    t3_ns: int
    t4_ns: int
    kernel: bool
    error: int = 1
    ttl_up: int | None = None
    ttl_down: int | None = None
    dscp_up: int | None = None
    dscp_down: int | None = None


class Window(NamedTuple):
    """One window, and the guard packets that followed it.

    `sent` ascends by number, `answers` are in the order of arrival, `end` is the first number that is not of the
    window. `own_drops` are answers that our own socket dropped. `wall_ahead_ns` (wall clock minus the steady one) and
    `clock_error_s` are None where the clock was set meanwhile or follows nobody. `refusals` counts ICMP errors,
    `foreign` answers that do not echo what was sent.
    """

    sent: Sequence[Sent]
    answers: Sequence[Answer]
    end: int
    seconds: float
    dscp: int = 0
    own_drops: int = 0
    wall_ahead_ns: int | None = None
    clock_error_s: float | None = None
    refusals: int = 0
    foreign: int = 0
    foreign_kind: str = ""
    sealed: bool = False
    """Packets prove themselves: a hub's replay window then answers each number once, and no copy going up is seen."""


class Memory(NamedTuple):
    """What a session remembers from window to window."""

    ledger: Ledger = Ledger()
    clock: tuple[ClockPoint, ...] = ()


class Measured(NamedTuple):
    """What a report will say of a window."""

    values: dict[str, float]
    labels: dict[str, str]
    failure: Failure | None


class _Sample(NamedTuple):
    """A packet and its first answer."""

    sent: Sent
    answer: Answer

    @property
    def rtt_ns(self) -> int:
        return delay.round_trip_ns(self.sent.t1_ns, self.answer.t2_ns, self.answer.t3_ns, self.answer.t4_ns)

    @property
    def offset_ns(self) -> int:
        return delay.offset_ns(self.sent.t1_ns, self.answer.t2_ns, self.answer.t3_ns, self.answer.t4_ns)


def measure(window: Window, memory: Memory) -> tuple[Measured, Memory]:
    """The figures of a window, and what to remember for the next."""
    by_number = {sent.sseq: sent for sent in window.sent}
    answers = [answer for answer in window.answers if _in_time(answer, by_number.get(answer.sseq))]
    echoes = [Echo(answer.sseq, answer.rseq, answer.t2_ns) for answer in answers]
    fates, ledger = judge([sent.sseq for sent in window.sent], echoes, window.end, memory.ledger)
    mine = [sent for sent in window.sent if sent.sseq < window.end]
    first_answers = {answer.sseq: answer for answer in reversed(answers) if answer.sseq < window.end}
    samples = [_Sample(by_number[sseq], first_answers[sseq]) for sseq in sorted(first_answers)]
    fates = _without_own_drops(fates, window.own_drops)
    values = _counts(fates, mine, window, len(samples))
    values |= _losses(fates, mine, window)
    labels = _labels(fates, samples)
    clock = memory.clock
    if samples:
        seen, clock = _delays(samples, clock)
        values |= seen | _one_way(samples, window) | _marks(samples, window.dscp)
        values |= _speech(values)
        labels["mos_model"] = emodel.NARROWBAND_OPUS
    failure = _failure(window, mine, samples)
    return Measured(values, labels, failure), Memory(ledger, clock)


def _in_time(answer: Answer, sent: Sent | None) -> bool:
    return sent is not None and answer.t4_ns - sent.t1_ns <= LOST_AFTER_NS


# --- loss -----------------------------------------------------------------------------------------------------------


def _without_own_drops(fates: Fates, drops: int) -> Fates:
    """Answers that our own socket dropped are no loss of the line: they are taken out of the longest runs."""
    if drops <= 0:
        return fates
    out: set[int] = set()
    for run in sorted(runs_of([lost for _, lost in fates.down]), key=lambda run: -run.length):
        out.update(range(run.start, run.start + min(run.length, drops - len(out))))
    rest = drops - len(out)
    return fates._replace(
        down=[one for place, one in enumerate(fates.down) if place not in out],
        unknown=fates.unknown[: max(0, len(fates.unknown) - rest)],
    )


def _counts(fates: Fates, mine: Sequence[Sent], window: Window, received: int) -> dict[str, float]:
    values: dict[str, float] = {
        "sent_packets": len(mine),
        "received_packets": received,
        "rate_pps": _rate(mine, window),
        "own_drops_packets": window.own_drops,
        "foreign_packets": window.foreign,
    }
    if not received:
        return values
    if fates.dup_up or not window.sealed:
        values["dup_up_packets"] = fates.dup_up
    # Overtaken going up may be seen by the numbers alone, where the answers were lost: of what was reflected, then.
    reflected = max(received, sum(not lost for _, lost in fates.up))
    return values | {
        "dup_down_packets": fates.dup_down,
        "reordered_up_packets": fates.reordered_up,
        "reordered_down_packets": fates.reordered_down,
        "reordered_up_ratio": fates.reordered_up / reflected,
        "reordered_down_ratio": fates.reordered_down / received,
        "reflector_restarts_count": fates.restarts,
    }


def _losses(fates: Fates, mine: Sequence[Sent], window: Window) -> dict[str, float]:
    values: dict[str, float] = {}
    times_ms = {sent.sseq: sent.t1_ns * _MS for sent in mine}
    spacing_ms = window.seconds * 1000 / len(mine) if mine else 0.0
    if fates.up and (fates.stateful or (fates.stateful is None and not fates.unknown)):
        values["reflected_packets"] = sum(not lost for _, lost in fates.up)
        for direction, stream in (("up", fates.up), ("down", fates.down)):
            values |= _of_one_way(direction, stream, times_ms, spacing_ms, _rate(mine, window))
    if fates.unknown or fates.stateful is False or not fates.up:
        values["lost_round_packets"] = len(fates.unknown)
        if mine:
            values["loss_round_ratio"] = len(fates.unknown) / len(mine)
    return values


def _rate(mine: Sequence[Sent], window: Window) -> float:
    """Packets a second."""
    return len(mine) / window.seconds if window.seconds else 0.0


def _of_one_way(
    direction: str, stream: Sequence[tuple[int, bool]], times_ms: Mapping[int, float], spacing_ms: float, pps: float
) -> dict[str, float]:
    """All that losses of one direction come to; `stream` is (number, lost) in order."""
    flags = [lost for _, lost in stream]
    times = [times_ms[sseq] for sseq, _ in stream]
    lost, runs = sum(flags), len(runs_of(flags))
    values: dict[str, float] = {f"lost_{direction}_packets": lost, f"loss_runs_{direction}_count": runs}
    if not flags:
        return values
    low, high = share_interval(lost, len(flags), runs)
    parts = bursts_and_gaps(flags, spacing_ms)
    figures = {
        f"loss_{direction}_ratio": lost / len(flags),
        f"loss_{direction}_low_ratio": low,
        f"loss_{direction}_high_ratio": high,
        f"longest_loss_{direction}_ms": longest_loss_ms(times, flags, spacing_ms),
        f"burst_density_{direction}_ratio": parts.burst_density,
        f"gap_density_{direction}_ratio": parts.gap_density,
        f"burst_{direction}_ms": parts.mean_burst_ms,
        f"worst_200ms_{direction}_ratio": worst_ratio(times, flags) if pps >= FULL_RATE_PPS * 0.9 else None,
    }
    return values | {name: value for name, value in figures.items() if value is not None}


# --- delay ----------------------------------------------------------------------------------------------------------


def _delays(
    samples: Sequence[_Sample], clock: tuple[ClockPoint, ...]
) -> tuple[dict[str, float], tuple[ClockPoint, ...]]:
    """Round trips of all packets; variation of the ordinary ones of one size, so that it is not their sizes'."""
    usable = _best_stamped(samples)
    values = _round_trips(usable)
    steady = usable[delay.longest_without_step([(sample.offset_ns, sample.rtt_ns) for sample in usable])]
    quickest = min(steady, key=lambda sample: sample.rtt_ns)
    clock = _since_last_step((*clock, ClockPoint(quickest.sent.t1_ns, quickest.offset_ns)), quickest.rtt_ns)
    gain = delay.skew(clock)
    size = Counter(sample.sent.size for sample in steady).most_common(1)[0][0]
    alike = [sample for sample in steady if sample.sent.size == size]
    up = {sample.sent.sseq: _up_ns(sample) - gain * sample.sent.t1_ns for sample in alike}
    down = {sample.sent.sseq: _down_ns(sample) + gain * sample.answer.t4_ns for sample in alike}
    by_reflection = sorted(alike, key=lambda sample: sample.answer.t2_ns)
    by_arrival = sorted(alike, key=lambda sample: sample.answer.t4_ns)
    for direction, transits, order in (("up", up, by_reflection), ("down", down, by_arrival)):
        in_order_sent = list(transits.values())
        figures = {
            f"dv_{direction}_mean_ms": delay.mean_variation(in_order_sent),
            f"dv_{direction}_p99_ms": delay.packet_delay_variation(in_order_sent),
            f"jitter_rfc3550_{direction}_ms": delay.rfc3550_jitter([transits[one.sent.sseq] for one in order]),
        }
        values |= {name: value * _MS for name, value in figures.items() if value is not None}
    return values, clock


def _best_stamped(samples: Sequence[_Sample]) -> list[_Sample]:
    """Those with the kernel's stamps at both ends, where they are the most; a user-space stamp invents delay."""
    stamped = [sample for sample in samples if sample.sent.kernel and sample.answer.kernel]
    return stamped if len(stamped) * 2 >= len(samples) else list(samples)


def _round_trips(samples: Sequence[_Sample]) -> dict[str, float]:
    rtts = sorted(sample.rtt_ns * _MS for sample in samples)
    return {
        "rtt_min_ms": rtts[0],
        "rtt_p50_ms": delay.percentile(rtts, 0.50),
        "rtt_p95_ms": delay.percentile(rtts, 0.95),
        "rtt_p99_ms": delay.percentile(rtts, 0.99),
        "rtt_max_ms": rtts[-1],
    }


def _up_ns(sample: _Sample) -> int:
    return sample.answer.t2_ns - sample.sent.t1_ns


def _down_ns(sample: _Sample) -> int:
    return sample.answer.t4_ns - sample.answer.t3_ns


def _since_last_step(points: tuple[ClockPoint, ...], rtt_ns: int) -> tuple[ClockPoint, ...]:
    """Points on either side of a clock that was set say nothing of its skew."""
    *before, newest = points
    if before and abs(newest.offset_ns - before[-1].offset_ns) > rtt_ns + 10_000_000:
        return (newest,)
    return points[-REMEMBERED_WINDOWS:]


def _one_way(samples: Sequence[_Sample], window: Window) -> dict[str, float]:
    """One-way delays, only where both clocks are synchronised, and never without their error; negatives are kept."""
    errors = [error_s_of(sample.answer.error) for sample in samples if sample.answer.error & SYNCHRONISED]
    if window.wall_ahead_ns is None or window.clock_error_s is None or len(errors) < len(samples):
        return {}
    ahead = window.wall_ahead_ns
    usable = _best_stamped(samples)
    up = sorted((_up_ns(sample) - ahead) * _MS for sample in usable)
    down = sorted((_down_ns(sample) + ahead) * _MS for sample in usable)
    return {
        "owd_up_ms": delay.percentile(up, 0.5),
        "owd_down_ms": delay.percentile(down, 0.5),
        "clock_error_ms": (window.clock_error_s + max(errors)) * 1000,
    }


# --- marks, speech, labels, failures --------------------------------------------------------------------------------


def _marks(samples: Sequence[_Sample], dscp: int) -> dict[str, float]:
    """DSCP as seen at each end, for the stream's own and for the packets sent as voice and as video; TTL left."""
    values: dict[str, float | None] = {"dscp_sent": dscp}
    for kind, sent_as in (("", dscp), ("ef_", EF), ("af41_", AF41)):
        seen = [sample.answer for sample in samples if sample.sent.dscp == sent_as]
        values[f"dscp_{kind}up"] = _most_common(answer.dscp_up for answer in seen)
        values[f"dscp_{kind}down"] = _most_common(answer.dscp_down for answer in seen if answer.dscp_up is not None)
        if not kind and values["dscp_down"] is None:  # nobody was asked to answer as we sent: as it came, then
            values["dscp_down"] = _most_common(answer.dscp_down for answer in seen)
    values["ttl_up"] = _most_common(sample.answer.ttl_up or None for sample in samples)
    values["ttl_down"] = _most_common(sample.answer.ttl_down for sample in samples)
    return {name: value for name, value in values.items() if value is not None}


def _most_common(seen: Iterable[int | None]) -> int | None:
    counted = Counter(value for value in seen if value is not None)
    return counted.most_common(1)[0][0] if counted else None


def _speech(values: Mapping[str, float]) -> dict[str, float]:
    """MOS of the worse direction; a loss without direction counts against both."""
    unknown = values.get("loss_round_ratio", 0.0)
    rated = []
    for direction in ("up", "down"):
        ratio = values.get(f"loss_{direction}_ratio", 0.0)
        packets = values["sent_packets"] if direction == "up" else values.get("reflected_packets", 0.0)
        burst = burst_ratio(
            round(packets),
            round(values.get(f"lost_{direction}_packets", 0.0)),
            round(values.get(f"loss_runs_{direction}_count", 0.0)),
        )
        variation = values.get(f"dv_{direction}_mean_ms", 0.0)
        rated.append(emodel.conversation_mos(values["rtt_p50_ms"], variation, min(1.0, ratio + unknown), burst))
    return {"mos_estimate": min(rated)}


def _labels(fates: Fates, samples: Sequence[_Sample]) -> dict[str, str]:
    labels = {}
    stamps = {stamped for sample in samples for stamped in (sample.sent.kernel, sample.answer.kernel)}
    if stamps:
        labels["stamps"] = "mixed" if len(stamps) > 1 else "kernel" if stamps == {True} else "user"
    if fates.stateful is not None:
        labels["reflector"] = "stateful" if fates.stateful else "stateless"
    return labels


def _failure(window: Window, mine: Sequence[Sent], samples: Sequence[_Sample]) -> Failure | None:
    if samples or not mine:
        return None
    if window.foreign:
        why = window.foreign_kind or "they do not echo the sequence and stamp that were sent"
        text = f"{window.foreign} answers came, but {why}: the reflector does not conform to RFC 8762."
        return Failure("nonconforming", text)
    if window.own_drops:
        text = f"{window.own_drops} answers came back, but this device was too busy to read them."
        return Failure("own_drops", text)
    if window.refusals:
        text = "The far host answers that nothing listens on that port. Is the hub's service running there?"
        return Failure("hub_unreachable", text)
    return Failure("hub_unreachable", f"None of {len(mine)} packets was answered within 3 s.")
