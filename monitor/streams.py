"""One stream: what one probe says of one site, target, line and room, at one grade. Its readings and its judges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from monitor.devices import Grade
from monitor.judges import Judge, held_from_kept, held_to_kept
from probes.catalog import FAILURES, METRICS, PROBES
from probes.metric import Limits, Mark, Meaning, Metric, Unit
from probes.report import Failure, Report
from probes.verdict import NOTHING, Held, Verdict, after_silence, hold, judge_run, rule_of

MAIN = "main"
PLANS = 20
DEFAULT_STALE_S = 120
"""For a probe that no declaration knows."""

LimitsOf = Callable[[str, Metric], Limits | None]
"""The limits that rule for a metric at a site, by site id."""

_METRICS_OF: dict[str, dict[str, Metric]] = {
    probe: {metric.name: metric for metric in METRICS.values() if metric.probe == probe} for probe in PROBES
}
STALE_OF: dict[str, int] = {
    probe: min((metric.stale_after_s for metric in metrics.values()), default=DEFAULT_STALE_S)
    for probe, metrics in _METRICS_OF.items()
}
"""A probe is silent when the quickest of its metrics is stale."""
_YES_NO: dict[str, tuple[str, ...]] = {
    probe: tuple(name for name, metric in metrics.items() if metric.unit is Unit.YES_NO)
    for probe, metrics in _METRICS_OF.items()
}


class Key(NamedTuple):
    """What makes a stream one stream, within a site."""

    probe: str
    target: str | None
    line: str
    room: str
    grade: Grade


class Stream:
    """The latest of everything one stream said. `at` never goes back: what comes late is history, not state."""

    __slots__ = (
        "_plans", "at", "at_of", "blamed", "device", "failure", "judges", "key", "labels", "received_at",
        "run", "turned", "values",
    )  # fmt: skip

    def __init__(self, key: Key, site: str, limits_of: LimitsOf) -> None:
        self.key = key
        self.device = ""
        self.at = 0
        self.received_at = 0
        self.values: dict[str, float] = {}
        self.at_of: dict[str, int] = {}
        self.labels: dict[str, str] = {}
        self.failure: Failure | None = None
        self.run: Held = NOTHING
        self.blamed: str | None = None
        """The failure, by its full code, that `run` is not good for; it outlives the failure until `run` clears."""
        self.turned: dict[str, int] = {}
        """When each yes-or-no figure took its present value."""
        self.judges: dict[str, Judge] = {}
        self._plans: dict[tuple[str, ...], list[Judge]] = {}
        self.set_limits(site, limits_of)

    def set_limits(self, site: str, limits_of: LimitsOf) -> None:
        self._plans.clear()
        for name, metric in _METRICS_OF.get(self.key.probe, {}).items():
            limits = limits_of(site, metric)
            if limits is None:
                self.judges.pop(name, None)
            elif name in self.judges:
                self.judges[name].set_limits(limits)
            else:
                self.judges[name] = Judge(metric, limits)

    @property
    def stale_after_ms(self) -> int:
        return STALE_OF.get(self.key.probe, DEFAULT_STALE_S) * 1000

    def take(self, report: Report, device: str, at: int, received_at: int) -> bool:
        """Take a report that is not older than the last; True when a verdict may have changed by it."""
        changed = at - self.at > self.stale_after_ms or device != self.device
        changed |= self._turn(report.values, at)
        self.values.update(report.values)
        self.at_of.update(dict.fromkeys(report.values, at))
        self.labels = report.labels
        self.device, self.received_at = device, received_at
        changed |= self._take_run(report.failure, at)
        for judge in self._judges_for(report.values):
            changed |= judge.take(report.values, at)
        self.at = at
        return changed

    def _judges_for(self, values: Mapping[str, float]) -> list[Judge]:
        """The judges whose metrics a report with these values measured; worked out once for each set of names."""
        names = tuple(values)
        found = self._plans.get(names)
        if found is None:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            found = self._plans[names] = [judge for judge in self.judges.values() if judge.reads(values)]
        return found

    def _turn(self, values: Mapping[str, float], at: int) -> bool:
        turned = False
        for name in _YES_NO.get(self.key.probe, ()):
            value = values.get(name)
            if value is not None and value != self.values.get(name):
                self.turned[name] = at
                turned = True
        return turned

    def _take_run(self, failure: Failure | None, at: int) -> bool:
        silent_ms = at - self.at
        if failure is None and self.run.verdict is Verdict.GOOD and silent_ms <= self.stale_after_ms:
            return self._forgive()
        before = after_silence(self.run, silent_ms, self.stale_after_ms // 1000) if self.at else NOTHING
        meaning = None if failure is None else meaning_of(self.key.probe, failure)
        held = hold(before, judge_run(meaning), at, rule_of(None))
        changed = (held.verdict, held.why, failure) != (self.run.verdict, self.run.why, self.failure)
        self.run, self.failure = held, failure
        if failure is not None:
            self.blamed = f"{self.key.probe}.{failure.code}"
        elif held.verdict is Verdict.GOOD:
            self.blamed = None
        return changed

    def _forgive(self) -> bool:
        changed = self.failure is not None
        self.failure = self.blamed = None
        return changed

    @property
    def run_mark(self) -> Mark:
        """The mark that a run which is not good speaks of; NONE when it speaks of none."""
        declared = FAILURES.get(self.blamed or "")
        return declared.mark if declared else Mark.NONE

    def is_stale(self, now: int) -> bool:
        return now > self.at + self.stale_after_ms

    def stale_at(self, name: str) -> int:
        """When the last value of a metric goes stale."""
        metric = _METRICS_OF.get(self.key.probe, {}).get(name)
        stale_s = metric.stale_after_s if metric else STALE_OF.get(self.key.probe, DEFAULT_STALE_S)
        return self.at_of[name] + stale_s * 1000

    def fresh(self, now: int) -> dict[str, float]:
        """The values that are not stale."""
        return {name: value for name, value in self.values.items() if now <= self.stale_at(name)}

    # --- kept over a restart ------------------------------------------------------------------------------------

    def to_kept(self) -> dict[str, Any]:
        return {
            "key": list(self.key),
            "device": self.device,
            "at": self.at,
            "received_at": self.received_at,
            "values": self.values,
            "at_of": self.at_of,
            "labels": self.labels,
            "failure": None if self.failure is None else [self.failure.code, self.failure.text],
            "run": held_to_kept(self.run),
            "blamed": self.blamed,
            "turned": self.turned,
            "judges": {name: judge.to_kept() for name, judge in self.judges.items()},
        }

    def from_kept(self, kept: Mapping[str, Any]) -> None:
        self.device, self.at, self.received_at = kept["device"], kept["at"], kept["received_at"]
        self.values, self.at_of, self.labels = kept["values"], kept["at_of"], kept["labels"]
        self.failure = None if kept["failure"] is None else Failure(*kept["failure"])
        self.run, self.blamed = held_from_kept(kept["run"]), kept["blamed"]
        self.turned = kept["turned"]
        for name, judge in kept["judges"].items():
            if name in self.judges:
                self.judges[name].from_kept(judge)


def key_of(report: Report, grade: Grade, target: str | None) -> Key:
    return Key(report.probe, target, report.line or MAIN, report.room or MAIN, grade)


def key_from_kept(kept: list[Any]) -> Key:
    probe, target, line, room, grade = kept
    return Key(probe, target, line, room, Grade(grade))


def meaning_of(probe: str, failure: Failure) -> Meaning:
    """What the failure says; one that nobody declared accuses nobody."""
    declared = FAILURES.get(f"{probe}.{failure.code}")
    return declared.meaning if declared else Meaning.NOT_MEASURED


MARKS_OF: dict[str, frozenset[Mark]] = {
    probe: frozenset(metric.mark for metric in metrics.values() if metric.mark is not Mark.NONE and metric.limits)
    for probe, metrics in _METRICS_OF.items()
}
"""The marks a probe's metrics are judged for."""
