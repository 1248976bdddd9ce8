"""The declarations as the pages in the browser read them: words, units, limits and cures by full name."""

from __future__ import annotations

from typing import Any

from probes.catalog import FAILURES, METRICS
from probes.metric import FailureCode, Limits, Metric, Text


def declared() -> dict[str, Any]:
    """`{"metrics": {full name: …}, "failures": {full code: …}}`; a limit is `[low, high]`, an open end null."""
    return {
        "metrics": {name: _metric(metric) for name, metric in METRICS.items()},
        "failures": {name: _failure(failure) for name, failure in FAILURES.items()},
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "label": _text(metric.label),
        "meaning": _text(metric.meaning),
        "unit": metric.unit.value,
        "mark": metric.mark.value,
        "remedy": metric.remedy.value,
        "stale_after_s": metric.stale_after_s,
        "limits": _limits(metric.limits),
        "by_class": {name: _limits(limits) for name, limits in metric.by_class.items()},
        "advice": _text(metric.advice),
    }


def _failure(failure: FailureCode) -> dict[str, Any]:
    return {
        "label": _text(failure.label),
        "meaning": failure.meaning.value,
        "mark": failure.mark.value,
        "advice": _text(failure.advice),
    }


def _limits(limits: Limits | None) -> dict[str, list[float | None]] | None:
    if limits is None:
        return None
    return {"good": [limits.good.low, limits.good.high], "fair": [limits.fair.low, limits.fair.high]}


def _text(text: Text | None) -> dict[str, str] | None:
    return None if text is None else {"vi": text.vi, "en": text.en}
