"""A centre for the benchmark, a process of its own: says when which report came. `... PORT SITES_FILE`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from probes.push import POLL_WAIT_S
from probes.report import Gone, Report
from tests.probes.centres import SmallCentre


class Teller(SmallCentre):
    """Prints each report as it becomes durable, with the monotonic time all processes share."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/api/v1/agenda":
            await asyncio.sleep(POLL_WAIT_S)  # as the real centre does while there is nothing new
        await super().__call__(scope, receive, send)

    def store(self, reports: list[Report], gone: list[Gone]) -> bytes:
        for report in reports:
            failure = report.failure.code if report.failure else None
            line = {"now_ns": time.monotonic_ns(), "probe": report.probe, "target": report.target, "failure": failure}
            print(json.dumps(line), flush=True)
        return super().store(reports, gone)


def main() -> None:
    port, sites = int(sys.argv[1]), Path(sys.argv[2]).read_bytes()
    centre = Teller()
    centre.others["GET", "/api/v1/hub/sites"] = lambda body: (200, sites)
    config = uvicorn.Config(
        centre, host="0.0.0.0", port=port, log_level="critical", lifespan="off", ws="none", timeout_keep_alive=75
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()
