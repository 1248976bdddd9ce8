"""The sites for Prometheus: our own text writer, streamed metric by metric.

Gauge objects of prometheus-client cost twenty times the CPU a line; they carry the centre's own figures only. A series
that is stale is not written: it disappears instead of repeating its last value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from monitor.derive.names import PrometheusName, prometheus_name
from monitor.live import Live
from monitor.marks import MARKS, SiteShown
from monitor.sites import Site
from monitor.streams import Stream
from probes.catalog import METRICS
from probes.metric import Limits, Metric
from probes.verdict import Verdict

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def site_metrics(live: Live, now: int) -> Iterator[bytes]:
    """The text, one piece a metric, so that a scrape never holds the centre up for long."""
    yield _site_info(live.sites.values())
    yield _verdicts({site: live.shown(site, now) for site in live.sites})
    yield _limits(live)
    by_name: dict[str, list[tuple[str, Stream]]] = {}
    for site in live.sites:
        for stream in live.state(site).streams.values():
            for name in stream.values:
                by_name.setdefault(f"{stream.key.probe}.{name}", []).append((site, stream))
    for full_name in sorted(by_name):
        yield _readings(full_name, by_name[full_name], now)


def _readings(full_name: str, streams: list[tuple[str, Stream]], now: int) -> bytes:
    outside = prometheus_name(full_name)
    name = full_name.partition(".")[2]
    lines = [
        f"{outside.name}{{{_stream_labels(site, stream)}}} {outside.value(stream.values[name])!r}"
        for site, stream in streams
        if now <= stream.stale_at(name)
    ]
    return _family(outside.name, _help(METRICS.get(full_name)), lines)


def _stream_labels(site: str, stream: Stream) -> str:
    key = stream.key
    labels = f'site="{_escape(site)}",line="{_escape(key.line)}",target="{_escape(key.target or "")}"'
    if key.room != "main":
        labels += f',room="{_escape(key.room)}"'
    return f'{labels},grade="{key.grade}"'


def _help(metric: Metric | None) -> str:
    return metric.meaning.en if metric else "No declaration names this metric."


def _site_info(sites: Iterable[Site]) -> bytes:
    lines = [
        f'diemcau_site_info{{site="{_escape(site.id)}",name="{_escape(site.name_vi)}",'
        f'bridge="{_escape(site.bridge)}",area="{_escape(site.area)}",carrier="{_escape(site.carrier)}",'
        f'class="{_escape(site.site_class)}"}} 1'
        for site in sites
    ]
    return _family("diemcau_site_info", "What a site is; always 1.", lines)


def _verdicts(shown: Mapping[str, SiteShown]) -> bytes:
    """One line for each verdict a mark could have, 1 for the one it has; what is not fitted has no line."""
    lines = []
    for site, each in shown.items():
        for mark, part in (("site", each.site), *((mark.value, each.marks[mark]) for mark in MARKS)):
            if part is None:
                continue
            lines += [
                f'diemcau_verdict{{site="{_escape(site)}",mark="{mark}",verdict="{verdict}"}} '
                f"{int(part.shown.verdict is verdict)}"
                for verdict in Verdict
            ]
    return _family("diemcau_verdict", "The held verdict of a mark: 1 for the one it has.", lines)


def _limits(live: Live) -> bytes:
    """The limits that rule, once for each class of sites, in the metric's base unit."""
    of_class = {site.site_class: site.id for site in live.sites.values()}
    lines = []
    for full_name, metric in METRICS.items():
        outside = prometheus_name(full_name)
        for site_class, site in of_class.items():
            limits = live.limits_of(site, metric)
            if limits is not None:
                lines += _limit_lines(outside, site_class, limits)
    return _family("diemcau_limit", "Where good and fair end, in the metric's own base unit.", lines)


def _limit_lines(outside: PrometheusName, site_class: str, limits: Limits) -> list[str]:
    return [
        f'diemcau_limit{{metric="{outside.name}",class="{site_class}",verdict="{verdict}",end="{end}"}} '
        f"{outside.value(value)!r}"
        for verdict, span in (("good", limits.good), ("fair", limits.fair))
        for end, value in (("low", span.low), ("high", span.high))
        if value is not None
    ]


def _family(name: str, meaning: str, lines: list[str]) -> bytes:
    if not lines:
        return b""
    meaning = meaning.replace("\\", "\\\\").replace("\n", " ")
    return "\n".join((f"# HELP {name} {meaning}", f"# TYPE {name} gauge", *lines, "")).encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
