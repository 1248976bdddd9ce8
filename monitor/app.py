"""Settings, Clock → FastAPI app. The only room that knows all rooms."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from monitor.centre import Centre
from monitor.clock import Clock, site_time
from monitor.settings import Settings, is_loopback, split_listen
from monitor.web.access_api import access_api
from monitor.web.devices_api import devices_api
from monitor.web.fleet_api import fleet_api
from monitor.web.guard import unmarked
from monitor.web.headers import SafeHeaders
from monitor.web.health import health
from monitor.web.login_api import login_api
from monitor.web.meetings_api import meetings_api
from monitor.web.pages import add_pages
from monitor.web.problem import answer_problems
from monitor.web.sites_api import sites_api

STOP_S = 5

log = logging.getLogger(__name__)


def make_app(centre: Centre) -> FastAPI:
    """The centre's HTTP. Its pages for trying the API out load scripts from outside, so they are left out."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await centre.start()
        yield
        await centre.close()

    app = FastAPI(
        title="diemcau",
        version="1",
        lifespan=lifespan,
        openapi_url=None,  # `health` hands it out: every route says whom it is for
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would be made of the asker's own Host header
    )
    app.state.centre = centre
    app.add_middleware(SafeHeaders)
    answer_problems(app)
    for api in (devices_api, sites_api, meetings_api, login_api, access_api, fleet_api, health):
        app.include_router(api(centre))
    add_pages(app)
    if forgotten := unmarked(app.routes):
        raise RuntimeError(f"These routes do not say whom they are for (monitor/web/guard.py): {', '.join(forgotten)}.")
    return app


class _Server(uvicorn.Server):
    """Lets pages and devices that are kept waiting go before it waits for them."""

    def __init__(self, config: uvicorn.Config, centre: Centre) -> None:
        super().__init__(config)
        self._centre = centre

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._centre.let_go()
        await super().shutdown(sockets)  # type: ignore[arg-type]


async def serve(settings: Settings, clock: Clock, data: Path) -> None:
    """Run the centre until SIGTERM or SIGINT; then commit what waits and leave.

    Raises:
        OSError: nothing can listen there; InUse: another centre has the folder.
    """
    host, port = split_listen(settings.listen)
    listening = socket.create_server((host, port or 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    centre = Centre(settings, clock, data)
    config = uvicorn.Config(
        make_app(centre),
        log_level="warning",
        access_log=False,  # a line a report would be the largest file of the machine
        server_header=False,
        timeout_keep_alive=75,  # devices speak every 10 s; a new TLS connection costs them and us more than this
        timeout_graceful_shutdown=STOP_S,
        proxy_headers=False,
    )
    for sentence in warnings_of(settings):
        log.warning(sentence)
    if clock.simulated:
        log.warning("The clock is simulated: it shows %s and runs at %g.", site_time(clock.wall_ms()), clock.rate)
    log.warning("The centre begins; it listens on http://%s/ and keeps its data in %s.", settings.listen, data)
    await _Server(config, centre).serve([listening])


def warnings_of(settings: Settings) -> list[str]:
    """What an operator should know of these settings before they are used."""
    host, _ = split_listen(settings.listen)
    found = []
    if not is_loopback(host):
        found.append(
            f"listen = {settings.listen!r}: pages and figures can be read there by anybody, this version asks no login "
            "of readers. Listen on 127.0.0.1 behind a proxy that asks for one."
        )
        if settings.ca_file is None:
            found.append("Without TLS before it, tokens of devices cross the network in the open. Set ca_file.")
    if not settings.hubs:
        found.append("No [[hubs]] are set: devices that enrol are told of no far end to measure to.")
    return found
