"""Coverage-guided fuzzing of every parser that strangers can reach.

    python -m tests.bench.fuzz                    a million inputs and more, split over the targets
    python -m tests.bench.fuzz --inputs 20000     a short run
    python -m tests.bench.fuzz --target wire      one target

Each target runs in a process of its own with libFuzzer behind it; any exception but the parser's own refusal, a run of
more than five seconds on one input, or more than 1 GiB of memory ends it with the input printed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from math import ceil
from pathlib import Path

from tests.bench.fuzz.targets import TARGETS

DONE = re.compile(r"Done (\d+) runs in (\d+) second")
COVER = re.compile(r"cov: (\d+)")


def run(target: str, inputs: int) -> tuple[int, int, float]:
    """Inputs run, code edges covered, seconds; a finding ends the program with the fuzzer's own words."""
    start = time.monotonic()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(TARGETS[target].seeds()):
            (corpus / f"seed{number}").write_bytes(seed)
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.bench.fuzz.worker",
                target,
                str(corpus),
                f"-runs={inputs}",
                "-timeout=5",
                "-rss_limit_mb=1024",
                "-max_len=8192",
                "-seed=20261122",
                f"-artifact_prefix={tempfile.gettempdir()}/",
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "TMPDIR": folder},  # what a target writes goes with it
        )
    found = DONE.search(done.stderr)
    if done.returncode != 0 or found is None:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-6000:])
        raise SystemExit(f"{target}: the fuzzer stopped with {done.returncode}; see above for the input.")
    covered = COVER.findall(done.stderr)
    return int(found[1]), int(covered[-1]) if covered else 0, time.monotonic() - start


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--inputs", type=int, default=1_000_000)
    arguments.add_argument("--target", choices=sorted(TARGETS))
    chosen = arguments.parse_args()
    names = [chosen.target] if chosen.target else sorted(TARGETS)
    shares = sum(TARGETS[name].share for name in names)
    total = 0
    print(f"{'target':<18}{'inputs':>12}{'edges':>8}{'seconds':>9}")
    for name in names:
        ran, edges, seconds = run(name, ceil(chosen.inputs * TARGETS[name].share / shares))
        total += ran
        print(f"{name:<18}{ran:>12,}{edges:>8}{seconds:>9.0f}", flush=True)
    print(f"{total:,} inputs: no crash, no hang, every refusal a sentence.")


if __name__ == "__main__":
    main()
