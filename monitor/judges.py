"""One metric of one stream as it is believed: readings in, the held verdict out. `probes.verdict` decides.

A quiet line is the usual case and must cost next to nothing: a judge whose evidence is all good takes another good
reading by two comparisons.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from monitor.habit import Habit
from probes.metric import Judging, Limits, Metric
from probes.verdict import (
    NOTHING,
    POOL_MS,
    Counted,
    Held,
    Raw,
    Verdict,
    Why,
    after_silence,
    applies,
    counted,
    hold,
    inwards,
    judge,
    judge_baseline,
    judge_share,
)


class Judge:
    """The held verdict of one metric. `value` and `at` are of the last reading that was judged."""

    __slots__ = (
        "_cleared", "_eventful", "_habit", "_high", "_low", "_pool", "_quiet", "_usual_high",
        "at", "held", "limits", "metric", "value",
    )  # fmt: skip

    def __init__(self, metric: Metric, limits: Limits) -> None:
        self.metric = metric
        self.held: Held = NOTHING
        self.at = 0
        self.value: float | None = None
        self._pool: deque[Counted] = deque()
        self._eventful = 0
        self._quiet = False
        self._habit = Habit() if metric.baseline else None
        self._usual_high = math.inf
        self.set_limits(limits)

    def set_limits(self, limits: Limits) -> None:
        """Limits that changed hold from the next reading on."""
        self.limits = limits
        self._cleared = inwards(limits)
        self._low = -math.inf if limits.good.low is None else limits.good.low
        self._high = math.inf if limits.good.high is None else limits.good.high

    @property
    def usual(self) -> float | None:
        """The median of this link's own week; None where nobody asks for it or too little is known."""
        return self._habit.usual if self._habit else None

    def reads(self, values: Mapping[str, float]) -> bool:
        """Whether a report with these values measured the metric."""
        pool = self.metric.pool
        if self.metric.judging is Judging.LOSS_60S:
            return pool is not None and pool.events in values and pool.of in values
        return self.metric.name in values

    def take(self, values: Mapping[str, float], at: int) -> bool:
        """Judge the report's reading, if it has one; True when what is believed has changed."""
        metric = self.metric
        if metric.judging is Judging.LOSS_60S:
            return self._take_share(values, at)
        value = values.get(metric.name)
        if value is None or not applies(metric, values):
            return False
        self.value = value
        usual = self._learn(value, at)
        if self._quiet and self._low <= value <= min(self._high, self._usual_high) and self._is_fresh(at):
            self.at = at
            return False
        return self._hold(judge_baseline(metric, judge(value, self.limits, self._cleared), usual), at)

    def _learn(self, value: float, at: int) -> float | None:
        """What this link was used to before this reading; None where nobody asks for it or too little is known."""
        habit, rule = self._habit, self.metric.baseline
        if habit is None or rule is None:
            return None
        if habit.take(value, at):
            self._set_usual()
        return habit.usual

    def _set_usual(self) -> None:
        """Up to where the habit finds nothing to remark: so that a quiet line costs no more than before."""
        habit, rule = self._habit, self.metric.baseline
        self._usual_high = math.inf if not habit or not rule or not habit.usual else habit.usual + rule.floor

    def _take_share(self, values: Mapping[str, float], at: int) -> bool:
        pool = self.metric.pool
        if pool is None:
            return False
        counts = counted(pool, at, values)
        if counts is None or counts.of <= 0:
            return False
        self._add(counts)
        if self._quiet and not self._eventful and self._is_fresh(at):
            self.value = 0.0
            self.at = at
            return False
        raw = judge_share(self._pool, self.limits)
        if raw is None:
            return False
        self.value = raw.value
        return self._hold(raw, at)

    def _add(self, counts: Counted) -> None:
        """The pool with one report more, without those older than 60 s."""
        oldest = counts.at_ms - POOL_MS
        while self._pool and self._pool[0].at_ms <= oldest:
            self._eventful -= self._pool.popleft().events > 0
        self._pool.append(counts)
        self._eventful += counts.events > 0

    def _is_fresh(self, at: int) -> bool:
        return at - self.at <= self.metric.stale_after_s * 1000

    def _hold(self, raw: Raw, at: int) -> bool:
        rule = self.metric.hold
        before = after_silence(self.held, at - self.at, self.metric.stale_after_s) if self.at else NOTHING
        held = hold(before, raw, at, rule)
        changed = held.verdict is not self.held.verdict or held.why is not self.held.why
        self.held = held
        self.at = at
        self._quiet = (
            held.verdict is Verdict.GOOD
            and len(held.recent) == rule.raise_in
            and all(each is Verdict.GOOD for each in held.recent)
        )
        return changed

    # --- kept over a restart ------------------------------------------------------------------------------------

    def to_kept(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "value": self.value,
            "held": held_to_kept(self.held),
            "pool": [list(each) for each in self._pool],
            "quiet": self._quiet,
            **({"habit": self._habit.to_kept()} if self._habit else {}),
        }

    def from_kept(self, kept: Mapping[str, Any]) -> None:
        self.at, self.value = kept["at"], kept["value"]
        self.held = held_from_kept(kept["held"])
        self._pool = deque(Counted(*each) for each in kept["pool"])
        self._eventful = sum(each.events > 0 for each in self._pool)
        self._quiet = kept["quiet"]
        if self._habit:
            self._habit.from_kept(kept.get("habit", []))
            self._set_usual()


def held_to_kept(held: Held) -> list[Any]:
    return [held.verdict, held.since_ms, held.why, list(held.recent), list(held.better)]


def held_from_kept(kept: list[Any]) -> Held:
    verdict, since_ms, why, recent, better = kept
    return Held(
        Verdict(verdict),
        since_ms,
        None if why is None else Why(why),
        tuple(map(Verdict, recent)),
        tuple(map(Verdict, better)),
    )
