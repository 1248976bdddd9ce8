"""GET /metrics and nothing else: one small answer, then the connection closes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from probes.hub.exposition import CONTENT_TYPE

LIMIT_S = 5.0
HEAD_BYTES = 8192


async def serve_metrics(host: str, port: int, text: Callable[[], str]) -> asyncio.Server:
    """A server that answers with what `text` returns; raises OSError where the port cannot be opened."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(LIMIT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_answer_to(head, text))
                await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, host, port, limit=HEAD_BYTES)


def _answer_to(head: bytes, text: Callable[[], str]) -> bytes:
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
        return _message("405 Method Not Allowed", "Only GET is answered here.\n", "text/plain")
    if words[1].split(b"?")[0] != b"/metrics":
        return _message("404 Not Found", "Only /metrics is here.\n", "text/plain")
    whole = _message("200 OK", text(), CONTENT_TYPE)
    return whole if words[0] == b"GET" else whole[: whole.index(b"\r\n\r\n") + 4]


def _message(status: str, body: str, content_type: str) -> bytes:
    octets = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(octets)}\r\nConnection: close"
    return head.encode() + b"\r\n\r\n" + octets
