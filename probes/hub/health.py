"""What a hub reports of itself each 10 s, and of a site that fell silent at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probes.hub.crew import Totals
from probes.hub.metrics import PROBE
from probes.hub.waits import quantile_ns
from probes.report import Report

EVERY_S = 10.0


def health(
    before: Totals, now: Totals, loop_waits: Mapping[int, int], packet_waits: Mapping[int, int]
) -> dict[str, float]:
    """The values of one report: counts since `before`, and waits as `Waits.take` gives them."""
    values = {
        "sessions": now.sessions,
        "answered_packets": now.answered - before.answered,
        "refused_packets": sum(now.refused.values()) - sum(before.refused.values()),
        "worker_restarts": now.restarts - before.restarts,
        "loop_lag_p99_ms": wait_p99_ms(loop_waits),
        "wait_p99_ms": wait_p99_ms(packet_waits),
    }
    if now.drops is not None and before.drops is not None:
        values["drops_packets"] = now.drops - before.drops
    return {name: value for name, value in values.items() if value is not None}


def wait_p99_ms(waits: Mapping[int, int]) -> float | None:
    """Milliseconds; None where nothing waited."""
    wait_ns = quantile_ns(waits, 0.99)
    return None if wait_ns is None else wait_ns / 1e6


def presence_reports(sites: Iterable[str], silent: bool, at: int) -> list[Report]:
    """One report for each site that fell silent or came back; `at` in ms since 1970 UTC."""
    return [Report(PROBE, at, site=site, values={"session_silent": float(silent)}) for site in sites]
