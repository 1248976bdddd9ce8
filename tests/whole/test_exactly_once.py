"""A short run of the exactly-once bench: devices and centre killed under load, disks full, clocks stepped."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCES = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]


def why_not() -> str | None:
    """Why the run cannot have small disks of its own here, or None if it can."""
    if shutil.which("unshare") is None:
        return "`unshare` (Debian package util-linux) is not installed"
    tried = subprocess.run([*FENCES, "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no namespaces can be made here: {tried.stderr.strip()}"


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_kills_full_disks_and_stepped_clocks_lose_nothing_and_double_nothing() -> None:
    words = ["--kills", "12", "--devices", "3", "--seed", "7"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.exactly_once", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 kills" in done.stdout
