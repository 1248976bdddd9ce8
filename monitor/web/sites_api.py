"""What pages and programs read: sites, one site, its runs, a series, devices, events."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from monitor.access.roles import Role
from monitor.centre import Centre
from monitor.sites import Site
from monitor.store.reads import runs_of_site, series
from monitor.store.runs import Run
from monitor.streams import MAIN
from monitor.views import counts_view, site_view, stream_view
from monitor.web.asker import still_holds
from monitor.web.devices_api import json_answer, tagged_answer
from monitor.web.guard import asker_of, needs
from monitor.web.problem import Problem
from probes.catalog import METRICS
from probes.report import NAME

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def sites_api(centre: Centre) -> APIRouter:
    """The routes for reading."""
    router = APIRouter(prefix="/api/v1", tags=["sites"])

    @router.get(
        "/sites",
        dependencies=[needs(Role.KIOSK, sifts=True)],
        summary="Every site with its marks and its verdict",
    )
    async def sites(request: Request) -> Response:
        asker, now = asker_of(request), centre.clock.wall_ms()
        shown = {site_id: centre.live.shown(site_id, now) for site_id in centre.live.sites if asker.reaches(site_id)}
        rest = {
            "clock": clock_view(centre),
            "counts": counts_view(list(shown.values())),
            "sites": [
                site_view(site, centre.live.state(site.id), shown[site.id], now)
                for site in centre.live.sites.values()
                if site.id in shown
            ],
        }
        return tagged_answer(request, {"now": now, **rest}, rest)

    @router.get(
        "/sites/{site_id}",
        dependencies=[needs(Role.KIOSK)],
        summary="One site, with all that each of its streams said last",
    )
    async def one_site(request: Request, site_id: str) -> Response:
        site = _site(centre, site_id)
        if asker_of(request).role is Role.KIOSK and site.type != "bridge":
            raise Problem(403, "A wall screen reads the wall; log in to read a site.")
        now = centre.clock.wall_ms()
        state = centre.live.state(site.id)
        view = site_view(site, state, centre.live.shown(site.id, now), now)
        streams = sorted(state.streams.items(), key=lambda each: tuple(str(part) for part in each[0]))
        return json_answer(
            {
                "now": now,
                "clock": clock_view(centre),
                **view,
                "hubs": [
                    hub for hub, each in centre.live.sites.items() if each.type == "bridge" and site.measures(hub)
                ],
                "streams": [stream_view(stream, now) for _, stream in streams],
            }
        )

    @router.get(
        "/sites/{site_id}/reports",
        dependencies=[needs(Role.VIEWER)],
        summary="Raw runs of one probe, newest first",
    )
    async def reports(
        site_id: str,
        probe: str = Query(pattern=f"^{NAME.pattern}$"),
        from_ms: int | None = Query(None, alias="from"),
        to_ms: int | None = Query(None, alias="to"),
        before: int | None = Query(None, ge=1, le=1 << 62, description="go on from `next` of the last answer"),
        limit: int = Query(200, ge=1, le=1000),
    ) -> Response:
        site = _site(centre, site_id)
        start, end = _span(centre, from_ms, to_ms)
        runs = await centre.store.read(
            lambda connection: runs_of_site(connection, site.id, probe, start, end, before, limit)
        )
        following = runs[-1].entry if len(runs) == limit else None
        return json_answer({"reports": [run_view(run) for run in runs], "next": following})

    @router.get(
        "/series",
        dependencies=[needs(Role.VIEWER)],
        summary="One metric of a site over time; what was not measured has no point",
    )
    async def one_series(
        site: str,
        metric: str,
        target: str | None = None,
        line: str = MAIN,
        from_ms: int | None = Query(None, alias="from"),
        to_ms: int | None = Query(None, alias="to"),
        step: int | None = Query(None, ge=1_000, le=400 * DAY_MS, description="ms; without it every run"),
    ) -> Response:
        found = _site(centre, site)
        probe, _, name = metric.partition(".")
        if not NAME.fullmatch(probe) or not NAME.fullmatch(name):
            raise Problem(422, f"metric = {metric[:80]!r} is not PROBE.NAME, for instance link.rtt_p50_ms.")
        start, end = _span(centre, from_ms, to_ms)
        points = await centre.store.read(
            lambda connection: series(connection, found.id, probe, name, target, line, start, end, step)
        )
        declared = METRICS.get(metric)
        return json_answer(
            {
                "site": found.id, "metric": metric, "unit": declared.unit if declared else None,
                "target": target, "line": line, "from": start, "to": end, "step": step, "raw": step is None,
                "points": points,
            }
        )  # fmt: skip

    @router.get(
        "/devices",
        dependencies=[needs(Role.VIEWER, named=True, sifts=True)],
        summary="Every device; needs a login or an API token",
    )
    async def devices(request: Request) -> Response:
        asker = asker_of(request)
        heard = _last_heard(centre)
        return json_answer(
            {
                "devices": [
                    {
                        "device": device.id, "site": device.site, "role": device.role, "grade": device.grade,
                        "ssid": device.ssid, "created_at": device.created_at, "revoked_at": device.revoked_at,
                        "last_heard": heard.get(device.id),
                    }
                    for device in centre.devices.by_id.values()
                    if asker.reaches(device.site)
                ]
            }
        )  # fmt: skip

    @router.get(
        "/events",
        dependencies=[needs(Role.KIOSK, sifts=True)],
        summary="Server-sent events: hello, verdict, reading, beat",
    )
    async def events(request: Request, site: str | None = None, last_event_id: str | None = Header(None)) -> Response:
        asker = asker_of(request)
        if site is not None and not asker.reaches(site):
            raise Problem(403, f"Site {site[:80]!r} is not yours; ask an administrator of the centre.")

        def time_now() -> dict[str, Any]:
            return {"now": centre.clock.wall_ms(), "clock": clock_view(centre)}

        return StreamingResponse(
            centre.events.listen(time_now, last_event_id, site, asker.sites, lambda: still_holds(asker, centre)),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    return router


def clock_view(centre: Centre) -> dict[str, Any]:
    return {"rate": centre.clock.rate, "simulated": centre.clock.simulated}


def run_view(run: Run) -> dict[str, Any]:
    """A stored run: the report as the wire had it, and what the centre knows of it."""
    report: dict[str, Any] = msgspec.to_builtins(run.report)
    return {
        **report,
        "site": run.site,
        "entry": run.entry,
        "device": run.device,
        "received_at": run.received_at,
        "skew_ms": run.skew_ms,
    }


def _site(centre: Centre, site_id: str) -> Site:
    site = centre.live.sites.get(site_id)
    if site is None:
        raise Problem(404, f"There is no site {site_id[:80]!r}.")
    return site


def _span(centre: Centre, from_ms: int | None, to_ms: int | None) -> tuple[int, int]:
    """The time asked for; the last hour when nothing is said, a little ahead for clocks that run fast."""
    end = centre.clock.wall_ms() + DAY_MS if to_ms is None else to_ms
    start = (centre.clock.wall_ms() if to_ms is None else end) - HOUR_MS if from_ms is None else from_ms
    if not -(1 << 62) < start < end < 1 << 62:
        raise Problem(422, f"from = {start} is not before to = {end}; both are ms since 1970 UTC.")
    return start, end


def _last_heard(centre: Centre) -> dict[str, int]:
    heard: dict[str, int] = {}
    for site_id in centre.live.sites:
        for stream in centre.live.state(site_id).streams.values():
            heard[stream.device] = max(heard.get(stream.device, 0), stream.received_at)
    return heard
