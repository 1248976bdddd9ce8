"""Which device asks, by its token; and whether somebody asks from this very machine."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request

from monitor.centre import Centre
from monitor.devices import Device, Role, retire_old_token
from monitor.settings import is_loopback
from monitor.store.protocol import StoreUnavailable
from monitor.web.problem import Problem

FORWARDED = ("forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip")
"""Headers of proxies, beside all that begin with `x-forwarded`."""
ASK_FOR_TOKEN = {"WWW-Authenticate": 'Bearer realm="diemcau"'}


def bearer(request: Request) -> str:
    """The token of the request.

    Raises:
        Problem: 401, there is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(401, "Send the device's token: Authorization: Bearer TOKEN.", ASK_FOR_TOKEN)
    return token.strip()


async def device_of(request: Request, centre: Centre) -> Device:
    """The device that asks.

    Raises:
        Problem: 401, no token, a wrong one or a revoked one.
    """
    token = bearer(request)
    device = centre.devices.by_token(token) or centre.devices.by_old_token(token, centre.clock.real_ms())
    if device is None:
        await centre.reload()  # a command may have added it this very second
        device = centre.devices.by_token(token)
    if device is None:
        raise Problem(401, "The token is not known; enrol the device again.", ASK_FOR_TOKEN)
    if device.revoked_at is not None:
        raise Problem(401, f"Device {device.id} was revoked; enrol it again.", ASK_FOR_TOKEN)
    if device.id in centre.devices.rotated and centre.devices.by_token(token) is not None:
        await _retire_old(device, centre)
    return device


async def _retire_old(device: Device, centre: Centre) -> None:
    """It has its new token for good. A store that takes nothing now is told with the next request."""
    with suppress(StoreUnavailable):
        await centre.store.change(lambda connection: retire_old_token(connection, device.id))
        await centre.reload()


async def hub_of(request: Request, centre: Centre) -> Device:
    """The hub that asks. Raises `Problem` 401, or 403 for a device of another role."""
    device = await device_of(request, centre)
    if device.role is not Role.HUB:
        raise Problem(403, f"Device {device.id} is a {device.role.value}; only a hub may read this.")
    return device


def is_on_this_machine(request: Request) -> bool:
    """Whether a loopback peer asks for itself and does not pass on what a stranger asked."""
    peer = request.client.host if request.client else ""
    return is_loopback(peer) and not any(
        name in FORWARDED or name.startswith("x-forwarded") for name in request.headers
    )
