"""Reading and limits in, verdict out; and the hold that keeps a verdict from flickering. Pure: `now` is handed in.

One place decides: the centre, the terminal and the pages all show what comes out of here.

    reading ──judge──▶ raw verdict ──hold──▶ held verdict ──as_of(now)──▶ shown (stale is unknown, and why)
    shown verdicts of a mark ──worst──▶ the mark;  marks of a site ──worst──▶ the site
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from probes.figures.interval import share_interval
from probes.metric import AT_ONCE, Hold, Judging, Limits, Meaning, Metric, Pool, Span

POOL_MS = 60_000
MOST_PACKETS = 1 << 53
"""A greater count of packets in one report is no count."""
FULL_RATE_PPS = 45
"""The rate is a measured one: a stream of 50 a second may count 49.9 in its window."""
FORGET_AFTER_STALE = 10
"""A verdict unheard for this many times its staleness is forgotten, not held against the site on its return."""


class Verdict(StrEnum):
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


class Why(StrEnum):
    """Why a verdict is unknown."""

    NEVER = "never"
    STALE = "stale"
    OFF = "off"
    HUB_BUSY = "hub_busy"
    NO_DEVICE = "no_device"
    DEVICE_IN_USE = "device_in_use"
    CLOCK = "clock"
    NOT_MEASURED = "not_measured"


SEVERITY = {Verdict.GOOD: 0, Verdict.UNKNOWN: 1, Verdict.FAIR: 2, Verdict.POOR: 3}
"""The order in which a mark takes the worst of its metrics: poor > fair > unknown > good."""

_BADNESS = {Verdict.GOOD: 0, Verdict.FAIR: 1, Verdict.POOR: 2}


class Raw(NamedTuple):
    """One reading, judged: by the limit itself, and by the limit moved inwards by the margin (for clearing)."""

    verdict: Verdict
    cleared: Verdict
    value: float | None = None
    why: Why | None = None


class Counted(NamedTuple):
    """The counts of one report that a 60 s share is pooled from."""

    at_ms: int
    events: float
    of: float
    runs: float


@dataclass(frozen=True, slots=True)
class Held:
    """What is believed of one metric. `recent` and `better` are the evidence that may change it."""

    verdict: Verdict = Verdict.UNKNOWN
    since_ms: int = 0
    why: Why | None = Why.NEVER
    recent: tuple[Verdict, ...] = ()
    better: tuple[Verdict, ...] = ()


NOTHING = Held()


class Shown(NamedTuple):
    """What people see: the verdict, since when, why it is unknown, and which metric decided it."""

    verdict: Verdict
    since_ms: int
    why: Why | None = None
    metric: str | None = None
    value: float | None = None


# --- one reading ------------------------------------------------------------------------------------------------


def against(value: float, limits: Limits) -> Verdict:
    """The value held against its limits."""
    if limits.good.holds(value):
        return Verdict.GOOD
    return Verdict.FAIR if limits.fair.holds(value) else Verdict.POOR


def inwards(limits: Limits) -> Limits:
    """The limits a reading must keep for a worse verdict to clear: moved inwards by the margin."""
    return Limits(_narrowed(limits.good, limits.margin), _narrowed(limits.fair, limits.margin))


def _narrowed(span: Span, margin: float | None) -> Span:
    if margin is not None:
        return span.narrowed(margin)
    low = None if span.low is None else span.low + abs(span.low) / 10
    high = None if span.high is None else span.high - abs(span.high) / 10
    return Span(low, high)


def judge(value: float, limits: Limits, cleared_limits: Limits | None = None) -> Raw:
    """One reading against its limits; `cleared_limits` spares computing `inwards(limits)` again."""
    verdict = against(value, limits)
    return Raw(verdict, against(value, cleared_limits or inwards(limits)), value)


def judge_share(counts: Iterable[Counted], limits: Limits) -> Raw | None:
    """Events over packets of the counts given, on the lower bound of the interval; None without packets.

    `value` is the share itself, which is what people read.
    """
    events = of = runs = 0.0
    for counted in counts:
        events += counted.events
        of += counted.of
        runs += counted.runs
    packets = round(of)
    if packets <= 0:
        return None
    low, _ = share_interval(min(round(events), packets), packets, round(runs or events))
    return judge(low, limits)._replace(value=events / of)


def pooled(counts: Iterable[Counted], now_ms: int) -> list[Counted]:
    """The counts of the last 60 s."""
    return [counted for counted in counts if now_ms - counted.at_ms < POOL_MS]


def counted(pool: Pool, at_ms: int, values: Mapping[str, float]) -> Counted | None:
    """What one report adds to a pool; None when it did not count, or says what no count can be (2 lost of 1 sent)."""
    events, of = values.get(pool.events), values.get(pool.of)
    if events is None or of is None or not 0 <= events <= of <= MOST_PACKETS:
        return None
    runs = values.get(pool.runs, events) if pool.runs else events
    return Counted(at_ms, events, of, runs)


def judge_baseline(metric: Metric, raw: Raw, baseline: float | None) -> Raw:
    """The reading also held against the link's own median: absolute limits are blind where 3 ms is normal."""
    rule = metric.baseline
    if rule is None or baseline is None or baseline <= 0 or raw.value is None:
        return raw
    if raw.value - baseline <= rule.floor:
        return raw
    beside = judge(raw.value / baseline, rule.ratio)
    return raw._replace(
        verdict=worse(raw.verdict, beside.verdict),
        cleared=worse(raw.cleared, beside.cleared),
    )


