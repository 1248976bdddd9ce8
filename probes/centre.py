"""The device's one way to talk to the centre: HTTP with the device's token, to the configured origin and nowhere else.

Redirects are never followed: the token would follow them. No proxy and no `.netrc` of the machine is heeded.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import NamedTuple, Self

import httpx
import msgspec

from probes.config import CentreTarget

MAX_ANSWER_BYTES = 2 << 20
POST_LIMIT_S = 60.0
"""For one POST in all: a line that carries 1 MiB in longer than this gets smaller batches."""
UNREACHABLE = 0
"""The status of a reply that never came."""


class Reply(NamedTuple):
    """What came back. `status` is `UNREACHABLE` when nothing did, and `text` says why."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    text: str = ""
    etag: str | None = None


class Centre:
    """The centre's API as one device sees it. Use as `async with`.

    Raises:
        OSError: the CA file cannot be read; ssl.SSLError: it holds no certificate.
    """

    def __init__(self, target: CentreTarget) -> None:
        self._url = target.url.rstrip("/")
        self._client = httpx.AsyncClient(
            verify=_trust(target),
            headers={"Authorization": f"Bearer {target.token}", "User-Agent": "diemcau-probe"},
            timeout=httpx.Timeout(15.0, connect=5.0),
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=60.0),
            trust_env=False,
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post_reports(self, body: bytes, encoding: str | None) -> Reply:
        """POST one encoded batch."""
        headers = {"Content-Type": "application/json"}
        if encoding:
            headers["Content-Encoding"] = encoding
        request = self._client.build_request("POST", f"{self._url}/api/v1/reports", content=body, headers=headers)
        return await self._ask(request, POST_LIMIT_S)

    async def get_agenda(self, wait_s: int) -> Reply:
        """GET the agenda; the centre holds the answer back for up to `wait_s` while there is none."""
        request = self._client.build_request("GET", f"{self._url}/api/v1/agenda", params={"wait": wait_s})
        request.extensions["timeout"] = httpx.Timeout(15.0, connect=5.0, read=wait_s + 15.0).as_dict()
        return await self._ask(request, wait_s + 30.0)

    async def get_hub_sites(self, etag: str | None) -> Reply:
        """GET the senders a hub answers; 304 where the list that `etag` names is still in force."""
        headers = {"If-None-Match": etag} if etag else {}
        return await self._ask(
            self._client.build_request("GET", f"{self._url}/api/v1/hub/sites", headers=headers), POST_LIMIT_S
        )

    async def _ask(self, request: httpx.Request, limit_s: float) -> Reply:
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._client.send(request, stream=True)
                try:
                    return await _read(answer)
                finally:
                    await answer.aclose()
        except TimeoutError:
            return Reply(UNREACHABLE, text=f"no answer within {limit_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Reply(UNREACHABLE, text=f"{type(error).__name__}: {error}"[:200])


async def _read(answer: httpx.Response) -> Reply:
    body = b""
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return Reply(UNREACHABLE, text=f"an answer of more than {MAX_ANSWER_BYTES} bytes: this is not the centre")
    text = answer.headers.get("Location", "") if answer.is_redirect else _detail(body)
    headers = answer.headers
    return Reply(answer.status_code, body, headers.get("Retry-After"), text, headers.get("ETag"))


def _detail(body: bytes) -> str:
    """The sentence of an RFC 9457 problem; "" when there is none. Printable, so that no answer can forge a log line."""
    try:
        detail = msgspec.json.decode(body, type=dict[str, object]).get("detail", "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return "".join(letter for letter in str(detail)[:300] if letter.isprintable())


def _trust(target: CentreTarget) -> ssl.SSLContext | bool:
    """Only the centre's own authority when it is named; else what the system trusts. Plain HTTP needs none."""
    if not target.url.startswith("https:"):
        return False
    if target.ca_file is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=target.ca_file)
    return context
