"""Who may ask for what. Each route says so by one of these marks; with one that does not, no application is made:

    @router.get("/sites", dependencies=[needs(Role.VIEWER)])            # people and programs of this role or above
    @router.get("/sites", dependencies=[needs(Role.VIEWER, sifts=True)])  # …and the route itself leaves out other sites
    @router.post("/reports", dependencies=[for_devices()])              # the route asks for the device's token itself
    @router.get("/healthz", dependencies=[open_to_all()])

Within a route `asker_of(request)` says who it is. Who is bound to sites (a technician) is let through to a route only
when each site it names is theirs (`{site}`, `{site_id}`, `?site=`), or when the route sifts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request, params

from monitor.access.roles import Asker, How, Role
from monitor.centre import Centre
from monitor.web.asker import find_asker
from monitor.web.peers import address_of
from monitor.web.problem import Problem
from monitor.web.who import ASK_FOR_TOKEN, is_on_this_machine

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
SITE_NAMES = ("site", "site_id")
FORM_HEADER = "x-requested-by"


class Audience(StrEnum):
    """Whom a route is for."""

    ALL = "all"
    DEVICES = "devices"
    HUBS = "hubs"
    PEOPLE = "people"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a route says of itself.

    Attributes:
        role: the least role (`PEOPLE` only).
        named: open reading is not enough, somebody must be known by name.
        here: also for a program on this machine, whatever is set for reading.
        sifts: the route leaves out by itself what a site-bound asker may not see.
        page: a browser is sent to the login page in place of an error.
    """

    audience: Audience
    role: Role = Role.ADMIN
    named: bool = False
    here: bool = False
    sifts: bool = False
    page: bool = False


@dataclass(frozen=True)
class Marked(params.Depends):
    """A dependency that can be recognised on a route."""

    mark: Mark = Mark(Audience.ALL)


def open_to_all() -> Any:
    """Nothing is asked of whoever asks."""
    return Marked(_nothing, mark=Mark(Audience.ALL))


def for_devices() -> Any:
    """The route asks for a device's token by itself (`device_of`); people have no business there."""
    return Marked(_nothing, mark=Mark(Audience.DEVICES))


def for_hubs() -> Any:
    """The route asks for a hub's token by itself (`hub_of`)."""
    return Marked(_nothing, mark=Mark(Audience.HUBS))


def needs(role: Role, *, named: bool = False, here: bool = False, sifts: bool = False, page: bool = False) -> Any:
    """For people and programs of this role or above; see `Mark`."""
    mark = Mark(Audience.PEOPLE, role, named, here, sifts, page)

    async def check(request: Request) -> None:
        await _check(request, mark)

    return Marked(check, mark=mark)


def asker_of(request: Request) -> Asker:
    """Who asks; only within a route that `needs` a role."""
    asker: Asker = request.state.asker
    return asker


async def _nothing() -> None:
    """The mark alone says it."""


async def _check(request: Request, mark: Mark) -> None:
    """Raises `Problem` 401, 403, or 303 to the login page."""
    centre: Centre = request.app.state.centre
    asker = await find_asker(request, centre)
    by_name = asker is not None and asker.how is not How.OPEN
    if not by_name and mark.here and is_on_this_machine(request):
        asker = Asker("", Role.VIEWER, How.OPEN, address=address_of(request, centre))
    elif asker is None or not (by_name or (asker.role.may(mark.role) and not mark.named)):
        raise _login_first(request, mark)
    if not asker.role.may(mark.role):
        raise Problem(403, f"This needs the role {mark.role.value}; yours is {asker.role.value}.")
    if asker.sites is not None and not mark.sifts:
        _keep_to_sites(request, asker.sites)
    if request.method not in SAFE and asker.how is not How.TOKEN:
        refuse_foreign_pages(request, centre)
    request.state.asker = asker


def _login_first(request: Request, mark: Mark) -> Problem:
    if mark.page:
        query = request.scope["query_string"].decode("latin-1")  # which may be no text at all
        wanted = request.scope["path"] + (f"?{query}" if query else "")
        return Problem(303, "Log in first.", {"Location": f"/login?next={quote(wanted, safe='')}"})
    return Problem(401, "Log in, or send an API token: Authorization: Bearer TOKEN.", ASK_FOR_TOKEN)


def _keep_to_sites(request: Request, own: frozenset[str]) -> None:
    asked = [str(request.path_params[name]) for name in SITE_NAMES if name in request.path_params]
    asked += [site for name in SITE_NAMES for site in request.query_params.getlist(name)]
    if not asked:
        raise Problem(403, "This is about all sites; your account is bound to its own.")
    for site in asked:
        if site not in own:
            raise Problem(403, f"Site {site[:80]!r} is not yours; ask an administrator of the centre.")


def refuse_foreign_pages(request: Request, centre: Centre) -> None:
    """A browser sends its cookie with what any page asks; only our own pages can set a header and have our origin.

    Raises:
        Problem: 403, the request may come from a page of somebody else.
    """
    if request.headers.get(FORM_HEADER) != "diemcau":
        raise Problem(403, "Send the header X-Requested-By: diemcau; it shows that one of the centre's pages asks.")
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    own = {request.headers.get("host", ""), _host_of(centre.settings.public_url or "")}
    if site not in ("same-origin", "none") or (origin is not None and _host_of(origin) not in own - {""}):
        raise Problem(403, "This was asked by a page of another site.")


def _host_of(url: str) -> str:
    """HOST:PORT; empty for what has none, as the origin `null` of a sandboxed page."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def unmarked(routes: Iterable[Any]) -> list[str]:
    """The paths of routes that do not say whom they are for, or say it twice."""
    return [route.path for route in walk(routes) if len(marks_of(route)) != 1]


def walk(routes: Iterable[Any]) -> Iterator[Any]:
    """Every route that answers by a function, those of included routers too. Mounted folders of files are open."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from walk(included.routes)
        elif hasattr(route, "methods"):
            yield route


def marks_of(route: Any) -> list[Mark]:
    return [each.mark for each in getattr(route, "dependencies", ()) if isinstance(each, Marked)]
