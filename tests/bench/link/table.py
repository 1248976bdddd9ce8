"""The benchmark's tables, in Markdown: each run, and at the end one line per tool."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.bench.link.measure import COUNTS, Run
from tests.bench.link.peers import Heard


def runs_table(runs: Sequence[Run]) -> str:
    """Counts as said, with the truth behind a stroke where it differs; errors of delays in ms."""
    head = (
        "link | load | sent | lost up | lost down | dup up | dup down | reord. up | reord. down | own drops | "
        "true p50 | p50 err | p99 err | dv up err | dv down err | dv99 up err | dv99 down err | "
        "counts exact | delays within"
    )
    return _table(head, (_run_row(run) for run in runs))


def peers_table(runs: Sequence[Run]) -> str:
    """What the peers said of their own packets, and what was true of these."""
    head = (
        "link | load | tool | way | sent | lost | dup | p50 err | p99 err | "
        "jitter said (RFC 3550, its last value) | mean step true"
    )
    return _table(head, (_peer_row(run, heard) for run in runs for heard in run.peers))


def summary_table(runs: Sequence[Run]) -> str:
    """One line per tool: in how many runs its loss was the truth, and how far its delays were off."""
    head = (
        "tool | runs | loss exact | loss by direction | dup exact | reordering exact | "
        "worst p50 err | worst p99 err | worst delay variation err"
    )
    tools = sorted({heard.tool for run in runs for heard in run.peers})
    rows = [_our_summary(load, [run for run in runs if run.load == load]) for load in sorted({r.load for r in runs})]
    rows += [_peer_summary(tool, [h for run in runs for h in run.peers if h.tool == tool]) for tool in tools]
    return _table(head, rows)


def _table(head: str, rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    columns = head.split(" | ")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _run_row(run: Run) -> list[str]:
    said = run.report.values
    pairs = [_beside(said.get(name), true) for name, true in zip(COUNTS, run.counts, strict=True)]
    p50 = f"{run.delays.rtt_p50:.3f}" if run.delays else "–"
    exact = "yes" if not run.wrong_counts else "NO"
    within = "yes" if not run.wrong_delays else "no"
    drops = _beside(said.get("own_drops_packets"), 0)
    return [run.link, run.load, *pairs, drops, p50, *map(_error, run.delay_errors), exact, within]


def _peer_row(run: Run, heard: Heard) -> list[str]:
    said, true = heard.said, heard.truth
    return [
        *(run.link, run.load, heard.tool, heard.way, str(said.sent)),
        _beside(said.lost, true.lost),
        "not said" if said.dup is None else _beside(said.dup, true.dup or 0),
        _error(_difference(said.rtt_p50, true.rtt_p50)),
        _error(_difference(said.rtt_p99, true.rtt_p99)),
        "–" if said.jitter is None else f"{said.jitter:.3f}",
        "–" if true.jitter is None else f"{true.jitter:.3f}",
    ]


def _our_summary(load: str, runs: Sequence[Run]) -> list[str]:
    def exact(part: str) -> str:
        return f"{sum(not any(part in name for name in run.wrong_counts) for run in runs)}/{len(runs)}"

    errors = [[abs(error) for error in run.delay_errors if error is not None] for run in runs]
    whole = [error for error in errors if len(error) == 6]
    worst = [max((error[at] for error in whole), default=None) for at in (0, 1)]
    variation = max((max(error[2:]) for error in whole), default=None)
    name = f"diemcau, {load}"
    return [
        *(name, str(len(runs)), exact("lost"), "yes", exact("dup"), exact("reordered")),
        *(_error(worst[0]), _error(worst[1]), _error(variation)),
    ]


def _peer_summary(tool: str, heard: Sequence[Heard]) -> list[str]:
    lost = sum(one.said.lost == one.truth.lost for one in heard)
    tells_dup = [one for one in heard if one.said.dup is not None]
    dup = f"{sum(one.said.dup == one.truth.dup for one in tells_dup)}/{len(tells_dup)}" if tells_dup else "not said"
    ways = "no" if heard[0].way == "round" else "one way a run"
    return [
        *(tool, str(len(heard)), f"{lost}/{len(heard)}", ways, dup, "not said"),
        _worst([_difference(one.said.rtt_p50, one.truth.rtt_p50) for one in heard]),
        _worst([_difference(one.said.rtt_p99, one.truth.rtt_p99) for one in heard]),
        _worst([_difference(one.said.jitter, one.truth.jitter) for one in heard]),
    ]


def _beside(said: float | None, true: float) -> str:
    if said is None:
        return f"absent/{true:g}"
    return f"{said:g}" if said == true else f"**{said:g}**/{true:g}"


def _difference(said: float | None, true: float | None) -> float | None:
    return None if said is None or true is None else said - true


def _worst(errors: Sequence[float | None]) -> str:
    return _error(max((abs(error) for error in errors if error is not None), default=None))


def _error(error: float | None) -> str:
    return "–" if error is None else f"{error:.3f}"
