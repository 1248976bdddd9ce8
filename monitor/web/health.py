"""What a machine asks to know whether the centre is well, and what Prometheus scrapes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from monitor.access.roles import Role
from monitor.centre import Centre
from monitor.clock import site_time
from monitor.sinks.own import own_metrics
from monitor.sinks.prometheus import CONTENT_TYPE, site_metrics
from monitor.web.devices_api import json_answer
from monitor.web.guard import needs, open_to_all
from monitor.web.problem import Problem, problem

EARLIEST_SANE_MS = 1_735_689_600_000


def health(centre: Centre) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", dependencies=[open_to_all()], tags=["health"], summary="The program runs")
    async def healthz() -> Response:
        return json_answer({"ok": True})

    @router.get(
        "/readyz",
        dependencies=[open_to_all()],
        tags=["health"],
        summary="The store takes reports and the clock is sane",
    )
    async def readyz() -> Response:
        faults = [fault for fault in (centre.store.fault(), _clock_fault(centre)) if fault]
        if faults:
            return problem(503, " ".join(faults), {"Retry-After": "10"})
        return json_answer({"ok": True})

    @router.get(
        "/metrics",
        dependencies=[needs(Role.VIEWER, named=True, here=True)],
        tags=["health"],
        summary="For Prometheus: on this machine, or with an API token",
    )
    async def metrics() -> Response:
        return StreamingResponse(_metrics(centre), media_type=CONTENT_TYPE)

    @router.get(
        "/ca.pem",
        dependencies=[open_to_all()],
        tags=["health"],
        summary="The authority by which devices know the centre",
    )
    async def authority() -> Response:
        if centre.settings.ca_file is None:
            raise Problem(404, "This centre has no authority of its own.")
        return FileResponse(centre.settings.ca_file, media_type="application/x-pem-file")

    @router.get("/api/v1/openapi.json", dependencies=[open_to_all()], include_in_schema=False)
    async def openapi(request: Request) -> Response:
        return json_answer(request.app.openapi())

    return router


async def _metrics(centre: Centre) -> AsyncIterator[bytes]:
    yield own_metrics(centre)
    for piece in site_metrics(centre.live, centre.clock.wall_ms()):
        yield piece
        await asyncio.sleep(0)  # reports come first


def _clock_fault(centre: Centre) -> str | None:
    now = centre.clock.wall_ms()
    if not centre.clock.simulated and now < EARLIEST_SANE_MS:
        return f"The centre's clock says {site_time(now)}; set it."
    return None
