"""The pages and what a machine asks to know whether the centre is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from monitor.centre import Centre
from monitor.clock import site_time
from monitor.sinks.own import own_metrics
from monitor.sinks.prometheus import CONTENT_TYPE, site_metrics
from monitor.web.devices_api import json_answer
from monitor.web.problem import Problem, problem
from monitor.web.who import is_on_this_machine, reader_of

WEB = Path(__file__).parent
EARLIEST_SANE_MS = 1_735_689_600_000


def pages(centre: Centre) -> APIRouter:
    router = APIRouter()

    @router.get("/", include_in_schema=False)
    async def wall() -> Response:
        return _page("wall.html")

    @router.get("/site/{site_id}", include_in_schema=False)
    async def site(site_id: str) -> Response:
        if site_id not in centre.live.sites:
            raise Problem(404, f"There is no site {site_id[:80]!r}.")
        return _page("site.html")

    @router.get("/healthz", tags=["health"], summary="The program runs")
    async def healthz() -> Response:
        return json_answer({"ok": True})

    @router.get("/readyz", tags=["health"], summary="The store takes reports and the clock is sane")
    async def readyz() -> Response:
        faults = [fault for fault in (centre.store.fault(), _clock_fault(centre)) if fault]
        if faults:
            return problem(503, " ".join(faults), {"Retry-After": "10"})
        return json_answer({"ok": True})

    @router.get("/metrics", tags=["health"], summary="For Prometheus: on this machine, or with an API token")
    async def metrics(request: Request) -> Response:
        if not is_on_this_machine(request):
            await reader_of(request, centre)
        return StreamingResponse(_metrics(centre), media_type=CONTENT_TYPE)

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


def _page(name: str) -> Response:
    file = WEB / "static" / name
    if not file.is_file():
        raise Problem(404, f"The page {name} is not part of this installation.")
    return FileResponse(file, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})


class _Fresh(StaticFiles):
    """Files that a browser asks about each time (a few bytes, by ETag), so that an upgrade is seen at once."""

    async def get_response(self, path: str, scope: object) -> Response:
        answer = await super().get_response(path, scope)  # type: ignore[arg-type]
        answer.headers.setdefault("Cache-Control", "no-cache")
        return answer


def mount_files(app: FastAPI) -> None:
    app.mount("/static", _Fresh(directory=WEB / "static"))
    app.mount("/words", _Fresh(directory=WEB / "words"))
