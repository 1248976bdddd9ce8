"""diemcau's own probe and hub over an emulated link, as a person would start them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.world.link import Namespace

HUB_PORT = 8620
PROBE = str(Path(sys.executable).parent / "diemcau-probe")
STARTS_WITHIN_S = 20.0


class Report(NamedTuple):
    """What the probe printed."""

    values: Mapping[str, float]
    labels: Mapping[str, str]
    failure: str | None


@contextmanager
def hub(space: Namespace, address: str) -> Iterator[None]:
    """A hub in open mode, ready to answer."""
    listen = f"[{address}]:{HUB_PORT}" if ":" in address else f"{address}:{HUB_PORT}"
    process = space.start(PROBE, "hub", "--listen", listen, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for_port(space, process)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def once(space: Namespace, address: str, seconds: int, *options: str) -> Report:
    """One run of the link probe. Raises RuntimeError with what it said if it printed no report."""
    host = f"[{address}]:{HUB_PORT}" if ":" in address else f"{address}:{HUB_PORT}"
    words = (PROBE, "once", "link", "--hub", host, "--seconds", str(seconds), "--json", *options)
    done = subprocess.run(space.command(*words), capture_output=True, text=True, timeout=seconds + 60, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"`{' '.join(words)}` ended with {done.returncode} and said {done.stderr!r}") from None
    failure = report.get("failure")
    return Report(report.get("values", {}), report.get("labels", {}), failure["code"] if failure else None)


def _wait_for_port(space: Namespace, process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + STARTS_WITHIN_S
    while f":{HUB_PORT} " not in space.run("ss", "-Hlun"):
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            said = process.communicate()[1].strip().splitlines() or ["nothing"]
            raise RuntimeError(f"the hub did not start and said: {said[-1]}")
        time.sleep(0.1)
