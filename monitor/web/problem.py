"""Every answer that is not what was asked for: RFC 9457 problem details, with a sentence one can act on."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from monitor.collect import NotYours
from monitor.store.protocol import StoreUnavailable
from monitor.store.reads import TooMuch
from probes.report import ReportError

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer to give instead; `detail` is a full sentence."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def answer_problems(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(Problem)
    async def _own(request: Request, error: Problem) -> Response:
        return problem(error.status, error.detail, error.headers)

    @app.exception_handler(ReportError)
    async def _unreadable(request: Request, error: ReportError) -> Response:
        return problem(error.status, str(error))

    @app.exception_handler(NotYours)
    async def _not_yours(request: Request, error: NotYours) -> Response:
        return problem(403, str(error))

    @app.exception_handler(TooMuch)
    async def _too_much(request: Request, error: TooMuch) -> Response:
        return problem(422, str(error))

    @app.exception_handler(StoreUnavailable)
    async def _unavailable(request: Request, error: StoreUnavailable) -> Response:
        return problem(503, str(error), {"Retry-After": str(error.retry_after_s)})

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        detail = error.detail
        path = request.scope["path"]  # request.url would read the query too, which may be no text at all
        if error.status_code == 404:
            detail = f"There is nothing at {path}."
        elif error.status_code == 405:
            detail = f"{request.method} is not for {path}."
        return problem(error.status_code, detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        return problem(422, " ".join(_sentence(each) for each in error.errors()))

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> Response:
        return problem(500, "The centre met a fault of its own; its log says which. Nothing was acknowledged.")


def _sentence(error: Mapping[str, object]) -> str:
    where = error.get("loc")
    names = ".".join(str(part) for part in where[1:]) if isinstance(where, tuple) and len(where) > 1 else "the body"
    return f"{names} = {str(error.get('input'))[:80]!r}: {error.get('msg')}."
