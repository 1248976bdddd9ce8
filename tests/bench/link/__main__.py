"""The truth benchmark of the link probe: `tests/bench/link/run`, or `python -m tests.bench.link` (root, Linux).

On each emulated link the probe and its hub run as a person would start them; what they report is held against the
link's own log. ping, fping and iperf3 measure the same links in the same run. Ends 1 if anything was not true.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from tests.bench.link import extras, table
from tests.bench.link.links import LINKS, Case
from tests.bench.link.load import busy_cores
from tests.bench.link.measure import Run, over_our_link, over_the_witness
from tests.world.link import why_not


def main() -> int:
    asked = _arguments()
    if reason := why_not():
        print(f"The benchmark cannot run: {reason}.", file=sys.stderr)
        return 3
    cases = [case for case in LINKS if not asked.link or case.name in asked.link]
    runs: list[Run] = []
    broken: list[str] = []
    for load in asked.load:
        _all_links(cases, load, asked, runs, broken)
    print("\n" + table.runs_table(runs))
    if not asked.no_peers:
        print("\n" + table.peers_table(runs))
    print("\n" + table.summary_table(runs))
    found = [] if asked.no_extras else extras.run_all()
    if found:
        print("\n" + extras.table(found))
    if asked.out:
        asked.out.write_text(json.dumps({"runs": runs, "extras": found}, default=list, indent=1), encoding="utf-8")
    print("\n".join(["", *broken]))
    return 0 if _all_true(runs) and not broken and all(one.right for one in found) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/link/run", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="how long the probe sends on each link")
    parser.add_argument("--link", action="append", help="only this link (by name; may be repeated)")
    parser.add_argument("--load", action="append", choices=("idle", "busy"), help="default: both")
    parser.add_argument("--together", type=int, default=1, help="links measured at the same time")
    parser.add_argument("--witness", type=Path, help="C source of another link emulator to measure over as well")
    parser.add_argument("--no-peers", action="store_true", help="leave out ping, fping and iperf3")
    parser.add_argument("--no-extras", action="store_true", help="leave out capacity, path MTU and re-marking")
    parser.add_argument("--out", type=Path, help="all figures as JSON")
    asked = parser.parse_args()
    asked.load = asked.load or ["idle", "busy"]
    return asked


def _all_links(cases: Sequence[Case], load: str, asked: argparse.Namespace, runs: list[Run], broken: list[str]) -> None:
    """Every link under one load; a run that breaks is told at the end and costs no other."""
    with busy_cores() if load == "busy" else nullcontext(), ThreadPoolExecutor(asked.together) as pool:
        peers_too = not asked.no_peers and load == "idle"
        waiting = [(case, load, pool.submit(over_our_link, case, load, asked.seconds, peers_too)) for case in cases]
        if asked.witness:
            name = f"{load}, witness"
            waiting += [
                (case, name, pool.submit(over_the_witness, asked.witness, case, name, asked.seconds))
                for case in cases
                if not case.ipv6
            ]
        for case, name, run in waiting:
            if error := run.exception():
                broken.append(f"{name}: {case.name}: could not run: {error}")
                print(broken[-1], flush=True)
            else:
                runs.append(_told(run.result()))


def _told(run: Run) -> Run:
    wrong = run.wrong_counts + (run.wrong_delays if run.load == "idle" else [])
    print(f"{run.load}: {run.link}: {'true' if not wrong else 'not true: ' + ', '.join(wrong)}", flush=True)
    return run


def _all_true(runs: Sequence[Run]) -> bool:
    """Counts always; delays where the machine was idle and the log has the kernel's own stamps at both ends."""
    return not any(run.wrong_counts or (run.load == "idle" and run.wrong_delays) for run in runs)


if __name__ == "__main__":
    sys.exit(main())
