"""A report as a person reads it in a terminal: figure, verdict and limit, then what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from probes.catalog import FAILURES, METRICS
from probes.metric import UNIT_WORDS, Limits, Metric, Span, Text, Unit
from probes.report import Report
from probes.schedule import SITE_TIME
from probes.shelf import Held
from probes.verdict import SEVERITY, Raw, Verdict, applies, counted, effective_limits, judge, judge_share

Language = Literal["vi", "en"]

VERDICTS = {
    Verdict.GOOD: Text("Đạt", "Good"),
    Verdict.FAIR: Text("Cần chú ý", "Fair"),
    Verdict.POOR: Text("Không đạt", "Poor"),
    Verdict.UNKNOWN: Text("Chưa đo được", "Not measured"),
}
TITLES = {
    "link": Text("Đường truyền", "Line"),
    "lan": Text("Mạng trong phòng", "Local network"),
    "host": Text("Thiết bị", "Device"),
}
OVERALL = Text("Kết luận", "Verdict")
TO_DO = Text("Cần làm", "What to do")
YES_NO = (Text("không", "no"), Text("có", "yes"))


class Judged(NamedTuple):
    """One reading of a report beside its declaration; `verdict` None where nothing is judged by it."""

    metric: Metric
    value: float
    limits: Limits | None = None
    verdict: Verdict | None = None


class Rules(NamedTuple):
    """Which limits rule at a site: those of its class, and over them those that the centre gave it."""

    site_class: str = "fibre"
    of_site: Mapping[str, Limits] = {}


def judged(report: Report, rules: Rules) -> list[Judged]:
    """The readings of one report that are declared, in the order of their declarations."""
    return [
        _judged(metric, report.values, rules)
        for metric in METRICS.values()
        if metric.probe == report.probe and metric.name in report.values
    ]


def _judged(metric: Metric, values: Mapping[str, float], rules: Rules) -> Judged:
    value, limits = values[metric.name], effective_limits(metric, rules.site_class, rules.of_site)
    if limits is None or not applies(metric, values):
        return Judged(metric, value)
    raw: Raw | None = judge(value, limits)
    if metric.pool is not None:
        counts = counted(metric.pool, 0, values)
        raw = judge_share([counts], limits) if counts else None
    return Judged(metric, value, limits, raw.verdict if raw else None)


def verdict_of(report: Report, rules: Rules) -> Verdict:
    """The worst verdict of a single run; unknown when it failed or nothing in it is judged."""
    if report.failure is not None:
        return Verdict.UNKNOWN
    verdicts = [each.verdict for each in judged(report, rules) if each.verdict is not None]
    return max(verdicts, key=SEVERITY.__getitem__, default=Verdict.GOOD if report.values else Verdict.UNKNOWN)


def said(report: Report, rules: Rules, language: Language, every: bool = False) -> str:
    """The report in lines of text: the figures it is judged by, or `every` one."""
    figures = [figure for figure in judged(report, rules) if every or figure.verdict is not None]
    labels = [_in(figure.metric.label, language) for figure in figures]
    width = max((len(label) for label in labels), default=0)
    lines = [_title(report, language)]
    if report.failure is not None:
        lines += _failure_lines(report, language)
    lines += [f"  {label:<{width}}  {_figure(figure, language)}" for label, figure in zip(labels, figures, strict=True)]
    lines.append(f"{_in(OVERALL, language)}: {_in(VERDICTS[verdict_of(report, rules)], language)}")
    return "\n".join(lines + _advice_lines(figures, language))


def held_said(held: Held, language: Language) -> str:
    """What waits in a spool, in one line."""
    since = ""
    if held.oldest_at is not None:
        oldest = datetime.fromtimestamp(held.oldest_at / 1000, UTC) + SITE_TIME
        since = _in(Text(f", cũ nhất từ {oldest:%H:%M %d/%m/%Y}", f", oldest of {oldest:%Y-%m-%d %H:%M}"), language)
    text = Text(
        f"{held.reports} báo cáo chờ gửi{since}; {held.gone} khoảng đã mất; {held.bytes / 1e6:.1f} MB.",
        f"{held.reports} reports wait{since}; {held.gone} ranges are gone; {held.bytes / 1e6:.1f} MB.",
    )
    return _in(text, language)


def _in(text: Text, language: Language) -> str:
    return text.vi if language == "vi" else text.en


def _title(report: Report, language: Language) -> str:
    title = _in(TITLES.get(report.probe, Text(report.probe, report.probe)), language)
    about = [part for part in (report.target and f"→ {report.target}", report.line and f"({report.line})") if part]
    return " ".join([title, *about])


def _failure_lines(report: Report, language: Language) -> list[str]:
    assert report.failure is not None
    declared = FAILURES.get(f"{report.probe}.{report.failure.code}")
    lines = [f"  {_in(declared.label, language) if declared else report.failure.code}: {report.failure.text}"]
    if declared and declared.advice:
        lines.append(f"  {_in(TO_DO, language)}: {_in(declared.advice, language)}")
    return lines


def _figure(figure: Judged, language: Language) -> str:
    shown = value_text(figure.value, figure.metric.unit, language)
    if figure.verdict is None or figure.limits is None:
        return shown
    verdict = _in(VERDICTS[figure.verdict], language)
    if figure.metric.unit is Unit.YES_NO:
        return f"{shown}  {verdict}"
    limit = _span_text(figure.limits.good, figure.metric.unit, language)
    return f"{shown}  {verdict} ({_in(VERDICTS[Verdict.GOOD], language)}: {limit})"


def value_text(value: float, unit: Unit, language: Language) -> str:
    """A value with its unit as people write it: shares in per cent, a comma for decimals in Vietnamese."""
    if unit is Unit.YES_NO:
        return _in(YES_NO[bool(value)], language)
    if unit is Unit.RATIO:
        value *= 100
    text = f"{value:.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}"
    word = UNIT_WORDS.get(unit, "")
    return f"{text.replace('.', ',') if language == 'vi' else text} {word}".rstrip()


def _span_text(span: Span, unit: Unit, language: Language) -> str:
    low = None if span.low is None else value_text(span.low, unit, language)
    high = None if span.high is None else value_text(span.high, unit, language)
    if low is None:
        return f"≤ {high}"
    return f"≥ {low}" if high is None else f"{low} – {high}"


def _advice_lines(figures: list[Judged], language: Language) -> list[str]:
    """What to do about all that is not good, the worst first, each advice once."""
    bad = [figure for figure in figures if figure.verdict in (Verdict.FAIR, Verdict.POOR)]
    bad.sort(key=lambda figure: -SEVERITY[figure.verdict or Verdict.GOOD])
    advice = dict.fromkeys(_in(figure.metric.advice, language) for figure in bad if figure.metric.advice)
    return [f"{_in(TO_DO, language)}: {each}" for each in advice]
