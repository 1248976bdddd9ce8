"""Exactly once, under fire: devices under load and their centre killed at random, disks filled, clocks stepped.

    python -m tests.bench.exactly_once                         200 kills, some four minutes
    python -m tests.bench.exactly_once --kills 12 --seed 7     a short run
    python -m tests.bench.exactly_once --keep DIR              leave ledgers, logs and databases there

The devices are real agents fed by a runner of ours; beside them runs one probe as people start it (`diemcau-probe run`,
with a hub on loopback); the centre is the real one. What a device's spool promised stands in its ledger; at the end the
centre's database must hold each of these reports once and unaltered, or know it gone, and every sequence of every boot
must be closed. Exit 0 when all of it holds, 1 when not, 2 when it cannot run here.

It runs in mount and process namespaces of its own: its small disks and programs end with it, however it ends. That
needs root, or a kernel that gives users namespaces.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.bench.exactly_once.build import build
from tests.bench.exactly_once.city import City
from tests.bench.exactly_once.compare import Held, Verdict, disagreements, judge, last_given, read_centre
from tests.bench.exactly_once.plan import CENTRE, draw
from tests.bench.exactly_once.truth import read

INSIDE = "--inside"
START_S, DRAIN_S = 60, 180


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--rate", type=float, default=50, help="reports a second and device")
    parser.add_argument("--keep", type=Path, help="a new folder for everything the run writes outside the small disks")
    parser.add_argument(INSIDE, action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if not told.inside:
        if shutil.which("unshare") is None:
            print("`unshare` (Debian package util-linux) is not installed; it is what keeps the run's disks apart.")
            return 2
        _go_inside()
    folder = told.keep or Path(tempfile.mkdtemp(prefix="diemcau-exactly-once-"))
    try:
        return run(folder.absolute(), told.kills, told.seed, told.devices, told.rate, told.keep is not None)
    finally:
        if told.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _go_inside() -> None:
    """Become this program in namespaces of its own."""
    as_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    fences = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    words = [sys.executable, "-m", "tests.bench.exactly_once", *sys.argv[1:], INSIDE]
    os.execvp("unshare", ["unshare", *as_user, *fences, *words])


def run(folder: Path, kills: int, seed: int, devices: int, rate: float, keep: bool) -> int:
    start = time.monotonic()
    city = build(folder, devices, rate)
    print(f"{devices} devices of {rate:g} reports a second, {kills} kills, seed {seed}.", flush=True)
    city.start(START_S)
    city.suffer(draw(Random(seed), kills, city.devices()))
    left = city.drain(DRAIN_S)
    codes = city.stop()
    faults = [f"{name}: its spool was not empty after {DRAIN_S} s" for name in left]
    faults += [f"{name}: ended with {code} when told to stop" for name, code in codes.items() if code not in (0, -15)]
    ends = Counter(end for program in city.programs.values() for end in program.ended)
    for end, count in ends.items():
        print(f"{count} × {end}")
    faults += [end for end in ends if "was full" not in end]
    faults += account(city)
    if keep:
        for name, disk in city.disks.items():
            shutil.copytree(disk.folder, city.home(name) / "disk-at-the-end")
    print(f"{time.monotonic() - start:.0f} s in all.")
    for fault in faults:
        print(f"VIOLATED: {fault}")
    return 1 if faults else 0


def account(city: City) -> list[str]:
    """Print what came of every device; returns what must not be."""
    held = read_centre(city.database())
    verdicts = {
        name: judge(read(city.home(name) / "ledger"), held.get(device, Held()), last_given(city.spool(name)))
        for name, device in city.ids.items()
    }
    print_table(city, verdicts)
    faults = [
        f"{name}: {count} {fault}" for name, verdict in verdicts.items() for fault, count in verdict.faults().items()
    ]
    if differing := disagreements(city.database(), held):
        faults.append(f"the centre's own reader gives {differing} reports otherwise than they are stored")
    words = ("-c", "from monitor.cli import main; main()", "verify", "--closed", "--data", str(city.database().parent))
    verified = subprocess.run((sys.executable, *words), capture_output=True, text=True, check=False)
    print("diemcau-monitor verify:", verified.stdout.strip().splitlines()[-1:], flush=True)
    return faults if verified.returncode == 0 else [*faults, f"diemcau-monitor verify: {verified.stdout}"]


def print_table(city: City, verdicts: dict[str, Verdict]) -> None:
    heads = ("kills", "made", "stored", "known", "thinned", "disk_full", "refused", "both", "missing", "acked missing")
    heads += ("twice", "altered", "open", "in memory", "full s", "steps")
    rows = {name: _row(city, name, verdict) for name, verdict in verdicts.items()}
    total = [sum(column) for column in zip(*rows.values(), strict=True)]
    centre = [""] * len(heads)
    centre[0], centre[-2], centre[-1] = (
        str(city.programs[CENTRE].kills),
        f"{city.full_s.get(CENTRE, 0):.0f}",
        str(city.steps.get(CENTRE, 0)),
    )
    print(" | ".join((f"{'':8}", *(f"{head:>6}" for head in heads))))
    for name, row in (*rows.items(), ("devices", total)):
        cells = (f"{cell:>{max(6, len(head))}.0f}" for cell, head in zip(row, heads, strict=True))
        print(" | ".join((f"{name:8}", *cells)))
    print(
        " | ".join((f"{CENTRE:8}", *(f"{cell:>{max(6, len(head))}}" for cell, head in zip(centre, heads, strict=True))))
    )
    print("kills that met their victim at:", ", ".join(f"{what} × {count}" for what, count in city.hit.most_common()))
    answers: Counter[int] = Counter()
    for name in verdicts:
        answers.update(read(city.home(name) / "ledger").posts)
    print("answers:", ", ".join(f"{status or 'none'} × {count}" for status, count in sorted(answers.items())))


def _row(city: City, name: str, verdict: Verdict) -> list[float]:
    gone = (verdict.gone[why] for why in ("thinned", "disk_full", "refused"))
    bad = (verdict.missing, verdict.acknowledged_missing, verdict.twice, verdict.altered, verdict.open)
    counts = (verdict.made, verdict.stored, verdict.known, *gone, verdict.both, *map(len, bad), verdict.lost_in_memory)
    return [city.programs[name].kills, *counts, city.full_s.get(name, 0.0), city.steps.get(name, 0)]


if __name__ == "__main__":
    sys.exit(main())
