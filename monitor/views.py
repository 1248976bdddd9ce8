"""What the pages are told of a site, as plain data for JSON: one form for the list, the page and the events."""

from __future__ import annotations

from typing import Any

from monitor.marks import Part, SiteShown
from monitor.site_state import REACH, SiteState
from monitor.sites import Site
from monitor.streams import Stream
from probes.catalog import METRICS
from probes.metric import Limits, Mark
from probes.verdict import Verdict, Why

NOT_FITTED = "not_fitted"
ORDER = {name: place for place, name in enumerate(METRICS)}
MARKED = frozenset(name for name, metric in METRICS.items() if metric.mark is not Mark.NONE)


def site_view(site: Site, state: SiteState, shown: SiteShown, now: int) -> dict[str, Any]:
    """One site as the wall shows it."""
    return {
        "id": site.id,
        "code": site.code,
        "type": site.type,
        "name": {"vi": site.name_vi, "en": site.name_en or site.name_vi},
        "bridge": site.bridge,
        "area": site.area,
        "area_vi": site.more.get("area_vi", ""),
        "more": site.more,
        "carrier": site.carrier,
        "class": site.site_class,
        "lat": site.lat,
        "lon": site.lon,
        "fitted": shown.site is not None,
        **_part_view(shown.site),
        "segment": state.segment,
        "marks": {mark.value: _mark_view(part) for mark, part in shown.marks.items()},
        "reach": _reach_view(state, now),
        "evidence": [
            {"hub": hub, "says": "hears_nothing", "since": since} for hub, since in sorted(state.silence.items())
        ],
        "last_heard": state.last_heard,
    }


def _part_view(part: Part | None) -> dict[str, Any]:
    if part is None:
        return {"verdict": NOT_FITTED, "since": None, "why": None, "metric": None, "value": None, "usual": None,
                "grade": None}  # fmt: skip
    shown = part.shown
    return {
        "verdict": shown.verdict,
        "since": shown.since_ms,
        "why": shown.why,
        "metric": shown.metric,
        "value": shown.value,
        "usual": _usual(part),
        "grade": part.stream.key.grade if part.stream else None,
    }


def _usual(part: Part) -> float | None:
    """What the link is used to, where the figure is only bad beside that."""
    judge = part.stream.judges.get((part.shown.metric or "").partition(".")[2]) if part.stream else None
    if judge is None or judge.value is None or part.shown.verdict not in (Verdict.FAIR, Verdict.POOR):
        return None
    return judge.usual if judge.limits.good.holds(judge.value) else None


def _mark_view(part: Part | None) -> dict[str, Any]:
    stream = part.stream if part else None
    return {
        **_part_view(part),
        "failure": part.failure if part else None,
        "target": stream.key.target if stream else None,
        "line": stream.key.line if stream else None,
    }


def _reach_view(state: SiteState, now: int) -> dict[str, Any] | None:
    """Whether the site's router answers the centre, and how fast."""
    stream = state.reach
    if stream is None:
        return None
    return {
        "answers": state.answers(now),
        "since": stream.turned.get("up"),
        "at": stream.at,
        "stale": stream.is_stale(now),
        "failure": stream.failure.code if stream.failure else None,
        **{name: value for name, value in stream.fresh(now).items() if name in ("rtt_p50_ms", "loss_ratio")},
    }


def reading_view(site: str, stream: Stream, marked_only: bool) -> dict[str, Any]:
    """The last report of a stream, as it is told to the pages."""
    probe, target, line, room, grade = stream.key
    values = {
        name: value
        for name, value in stream.values.items()
        if stream.at_of[name] == stream.at and (not marked_only or probe == REACH or f"{probe}.{name}" in MARKED)
    }
    return {
        "site": site, "probe": probe, "target": target, "line": line, "room": room, "grade": grade,
        "at": stream.at, "values": values,
    }  # fmt: skip


def stream_view(stream: Stream, now: int) -> dict[str, Any]:
    """All that one stream said last, with limits and verdicts: for the page of a site."""
    probe, target, line, room, grade = stream.key
    names = sorted(stream.values, key=lambda name: _place(stream, name))
    return {
        "probe": probe, "target": target, "line": line, "room": room, "grade": grade,
        "device": stream.device,
        "at": stream.at,
        "received_at": stream.received_at,
        "stale": stream.is_stale(now),
        "failure": {"code": stream.failure.code, "text": stream.failure.text} if stream.failure else None,
        "labels": stream.labels,
        "figures": [_figure(stream, name, now) for name in names],
    }  # fmt: skip


def _place(stream: Stream, name: str) -> tuple[int, str]:
    """Declared figures in the order of their declarations, then the others by name."""
    return ORDER.get(f"{stream.key.probe}.{name}", len(ORDER)), name


def _figure(stream: Stream, name: str, now: int) -> dict[str, Any]:
    full_name = f"{stream.key.probe}.{name}"
    judge = stream.judges.get(name)
    stale = now > stream.stale_at(name)
    judged = judge is not None and judge.at > 0 and not stale
    return {
        "metric": full_name,
        "value": stream.values[name],
        "at": stream.at_of[name],
        "stale": stale,
        "known": full_name in METRICS,
        "verdict": judge.held.verdict if judge and judged else None,
        "since": judge.held.since_ms if judge and judged else None,
        "limits": limits_view(judge.limits) if judge else None,
    }


def limits_view(limits: Limits) -> dict[str, Any]:
    return {
        "good": [limits.good.low, limits.good.high],
        "fair": [limits.fair.low, limits.fair.high],
        "margin": limits.margin,
    }


def counts_view(shown: list[SiteShown]) -> dict[str, int]:
    """Counts that add up: good + fair + poor + unknown = fitted; `off` are those of the unknown that are off."""
    fitted = [each.site.shown for each in shown if each.site is not None]
    counts: dict[str, int] = {"sites": len(shown), "fitted": len(fitted), "not_fitted": len(shown) - len(fitted)}
    for verdict in Verdict:
        counts[verdict.value] = sum(each.verdict is verdict for each in fitted)
    counts["off"] = sum(each.why is Why.OFF for each in fitted)
    return counts
