"""The device's one way to talk to the centre: HTTP with the device's token, to the configured origin and nowhere else.

Redirects are never followed: the token would follow them. No proxy and no `.netrc` of the machine is heeded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import NamedTuple, Self

import httpx
import msgspec

from probes.config import CentreTarget

MAX_ANSWER_BYTES = 2 << 20
POST_LIMIT_S = 60.0
"""For one POST in all: a line that carries 1 MiB in longer than this gets smaller batches."""
CONNECT_LIMIT_S = 5.0
SILENCE_LIMIT_S = 15.0
KEEP_ALIVE_S = 60.0
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
    """The centre's API as one device sees it. Use as `async with`. `context` replaces the trust that `target` names.

    Raises:
        OSError: the CA file cannot be read; ssl.SSLError: it holds no certificate.
    """

    def __init__(self, target: CentreTarget, context: ssl.SSLContext | None = None) -> None:
        self._url = target.url.rstrip("/")
        self._headers = {"User-Agent": "diemcau-probe", "Accept": "application/json", "Accept-Encoding": "identity"}
        if target.token:
            self._headers["Authorization"] = f"Bearer {target.token}"
        self._client = httpx.AsyncClient(
            verify=context or (trust(target.ca_file) if target.url.startswith("https:") else False),
            limits=httpx.Limits(max_connections=4, max_keepalive_connections=2, keepalive_expiry=KEEP_ALIVE_S),
            follow_redirects=False,
            trust_env=False,
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
        return await self._ask("POST", "/api/v1/reports", headers, body)

    async def post_enrol(self, code: str) -> Reply:
        """POST a one-time code for a token."""
        body = msgspec.json.encode({"code": code})
        return await self._ask("POST", "/api/v1/enrol", {"Content-Type": "application/json"}, body)

    async def get_ca(self) -> Reply:
        """GET the centre's own authority, PEM: public, and worth nothing until its fingerprint is compared."""
        return await self._ask("GET", "/ca.pem", {})

    async def get_agenda(self, wait_s: int, etag: str | None = None) -> Reply:
        """GET the agenda; the centre holds the answer back for up to `wait_s` while it is the one `etag` names."""
        headers = {"If-None-Match": etag or '"none"'}
        return await self._ask("GET", f"/api/v1/agenda?wait={wait_s}", headers, patience_s=wait_s)

    async def get_hub_sites(self, etag: str | None) -> Reply:
        """GET the senders a hub answers; 304 where the list that `etag` names is still in force."""
        return await self._ask("GET", "/api/v1/hub/sites", {"If-None-Match": etag} if etag else {})

    async def get_sites(self, etag: str | None) -> Reply:
        """GET id and router of every site; 304 where the list that `etag` names is still in force."""
        return await self._ask("GET", "/api/v1/sites?fields=id,router", {"If-None-Match": etag} if etag else {})

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None, patience_s: float = 0.0
    ) -> Reply:
        limit_s = POST_LIMIT_S + patience_s
        silence_s = SILENCE_LIMIT_S + patience_s
        limits = httpx.Timeout(connect=CONNECT_LIMIT_S, read=silence_s, write=SILENCE_LIMIT_S, pool=CONNECT_LIMIT_S)
        try:
            async with (
                asyncio.timeout(limit_s),
                self._client.stream(
                    method, self._url + path, headers={**self._headers, **headers}, content=body, timeout=limits
                ) as answer,
            ):
                return await _read(answer)
        except TimeoutError:
            return Reply(UNREACHABLE, text=f"no answer within {limit_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Reply(UNREACHABLE, text=f"{type(error).__name__}: {error}"[:200])


async def _read(answer: httpx.Response) -> Reply:
    """The reply as it came, not unpacked: what a few bytes may swell to has no bound. None is asked for packed."""
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            return Reply(UNREACHABLE, text=f"an answer of more than {MAX_ANSWER_BYTES} bytes: this is not the centre")
    known = answer.headers
    text = known.get("location", "") if 300 <= answer.status_code < 400 else _detail(bytes(body))
    return Reply(answer.status_code, bytes(body), known.get("retry-after"), _printable(text), known.get("etag"))


def _detail(body: bytes) -> str:
    """The sentence of an RFC 9457 problem; "" when there is none."""
    try:
        return str(msgspec.json.decode(body, type=dict[str, object]).get("detail", ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _printable(text: str) -> str:
    """So that no answer can forge a line of the log."""
    return "".join(letter for letter in text[:300] if letter.isprintable())


def trust(ca_file: str | None) -> ssl.SSLContext:
    """Only the centre's own authority when it is named, be it a root or one that a root signed; else the system's."""
    if ca_file is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=ca_file)
    return context
