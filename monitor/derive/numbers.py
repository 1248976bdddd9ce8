"""Figures as people read them: the decimal comma in Vietnamese, a share in per cent, the unit after a thin space."""

from __future__ import annotations

from probes.metric import UNIT_WORDS, Limits, Span, Unit

NARROW_SPACE = "\u202f"


def figure(value: float, unit: Unit, lang: str) -> str:
    """`0.0005` as a ratio → `0,05 %` in Vietnamese."""
    shown = value * 100 if unit is Unit.RATIO else value
    digits = f"{shown:.6g}"
    if lang == "vi":
        digits = digits.replace(".", ",")
    word = UNIT_WORDS.get(unit)
    return f"{digits}{NARROW_SPACE}{word}" if word else digits


def span(inside: Span, unit: Unit, lang: str) -> str:
    """The values that lie inside: `≤ 30 ms`, `≥ 4 Mbit/s`, `10 – 20 dB`; `–` when every value does."""
    if inside.low is None and inside.high is None:
        return "–"
    if inside.low is None:
        return f"≤ {figure(inside.high or 0, unit, lang)}"
    if inside.high is None:
        return f"≥ {figure(inside.low, unit, lang)}"
    return f"{figure(inside.low, unit, lang)} – {figure(inside.high, unit, lang)}"


def outside(inside: Span, unit: Unit, lang: str) -> str:
    """The values that lie outside: `> 50 ms`, `< 2 Mbit/s`."""
    low = [] if inside.low is None else [f"< {figure(inside.low, unit, lang)}"]
    high = [] if inside.high is None else [f"> {figure(inside.high, unit, lang)}"]
    return " · ".join(low + high) or "–"


def limits_row(limits: Limits, unit: Unit, lang: str) -> tuple[str, str, str]:
    """Good, fair and poor. Where good and fair are the same there is no fair."""
    fair = "–" if limits.fair == limits.good else span(limits.fair, unit, lang)
    return span(limits.good, unit, lang), fair, outside(limits.fair, unit, lang)
