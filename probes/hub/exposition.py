"""The hub's own counters in Prometheus' text format 0.0.4. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probes.hub.crew import Totals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Samples = Iterable[tuple[Mapping[str, str], float]]


def exposition(totals: Totals, mode: str, loop_lag_p99_s: float | None, wait_p99_s: float | None) -> str:
    """All series of one hub; what was not measured has none."""
    waits = [({"of": "loop"}, loop_lag_p99_s), ({"of": "packet"}, wait_p99_s)]
    families = [
        _family("info", "gauge", "How the hub admits senders.", [({"mode": mode}, 1)]),
        _family("sessions", "gauge", "Sessions heard in the last 30 s.", [({}, totals.sessions)]),
        _family("silent", "gauge", "1 while a known site is silent.", [({"site": each}, 1) for each in totals.silent]),
        _family("answered_packets_total", "counter", "Packets answered.", [({}, totals.answered)]),
        _family(
            "refused_packets_total",
            "counter",
            "Packets that got silence, by reason.",
            [({"reason": reason}, count) for reason, count in totals.refused.items()],
        ),
        _family(
            "drops_packets_total",
            "counter",
            "Packets the kernel dropped at the hub's own sockets.",
            [] if totals.drops is None else [({}, totals.drops)],
        ),
        _family("workers", "gauge", "Worker processes alive.", [({}, totals.workers)]),
        _family("worker_restarts_total", "counter", "Workers that died and were replaced.", [({}, totals.restarts)]),
        _family("worker_cpu_seconds_total", "counter", "CPU time of the workers.", [({}, totals.cpu_s)]),
        _family(
            "wait_p99_seconds",
            "gauge",
            "99 % of the waits since the last report are shorter: of the event loop, and of packets inside the hub.",
            [(labels, value) for labels, value in waits if value is not None],
        ),
    ]
    return "".join(families)


def _family(name: str, kind: str, help_text: str, samples: Samples) -> str:
    full = f"diemcau_hub_{name}"
    lines = [f"{full}{_braces(labels)} {value:.15g}\n" for labels, value in samples]
    return f"# HELP {full} {_escape(help_text)}\n# TYPE {full} {kind}\n{''.join(lines)}" if lines else ""


def _braces(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_quote(value)}"' for key, value in labels.items()) + "}" if labels else ""


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quote(value: str) -> str:
    return _escape(value).replace('"', '\\"')
