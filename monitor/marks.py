"""From the streams of a site to its five marks and its one verdict. Pure: `now` is handed in.

A mark is the worst of its metrics, the site the worst of its fitted marks. What was never fitted is left out; what is
silent is unknown, and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from monitor.devices import Grade
from monitor.sites import Site
from monitor.streams import MAIN, MARKS_OF, Key, Stream
from probes.catalog import METRICS
from probes.metric import Mark
from probes.verdict import Shown, Verdict, Why, as_of, worst

MARKS = (Mark.LINE, Mark.PICTURE, Mark.SOUND, Mark.LIGHT, Mark.POWER)
PRINCIPAL: dict[Mark, str] = {Mark.LINE: "link"}
"""The probe without which a mark is not known: a good first hop alone says nothing of the line."""
FORGET_MS = 24 * 3_600_000
NEVER_EXPIRES = 1 << 62


class Part(NamedTuple):
    """One piece of evidence: what it shows, from which stream, and the failure it stands on."""

    shown: Shown
    stream: Stream | None = None
    failure: str | None = None


class SiteShown(NamedTuple):
    """A site as it stands now. A mark that is None is not fitted; so is the site when `site` is None."""

    marks: dict[Mark, Part | None]
    site: Part | None
    expires_ms: int
    """Until then nothing changes by time alone."""

    @property
    def look(self) -> tuple[tuple[Verdict, Why | None] | None, ...]:
        """The verdicts and why they are unknown: what people are told of when it changes."""
        parts = (self.site, *self.marks.values())
        return tuple(None if part is None else (part.shown.verdict, part.shown.why) for part in parts)


def show_site(
    site: Site, fitted_ms: int | None, streams: Mapping[Key, Stream], off: Mapping[str, int], now: int
) -> SiteShown:
    """The site now.

    Args:
        fitted_ms: since when the site has a device; None: it has none.
        off: devices that were switched off in order, and when.
    """
    if fitted_ms is None:
        return SiteShown(dict.fromkeys(MARKS), None, _expires(streams.values(), now))
    counting = _counting(site, streams.values())
    marks = {mark: _show_mark(mark, counting, off, now) for mark in MARKS}
    parts = [part for part in marks.values() if part is not None]
    whole = _worst(parts, now) if parts else Part(Shown(Verdict.UNKNOWN, min(fitted_ms, now), Why.NEVER))
    return SiteShown(marks, whole, _expires(streams.values(), now))


def _counting(site: Site, streams: Iterable[Stream]) -> list[Stream]:
    """The streams that count for the marks: of the best grade, of the main line to the site's own bridge, in use."""
    judged = [stream for stream in streams if stream.key.grade is not Grade.CENTRE and _decides(site, stream.key)]
    newest = max((stream.at for stream in judged), default=0)
    in_use = [stream for stream in judged if newest - stream.at <= max(FORGET_MS, 2 * stream.stale_after_ms)]
    measured = {stream.key.probe for stream in in_use if stream.key.grade is Grade.DEVICE}
    return [stream for stream in in_use if stream.key.grade is Grade.DEVICE or stream.key.probe not in measured]


def _decides(site: Site, key: Key) -> bool:
    return key.probe != "link" or (key.line == MAIN and site.is_own_hub(key.target))


def _show_mark(mark: Mark, streams: list[Stream], off: Mapping[str, int], now: int) -> Part | None:
    of_mark = [stream for stream in streams if mark in MARKS_OF.get(stream.key.probe, ()) or stream.run_mark is mark]
    if not of_mark:
        return None
    parts = _corroborated([part for stream in of_mark for part in _parts(stream, mark, off.get(stream.device), now)])
    principal = PRINCIPAL.get(mark)
    if principal and all(stream.key.probe != principal for stream in of_mark):
        parts.append(Part(Shown(Verdict.UNKNOWN, min(stream.at for stream in of_mark), Why.NEVER)))
    if not parts:
        latest = max(of_mark, key=lambda stream: stream.at)
        parts = [_nothing_judged(latest)]
    return _worst(parts, now)


def _corroborated(parts: list[Part]) -> list[Part]:
    """Without what accuses alone: a router that answers test packets badly but passes on all others is well."""
    well = {
        probe
        for probe in {part.stream.key.probe for part in parts if part.stream}
        if all(part.shown.verdict is Verdict.GOOD for part in parts if part.stream and part.stream.key.probe == probe)
    }
    return [part for part in parts if _witness_of(part) not in well or part.shown.verdict is Verdict.GOOD]


def _witness_of(part: Part) -> str | None:
    metric = METRICS.get(part.shown.metric or "")
    return metric.shows_on if metric else None


def probe_verdict(streams: Mapping[Key, Stream], now: int, chosen: Callable[[Key], bool]) -> Verdict:
    """The worst that the fresh streams so chosen say of the line; unknown when they say nothing."""
    parts = [
        part
        for key, stream in streams.items()
        if key.grade is Grade.DEVICE and chosen(key) and not stream.is_stale(now)
        for part in _parts(stream, Mark.LINE, None, now)
    ]
    return _worst(parts, now).shown.verdict if parts else Verdict.UNKNOWN


def _parts(stream: Stream, mark: Mark, off_ms: int | None, now: int) -> list[Part]:
    if off_ms is not None:
        return [Part(Shown(Verdict.UNKNOWN, off_ms, Why.OFF), stream)]
    if stream.is_stale(now):
        return [Part(Shown(Verdict.UNKNOWN, stream.at, Why.STALE), stream)]
    parts = [
        Part(
            as_of(judge.held, judge.at, now, judge.metric.stale_after_s)._replace(
                metric=judge.metric.full_name, value=judge.value
            ),
            stream,
        )
        for judge in stream.judges.values()
        if judge.metric.mark is mark and judge.at and now <= judge.at + judge.metric.stale_after_s * 1000
    ]
    if stream.run_mark is mark and stream.run.verdict is not Verdict.GOOD:
        parts.append(Part(Shown(stream.run.verdict, stream.run.since_ms, stream.run.why), stream, stream.blamed))
    if not parts and PRINCIPAL.get(mark) == stream.key.probe:
        return [_nothing_judged(stream)]
    return parts


def _nothing_judged(stream: Stream) -> Part:
    why = stream.run.why if stream.run.verdict is Verdict.UNKNOWN and stream.run.why else Why.NOT_MEASURED
    return Part(Shown(Verdict.UNKNOWN, stream.at, why), stream, stream.blamed)


def _worst(parts: list[Part], now: int) -> Part:
    decided = worst((part.shown for part in parts), now)
    return next(part for part in parts if part.shown is decided)


def _expires(streams: Iterable[Stream], now: int) -> int:
    """The first moment at which a stream or a judged reading that is fresh now goes stale."""
    moments = [
        moment
        for stream in streams
        for moment in (
            stream.at + stream.stale_after_ms,
            *(judge.at + judge.metric.stale_after_s * 1000 for judge in stream.judges.values() if judge.at),
        )
        if moment >= now
    ]
    return min(moments, default=NEVER_EXPIRES)
