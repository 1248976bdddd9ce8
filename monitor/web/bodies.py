"""Small JSON bodies that people's pages send: read into a struct, and described by it in the OpenAPI."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from fastapi import Request

from monitor.web.devices_api import bounded_body
from monitor.web.problem import Problem

Body = TypeVar("Body", bound=msgspec.Struct)


async def body_of(request: Request, kind: type[Body]) -> Body:
    """The body as `kind`. Raises `Problem` 413, 415, 422."""
    body = await bounded_body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(422, f"The body cannot be read: {error}.") from error


def takes(kind: type[msgspec.Struct], example: dict[str, Any]) -> dict[str, Any]:
    """What a route says of its body in the OpenAPI."""
    _, named = msgspec.json.schema_components([kind], ref_template="{name}")
    schema = {key: value for key, value in named[kind.__name__].items() if key != "title"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def gives(status: int, example: object) -> dict[int | str, dict[str, object]]:
    """What a route says of its answer in the OpenAPI."""
    return {status: {"content": {"application/json": {"example": example}}}}
