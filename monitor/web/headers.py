"""What every answer carries so that a page can only do what it is meant to."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


PRIVATE = ("/api/", "/metrics", "/people")
"""Below these paths an answer is for whoever asked, and no cache between may hand it to the next."""


def _private(said: str | None) -> str:
    """What may be kept of such an answer (RFC 9111 section 5.2.2): nothing, or what its own browser asks for again."""
    if said is None or "no-store" in said:
        return "no-store"
    return said if "private" in said else f"private, {said}"


class SafeHeaders:
    """Adds `HEADERS` to every HTTP answer; a plain ASGI wrapper, because it stands before the ingest route too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(PRIVATE):
                    headers["Cache-Control"] = _private(headers.get("cache-control"))
            await send(message)

        await self._app(scope, receive, with_headers)
