"""The pages people look at: two plain files, and the modules and words they are made of.

Everything comes from this origin and nothing is made on the way: no templates, no build step, no inline script. What a
browser may load is said in `headers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from monitor.access.roles import Role
from monitor.web.guard import needs, open_to_all

HERE = Path(__file__).parent
STATIC = HERE / "static"
WORDS = HERE / "words"

FRESH = "no-cache"
"""Kept, but asked for again each time (RFC 9111 section 5.2.2.4): a page never runs with last week's modules."""
FOR_EVER = "public, max-age=31536000, immutable"


class _Files(StaticFiles):
    """Files of one folder: fonts are kept, all else is asked for again."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = FOR_EVER if path.endswith(".woff2") else FRESH
        return response


def add_pages(app: FastAPI) -> None:
    """`/`, `/site/{id}` and everything they load."""
    app.mount("/static", _Files(directory=STATIC), name="static")
    app.mount("/words", _Files(directory=WORDS), name="words")
    pages: dict[str, tuple[Callable[..., Any], Any]] = {
        "/": (_wall, needs(Role.KIOSK, page=True, sifts=True)),
        "/site/{site}": (_site, needs(Role.VIEWER, page=True)),
        "/people": (_people, needs(Role.VIEWER, named=True, page=True, sifts=True)),
        "/login": (_login, open_to_all()),
        "/join": (_login, open_to_all()),
        "/kiosk": (_login, open_to_all()),
        "/favicon.ico": (_icon, open_to_all()),
    }
    for path, (answer, mark) in pages.items():
        app.add_api_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False, dependencies=[mark])


def _page(name: str) -> FileResponse:
    return FileResponse(STATIC / name, headers={"Cache-Control": FRESH})


async def _wall(request: Request) -> FileResponse:
    return _page("wall.html")


async def _site(request: Request, site: str) -> FileResponse:
    """The same page for every site: whether the id exists is for the API to say."""
    return _page("site.html")


async def _people(request: Request) -> FileResponse:
    return _page("people.html")


async def _login(request: Request) -> FileResponse:
    """One page for the three ways in; what is secret in their addresses stands behind `#` and never comes here."""
    return _page("login.html")


async def _icon(request: Request) -> FileResponse:
    return _page("icon.svg")
