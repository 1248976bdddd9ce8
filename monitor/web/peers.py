"""Where a request comes from, through the proxies that are trusted, and the cookie that goes back there."""

from __future__ import annotations

from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import Response

from monitor.centre import Centre
from monitor.settings import is_loopback

PLAIN_COOKIE = "diemcau"
SECURE_COOKIE = "__Host-diemcau"
"""A browser takes a cookie of this name only over TLS and from this very host: no neighbour can plant one."""
KIOSK_COOKIE_S = 400 * 86_400


def peer_of(request: Request) -> str:
    return request.client.host if request.client else ""


def is_trusted(address: str, centre: Centre) -> bool:
    """Whether this is one of the proxies named in the settings."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in centre.trusted)


def address_of(request: Request, centre: Centre) -> str:
    """The address that asks: behind trusted proxies the last one which they did not write of each other."""
    address = peer_of(request)
    if not is_trusted(address, centre):
        return address
    for said in reversed(",".join(request.headers.getlist("x-forwarded-for")).split(",")):
        try:
            address = str(ip_address(said.strip()))
        except ValueError:
            return address
        if not is_trusted(address, centre):
            return address
    return address


def proxy_user(request: Request, centre: Centre) -> str | None:
    """The account a trusted proxy has checked; None without one. From anybody else the header says nothing."""
    header = centre.settings.access.sso_header
    if header is None or not is_trusted(peer_of(request), centre):
        return None
    said = request.headers.getlist(header)
    return said[0].strip().lower() if len(said) == 1 and said[0].strip() else None


def is_secure(request: Request, centre: Centre) -> bool:
    """Whether the browser speaks TLS to whatever stands before the centre."""
    if request.url.scheme == "https" or (centre.settings.public_url or "").startswith("https://"):
        return True
    near = is_loopback(peer_of(request)) or is_trusted(peer_of(request), centre)
    return near and request.headers.get("x-forwarded-proto", "").lower() == "https"


def cookie_of(request: Request, centre: Centre) -> str | None:
    return request.cookies.get(SECURE_COOKIE if is_secure(request, centre) else PLAIN_COOKIE)


def set_cookie(response: Response, request: Request, centre: Centre, secret: str, seconds: int) -> None:
    secure = is_secure(request, centre)
    name = SECURE_COOKIE if secure else PLAIN_COOKIE
    response.set_cookie(name, secret, max_age=seconds, path="/", secure=secure, httponly=True, samesite="lax")


def drop_cookie(response: Response, request: Request, centre: Centre) -> None:
    set_cookie(response, request, centre, "", 0)
