"""Meetings over HTTP: make, read, change, call off. A change names the revision it was made from (If-Match)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from monitor.access.audit import Deed, by
from monitor.access.roles import Asker, Role
from monitor.centre import Centre
from monitor.meetings import schedule
from monitor.meetings.schedule import Changed, Draft, Meeting, MeetingError, NoMeeting
from monitor.web.deeds import Reason, do
from monitor.web.devices_api import bounded_body, has_tag, json_answer, tagged_answer
from monitor.web.guard import asker_of, needs
from monitor.web.problem import Problem

MOST = 500
TAG = re.compile(r'"([1-9][0-9]{0,9})"')
CURSOR = re.compile(r"([0-9]{1,16})\.(m-[0-9]{1,12})")
FOR_EVER_MS = 1 << 53

EXAMPLE = {
    "title": "Họp giao ban Ủy ban nhân dân thành phố",
    "from": 1795491000000,
    "to": 1795498200000,
    "sites": ["31-11329", "31-11383"],
    "importance": "important",
}
ANSWER = {
    "id": "m-7", **EXAMPLE, "revision": 1,
    "created_at": 1795468800000, "changed_at": 1795468800000, "cancelled_at": None,
}  # fmt: skip
IfMatch = Annotated[str | None, Header(description="the ETag the change was made from")]
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["title", "from", "to"],
                    "additionalProperties": False,
                    "properties": {
                        "title": {"type": "string", "minLength": 1, "maxLength": schedule.MAX_TITLE},
                        "from": {"type": "integer", "description": "ms since 1970 UTC"},
                        "to": {"type": "integer", "description": "ms since 1970 UTC, at most 14 h after `from`"},
                        "sites": {
                            "type": ["array", "null"],
                            "items": {"type": "string"},
                            "minItems": 1,
                            "description": "ids of the sites that take part; null or left out: every site",
                        },
                        "importance": {"enum": list(schedule.IMPORTANCE), "default": "routine"},
                    },
                },
                "example": EXAMPLE,
            }
        },
    }
}


def _answers(status: int, example: object) -> dict[int | str, dict[str, object]]:
    return {status: {"content": {"application/json": {"example": example}}}}


def meetings_api(centre: Centre) -> APIRouter:
    """The routes of the meetings."""
    router = APIRouter(prefix="/api/v1/meetings", tags=["meetings"])

    @router.get(
        "",
        dependencies=[needs(Role.KIOSK, sifts=True)],
        summary="Meetings of a time, the earliest first; without a time those that are not over",
        responses=_answers(200, {"meetings": [ANSWER], "next": None}),
    )
    async def meetings(
        request: Request,
        from_ms: Annotated[int | None, Query(alias="from", ge=0, le=FOR_EVER_MS)] = None,
        to_ms: Annotated[int | None, Query(alias="to", ge=0, le=FOR_EVER_MS)] = None,
        after: Annotated[str | None, Query(description="go on from `next` of the last answer")] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> Response:
        start = centre.clock.wall_ms() if from_ms is None else from_ms
        end = FOR_EVER_MS if to_ms is None else to_ms
        if start >= end:
            raise Problem(422, f"from = {start} is not before to = {end}; both are ms since 1970 UTC.")
        place = _place(after)
        found = await centre.store.read(lambda connection: schedule.between(connection, start, end, place, limit + 1))
        more = found[limit - 1] if len(found) > limit else None
        own = [meeting for meeting in found[:limit] if _concerns(meeting, asker_of(request))]
        return tagged_answer(request, {"meetings": own, "next": f"{more.start}.{more.id}" if more else None})

    @router.post(
        "",
        status_code=201,
        dependencies=[needs(Role.OPERATOR)],
        summary="Plan a meeting",
        responses=_answers(201, ANSWER),
        openapi_extra=BODY,
    )
    async def plan(request: Request, reason: Reason = None) -> Response:
        draft, now = await _draft(request, centre), centre.clock.wall_ms()

        def deed(made: Meeting) -> Deed:
            return by(asker_of(request), "meeting.planned", made.id, reason, after=msgspec.to_builtins(made))

        made = await do(centre, lambda connection: schedule.add(connection, draft, now), deed)
        headers = {**_tag(made), "Location": f"/api/v1/meetings/{made.id}"}
        return Response(msgspec.json.encode(made), 201, headers, "application/json")

    @router.get(
        "/{id}", dependencies=[needs(Role.VIEWER, sifts=True)], summary="One meeting", responses=_answers(200, ANSWER)
    )
    async def one(request: Request, id: str) -> Response:
        with _told():
            found = await centre.store.read(lambda connection: schedule.one(connection, id))
        if not _concerns(found, asker_of(request)):
            raise Problem(403, f"Meeting {id[:80]!r} is none of your sites'.")
        tag = _tag(found)
        return Response(status_code=304, headers=tag) if has_tag(request, tag["ETag"]) else json_answer(found, tag)

    @router.put(
        "/{id}",
        dependencies=[needs(Role.OPERATOR)],
        summary="Change a meeting that is not over; with If-Match only if nobody changed it meanwhile",
        responses=_answers(200, {**ANSWER, "revision": 2}),
        openapi_extra=BODY,
    )
    async def change(request: Request, id: str, if_match: IfMatch = None, reason: Reason = None) -> Response:
        draft, revision, now = await _draft(request, centre), _revision(if_match), centre.clock.wall_ms()

        def both(connection: sqlite3.Connection) -> tuple[Meeting, Meeting]:
            return schedule.one(connection, id), schedule.change(connection, id, draft, revision, now)

        with _told():
            _, after = await do(centre, both, lambda pair: _changed(request, "meeting.changed", pair, reason))
        return json_answer(after, _tag(after))

    @router.delete(
        "/{id}",
        dependencies=[needs(Role.OPERATOR)],
        summary="Call a meeting off; it stays in the list as cancelled",
        responses=_answers(200, {**ANSWER, "revision": 2, "cancelled_at": 1795469900000}),
    )
    async def cancel(request: Request, id: str, if_match: IfMatch = None, reason: Reason = None) -> Response:
        revision, now = _revision(if_match), centre.clock.wall_ms()

        def both(connection: sqlite3.Connection) -> tuple[Meeting, Meeting]:
            return schedule.one(connection, id), schedule.cancel(connection, id, revision, now)

        with _told():
            _, after = await do(centre, both, lambda pair: _changed(request, "meeting.cancelled", pair, reason))
        return json_answer(after, _tag(after))

    return router


def _changed(request: Request, action: str, pair: tuple[Meeting, Meeting], reason: str | None) -> Deed:
    """What is different after it, for the audit log."""
    before, after = (msgspec.to_builtins(meeting) for meeting in pair)
    turned = [key for key in after if after[key] != before[key]]
    return by(
        asker_of(request),
        action,
        pair[1].id,
        reason,
        before={key: before[key] for key in turned},
        after={key: after[key] for key in turned},
    )


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except NoMeeting as error:
        raise Problem(404, str(error)) from error
    except Changed as error:
        raise Problem(412, str(error)) from error
    except MeetingError as error:
        raise Problem(422, str(error)) from error


def _concerns(meeting: Meeting, asker: Asker) -> bool:
    return asker.sites is None or meeting.sites is None or not asker.sites.isdisjoint(meeting.sites)


async def _draft(request: Request, centre: Centre) -> Draft:
    body = await bounded_body(request)
    try:
        draft = msgspec.json.decode(body, type=Draft)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(422, f"The body is no meeting: {error}.") from error
    with _told():
        return schedule.checked(draft, centre.live.sites, centre.clock.wall_ms())


def _tag(meeting: Meeting) -> dict[str, str]:
    return {"ETag": f'"{meeting.revision}"', "Cache-Control": "no-cache"}


def _revision(if_match: str | None) -> int | None:
    """The revision a change was made from; None when any will do (RFC 9110 section 13.1.1)."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = TAG.fullmatch(if_match.strip())
    if found is None:
        raise Problem(422, f'If-Match = {if_match[:80]!r} is not the ETag of a meeting, for instance "3".')
    return int(found[1])


def _place(after: str | None) -> tuple[int, str]:
    if after is None:
        return -1, ""
    found = CURSOR.fullmatch(after)
    if found is None:
        raise Problem(422, f"after = {after[:80]!r} is not the `next` of an answer.")
    return int(found[1]), found[2]
