"""What devices ask of the centre: take my reports, enrol me, what shall I do, whom do I answer."""

from __future__ import annotations

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from monitor.agenda import limits_item
from monitor.centre import Centre
from monitor.devices import Device, DeviceError, Role, stamp_key, use_code
from monitor.web.guard import for_devices, for_hubs, open_to_all
from monitor.web.problem import Problem
from monitor.web.throttle import Throttle
from monitor.web.who import device_of, hub_of
from probes.report import MAX_WIRE_BYTES

BODY_S = 60.0
"""For one body in all: a stranger who holds a token may not hold the centre's memory too."""
CLOSE = {"Connection": "close"}
MOST_WAIT_S = 25.0

_encode = msgspec.json.Encoder().encode


def json_answer(data: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(data), headers=headers, media_type="application/json")


def tagged_answer(request: Request, data: Any, tag_of: Any = None) -> Response:
    """JSON with an ETag over `tag_of` (else over the data); 304 without a body when the reader has it."""
    body = _encode(data)
    tag = f'"{hashlib.sha256(body if tag_of is None else _encode(tag_of)).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if has_tag(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def has_tag(request: Request, tag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in given.split(",")) if given else False


def devices_api(centre: Centre) -> APIRouter:
    """The routes for devices; each needs the device's token, `enrol` its code."""
    router = APIRouter(prefix="/api/v1", tags=["devices"])
    throttle = Throttle(tries=10, window_s=60.0)
    told: dict[str, str] = {}

    @router.post(
        "/reports", dependencies=[for_devices()], summary="Take a batch of reports; 200 only when they are durable"
    )
    async def reports(request: Request) -> Response:
        device = await device_of(request, centre)
        body = await bounded_body(request)
        agenda = centre.asked_of(device)
        answer = await centre.collector.take(device, body, request.headers.get("content-encoding"), agenda)
        return json_answer(answer)

    @router.post("/enrol", dependencies=[open_to_all()], summary="Make a device of a one-time code")
    async def enrol(request: Request) -> Response:
        peer = request.client.host if request.client else ""
        wait_s = throttle.wait_s(peer, time.monotonic())
        if wait_s > 0:
            raise Problem(429, "Too many wrong codes; wait a little.", {"Retry-After": str(int(wait_s) + 1)})
        code = _code_in(await bounded_body(request))
        now = centre.clock.real_ms()
        try:
            device, token = await centre.store.change(lambda connection: use_code(connection, code, now))
        except DeviceError as error:
            throttle.count(peer, time.monotonic())
            raise Problem(403, str(error)) from error
        await centre.reload()
        return json_answer({**_enrolled(centre, device), "token": token}, {"Cache-Control": "no-store"})

    @router.get(
        "/agenda",
        dependencies=[for_devices()],
        summary="What the centre asks of this device; held back while there is nothing new",
    )
    async def agenda(request: Request, wait: float = Query(0, ge=0, le=MOST_WAIT_S)) -> Response:
        device = await device_of(request, centre)
        until = time.monotonic() + wait
        known = request.headers.get("if-none-match") or told.get(device.id, "")
        while True:
            items = _agenda_of(centre, device)
            tag = f'"{hashlib.sha256(_encode(items)).hexdigest()[:24]}"'
            left = until - time.monotonic()
            if tag != known or left <= 0 or centre.events.closed:
                break
            await centre.agendas.wait(left)
        told[device.id] = tag
        if has_tag(request, tag):
            return Response(status_code=304, headers={"ETag": tag})
        return json_answer(items, {"ETag": tag, "Cache-Control": "no-store"})

    @router.get("/hub/sites", dependencies=[for_hubs()], summary="The devices a hub answers, with their keys")
    async def hub_sites(request: Request) -> Response:
        hub = await hub_of(request, centre)
        return tagged_answer(request, _answered_by(centre, hub))

    return router


async def bounded_body(request: Request) -> bytes:
    """The body, never more than the wire allows: by its stated length before a byte is read, and while it comes.

    Raises:
        Problem: 413 too long, 415 not JSON, 408 too slow, 400 the sender left.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"Content-Type {kind[:60]!r} is not taken; send application/json.", CLOSE)
    too_long = Problem(413, f"The body is longer than {MAX_WIRE_BYTES} bytes; send fewer reports at a time.", CLOSE)
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > MAX_WIRE_BYTES:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_WIRE_BYTES:
                    raise too_long
    except TimeoutError as error:
        raise Problem(
            408, f"The body did not come within {BODY_S:g} s; send fewer reports at a time.", CLOSE
        ) from error
    except ClientDisconnect as error:
        raise Problem(400, "The body was cut off.", CLOSE) from error
    return bytes(body)


class _Code(msgspec.Struct):
    code: str


def _code_in(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Code).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(422, f'The body is not {{"code": "XXXX-XXXX-…"}}: {error}.') from error


def _enrolled(centre: Centre, device: Device) -> dict[str, Any]:
    """All that a device must know to begin."""
    site = centre.live.sites[device.site]
    ca_file = centre.settings.ca_file
    return {
        "site": device.site,
        "device": device.id,
        "role": device.role.value,
        "class": site.site_class,
        "hubs": _hubs_of(centre, device),
        "ca_pem": Path(ca_file).read_text(encoding="ascii") if ca_file else None,
        "limits": centre.limits_of(device.site),
    }


def _hubs_of(centre: Centre, device: Device) -> list[dict[str, Any]]:
    """The far ends this device measures to. Without a hub's secret there is no key: the hub is an open one."""
    site = centre.live.sites[device.site]
    secrets = centre.devices.hub_secrets()
    return [
        {
            "id": hub.id,
            "host": hub.host,
            "stamp_port": hub.stamp_port,
            "call_url": hub.call_url,
            "ssid": device.ssid if hub.id in secrets else None,
            "stamp_key": stamp_key(secrets[hub.id], device.id) if hub.id in secrets else None,
        }
        for hub in centre.settings.hubs
        if site.measures(hub.id)
    ]


def _agenda_of(centre: Centre, device: Device) -> list[dict[str, Any]]:
    now = centre.clock.wall_ms()
    limits = limits_item(centre.limits_of(device.site), now)
    return [limits, *centre.asked_of(device)]


def _answered_by(centre: Centre, hub: Device) -> list[dict[str, Any]]:
    sites = centre.live.sites
    return [
        {
            "site": device.site,
            "ssid": device.ssid,
            "stamp_key": stamp_key(hub.hub_secret, device.id) if hub.hub_secret else None,
            "sources": [each for each in sites[device.site].more.get("sources", "").split(";") if each],
        }
        for device in centre.devices.by_id.values()
        if device.revoked_at is None
        and device.role in (Role.PROBE, Role.HUB)
        and device.site in sites
        and sites[device.site].measures(hub.site)
    ]
