"""Devices as people set them: made, enrolled by a code, given a new token, revoked.

Who may answer for a whole bridge (a hub) or speak for many sites (the centre's own prober) is made by administrators.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from monitor.access.audit import Deed, by
from monitor.access.roles import Role as Right
from monitor.centre import HOUR_MS, Centre
from monitor.devices import Device, DeviceError, Role, add_device, new_code, revoke_device, rotate_token, trust_part
from monitor.web.bodies import body_of, gives, takes
from monitor.web.deeds import Reason, Why, do
from monitor.web.devices_api import json_answer
from monitor.web.guard import asker_of, for_devices, needs
from monitor.web.problem import Problem
from monitor.web.who import device_of

NO_STORE = {"Cache-Control": "no-store"}
OF_ADMINS = frozenset((Role.HUB, Role.CENTRAL))
EXAMPLE = {"site": "31-11329", "role": "probe"}


class NewDevice(msgspec.Struct):
    site: str
    role: Role = Role.PROBE
    reason: Why | None = None


def fleet_api(centre: Centre) -> APIRouter:
    """The routes of the fleet page."""
    router = APIRouter(prefix="/api/v1", tags=["fleet"])
    operator = [needs(Right.OPERATOR)]

    @router.post(
        "/devices",
        status_code=201,
        dependencies=operator,
        summary="Make a device; its token is shown this once",
        openapi_extra=takes(NewDevice, EXAMPLE),
        responses=gives(201, {"device": "d-3f9a21b0", "token": "dct_…", "site": "31-11329"}),
    )
    async def make(request: Request) -> Response:
        said = await _said(request)

        def change(connection: sqlite3.Connection) -> tuple[Device, str]:
            return add_device(connection, said.site, said.role, centre.clock.real_ms())

        def deed(made: tuple[Device, str]) -> Deed:
            after = {"site": said.site, "role": said.role.value}
            return by(asker_of(request), "device.made", made[0].id, said.reason, after=after)

        try:
            device, token = await do(centre, change, deed)
        except DeviceError as error:
            raise Problem(422, str(error)) from error
        made = {"device": device.id, "token": token, "site": device.site}
        return Response(msgspec.json.encode(made), 201, NO_STORE, "application/json")

    @router.post(
        "/codes",
        status_code=201,
        dependencies=operator,
        summary="A one-time code by which a person enrols a device; shown this once",
        openapi_extra=takes(NewDevice, EXAMPLE),
        responses=gives(201, {"code": "K7QX-M2PD-plain", "expires_at": 1795728000000}),
    )
    async def code(request: Request) -> Response:
        said, now = await _said(request), centre.clock.real_ms()
        good_for_ms = int(centre.settings.code_hours * HOUR_MS)

        def deed(_: str) -> Deed:
            return by(asker_of(request), "code.made", said.site, said.reason, after={"role": said.role.value})

        try:
            ca_file = centre.settings.ca_file
            trust = trust_part(Path(ca_file).read_text(encoding="ascii") if ca_file else None)
            letters = await do(centre, lambda to: new_code(to, said.site, said.role, now, good_for_ms), deed)
        except DeviceError as error:
            raise Problem(422, str(error)) from error
        made = {"code": f"{letters}-{trust}", "expires_at": now + good_for_ms}
        return Response(msgspec.json.encode(made), 201, NO_STORE, "application/json")

    @router.post(
        "/devices/{device}/token",
        dependencies=operator,
        summary="A new token for a device, shown this once; the old one is good until the new one is used, or 30 min",
        responses=gives(200, {"device": "d-3f9a21b0", "token": "dct_…", "old_until": 1795470600000}),
    )
    async def rotate(request: Request, device: str, reason: Reason = None) -> Response:
        found = await _device(centre, request, device)
        return await _rotated(centre, found, by(asker_of(request), "device.token", found.id, reason))

    @router.delete(
        "/devices/{device}",
        status_code=204,
        dependencies=operator,
        summary="Make a device's tokens good for nothing; its reports stay",
    )
    async def revoke(request: Request, device: str, reason: Reason = None) -> Response:
        found, now = await _device(centre, request, device), centre.clock.real_ms()
        deed = by(asker_of(request), "device.revoked", found.id, reason)
        await do(centre, lambda connection: revoke_device(connection, found.id, now), lambda _: deed)
        return Response(status_code=204)

    @router.post(
        "/device/token",
        dependencies=[for_devices()],
        summary="A device asks for a new token of its own; the old one is good until the new one is used, or 30 min",
        responses=gives(200, {"device": "d-3f9a21b0", "token": "dct_…", "old_until": 1795470600000}),
    )
    async def renew(request: Request) -> Response:
        found = await device_of(request, centre)
        return await _rotated(centre, found, Deed(f"device:{found.id}", "device.token", found.id))

    return router


async def _said(request: Request) -> NewDevice:
    said = await body_of(request, NewDevice)
    _check_right(request, said.role)
    return said


async def _device(centre: Centre, request: Request, id: str) -> Device:
    await centre.reload()  # a command may have made it this very second
    found = centre.devices.by_id.get(id)
    if found is None:
        raise Problem(404, f"There is no device {id[:80]!r}.")
    _check_right(request, found.role)
    return found


def _check_right(request: Request, role: Role) -> None:
    if role in OF_ADMINS and not asker_of(request).role.may(Right.ADMIN):
        raise Problem(403, f"A device of the role {role.value} speaks for many sites; an administrator sets it.")


async def _rotated(centre: Centre, device: Device, deed: Deed) -> Response:
    now = centre.clock.real_ms()
    try:
        token, old_until = await do(centre, lambda connection: rotate_token(connection, device.id, now), lambda _: deed)
    except DeviceError as error:
        raise Problem(409, str(error)) from error
    return json_answer({"device": device.id, "token": token, "old_until": old_until}, NO_STORE)