def applies(metric: Metric, values: Mapping[str, float]) -> bool:
    """Whether this report's reading of the metric may be judged."""
    if metric.judging is Judging.AT_50_PER_SECOND:
        return values.get("rate_pps", 0) >= FULL_RATE_PPS
    return True


def judge_run(meaning: Meaning | None) -> Raw:
    """The run itself: a failure that accuses is poor, any other makes the mark unknown with its reason."""
    if meaning is None:
        return Raw(Verdict.GOOD, Verdict.GOOD)
    if meaning is Meaning.POOR:
        return Raw(Verdict.POOR, Verdict.POOR)
    return Raw(Verdict.UNKNOWN, Verdict.UNKNOWN, why=Why(meaning.value))


# --- the hold ---------------------------------------------------------------------------------------------------


def hold(held: Held, raw: Raw, at_ms: int, rule: Hold) -> Held:
    """What is believed after one more reading.

    Worse is believed when `raise_of` of the last `raise_in` readings say at least so; better after `clear_after`
    readings in a row past the margin, and then as good as the worst of them. Returns the same object when nothing
    has changed, so that a quiet line costs nothing.
    """
    if raw.verdict is Verdict.UNKNOWN:
        return _unknown(held, raw.why, at_ms)
    recent = (*held.recent, raw.verdict)[-rule.raise_in :]
    level = _supported(recent, rule.raise_of)
    if held.verdict is Verdict.UNKNOWN:
        return _leave_unknown(held, raw, recent, level, at_ms)
    if level is not None and _BADNESS[level] > _BADNESS[held.verdict]:
        return Held(level, at_ms, None, recent)
    better = _better(held, raw, rule.clear_after)
    if len(better) >= rule.clear_after:
        return Held(max(better, key=_BADNESS.__getitem__), at_ms, None, recent)
    if recent == held.recent and better == held.better:
        return held
    return replace(held, recent=recent, better=better)


def _unknown(held: Held, why: Why | None, at_ms: int) -> Held:
    if held.verdict is Verdict.UNKNOWN and held.why is why:
        return held
    return Held(Verdict.UNKNOWN, at_ms, why)


def _leave_unknown(held: Held, raw: Raw, recent: tuple[Verdict, ...], level: Verdict | None, at_ms: int) -> Held:
    """A good reading is believed at once; a bad one waits for its like, and the mark stays unknown meanwhile."""
    if level is not None:
        return Held(level, at_ms, None, recent)
    if raw.verdict is Verdict.GOOD:
        return Held(Verdict.GOOD, at_ms, None, recent)
    return replace(held, recent=recent)


def _supported(recent: tuple[Verdict, ...], raise_of: int) -> Verdict | None:
    """The worst bad level that at least `raise_of` recent readings reach."""
    if recent.count(Verdict.POOR) >= raise_of:
        return Verdict.POOR
    if recent.count(Verdict.POOR) + recent.count(Verdict.FAIR) >= raise_of:
        return Verdict.FAIR
    return None


def _better(held: Held, raw: Raw, most: int) -> tuple[Verdict, ...]:
    if _BADNESS[raw.cleared] >= _BADNESS[held.verdict]:
        return ()
    return (*held.better, raw.cleared)[-most:]


def rule_of(metric: Metric | None) -> Hold:
    """The hold of a metric, or of a run's own success (None)."""
    return AT_ONCE if metric is None else metric.hold


def after_silence(held: Held, silent_ms: int, stale_after_s: int) -> Held:
    """What of a held verdict outlives a silence: its evidence dies when stale, the verdict itself ten times later."""
    if silent_ms <= stale_after_s * 1000:
        return held
    if silent_ms > stale_after_s * 1000 * FORGET_AFTER_STALE:
        return NOTHING
    return replace(held, recent=(), better=())


# --- what is shown ----------------------------------------------------------------------------------------------


def as_of(held: Held, last_at_ms: int, now_ms: int, stale_after_s: int) -> Shown:
    """The held verdict as it stands now: stale is unknown since it went stale."""
    stale_at_ms = last_at_ms + stale_after_s * 1000
    if held.why is Why.OFF:
        return Shown(Verdict.UNKNOWN, held.since_ms, Why.OFF)
    if now_ms > stale_at_ms:
        return Shown(Verdict.UNKNOWN, last_at_ms, Why.STALE)
    return Shown(held.verdict, held.since_ms, held.why)


def worse(one: Verdict, other: Verdict) -> Verdict:
    return one if SEVERITY[one] >= SEVERITY[other] else other


def worst(shown: Iterable[Shown], now_ms: int) -> Shown:
    """The worst, longest standing first among equals; unknown because never measured when there is none."""
    ranked = sorted(shown, key=lambda each: (-SEVERITY[each.verdict], each.since_ms))
    return ranked[0] if ranked else Shown(Verdict.UNKNOWN, now_ms, Why.NEVER)


def effective_limits(
    metric: Metric,
    site_class: str,
    of_site: Mapping[str, Limits] | None = None,
    of_platform: Mapping[str, Limits] | None = None,
) -> Limits | None:
    """The limits that rule: declaration < class < site < platform profile, by full metric name."""
    limits = metric.limits_for(site_class)
    for layer in (of_site, of_platform):
        if layer and metric.full_name in layer:
            limits = layer[metric.full_name]
    return limits
