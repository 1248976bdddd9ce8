"""One path run (MTU or capacity) inside a namespace: `python -m tests.bench.link.path HOST PORT mtu|capacity`.

The command line has no verb for it, because the centre asks for path runs; this calls what the agent calls.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from probes.clock import SystemClock
from probes.config import HubTarget, Line
from probes.link.path import Part, measure_path


def main() -> None:
    host, port, part = sys.argv[1:]
    target = HubTarget(id="hub", host=host, stamp_port=int(port))
    run = asyncio.run(measure_path(target, Line(), SystemClock(), [Part(part)]))
    print(msgspec.json.encode(run.report).decode())


if __name__ == "__main__":
    main()
