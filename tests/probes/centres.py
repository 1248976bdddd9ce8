"""A small centre for the tests: a real HTTP server that stores exactly once, and errs when its script says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from probes.report import Answer, Gone, Refused, Report, ReportError, decode

Script = Callable[["SmallCentre", list[Report]], "tuple[int, dict[str, str], bytes] | None"]
"""What to answer in place of the truth; None leaves it to the truth."""


class SmallCentre:
    """Stores reports by identity. `scripts` are consumed one a POST; `rule` holds for every POST."""

    def __init__(self, token: str = "secret-token") -> None:
        self.token = token
        self.stored: dict[tuple[str, int], Report] = {}
        self.order: list[list[int]] = []
        """The sequences of each POST in which at least one report came, in the order received."""
        self.gone: list[Gone] = []
        self.posts = 0
        self.encodings: list[str] = []
        self.scripts: list[Script] = []
        self.rule: Script = lambda centre, reports: None
        self.refuse: Callable[[Report], str | None] = lambda report: None
        self.agenda: list[Any] = []
        self.polls = 0
        self.url = ""
        self.others: dict[tuple[str, str], Callable[[bytes], tuple[int, bytes]]] = {}
        """Further routes: (method, path) → body in, (status, body) out."""
        self.arrived = asyncio.Event()

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        assert scope["type"] == "http"
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, more, answer = self.respond(scope["method"], scope["path"], headers, body)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode()) for name, value in more.items()],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    def respond(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        if (method, path) in self.others:
            status, answer = self.others[method, path](body)
            return status, {}, answer
        if headers.get("authorization") != f"Bearer {self.token}":
            return 401, {}, b'{"detail": "no such token"}'
        if path == "/api/v1/agenda":
            self.polls += 1
            return 200, {}, json.dumps(self.agenda).encode()
        return self.take(headers.get("content-encoding"), body)

    def take(self, encoding: str | None, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.posts += 1
        self.encodings.append(encoding or "none")
        self.arrived.set()
        try:
            decoded = decode(body, encoding)
        except ReportError as error:
            return error.status, {}, json.dumps({"detail": str(error)}).encode()
        reports = decoded.batch.reports
        script = self.scripts.pop(0) if self.scripts else self.rule
        answer = script(self, reports)
        return answer or (200, {}, self.store(reports, decoded.batch.gone))

    def store(self, reports: list[Report], gone: list[Gone]) -> bytes:
        refused = [
            Refused(report.boot, report.seq, why) for report in reports if (why := self.refuse(report)) is not None
        ]
        turned_away = {(entry.boot, entry.seq) for entry in refused}
        new = [
            report
            for report in reports
            if (report.boot, report.seq) not in self.stored and (report.boot, report.seq) not in turned_away
        ]
        self.stored |= {(report.boot, report.seq): report for report in new}
        self.gone += gone
        if reports:
            self.order.append([report.seq for report in reports])
        return msgspec.json.encode(Answer(len(new), len(reports) - len(new) - len(refused), refused, self.agenda))


def always(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Script:
    return lambda centre, reports: (status, headers or {}, body)


def store_but_lose_the_answer(centre: SmallCentre, reports: list[Report]) -> tuple[int, dict[str, str], bytes]:
    """The batch is durable, but what says so is cut off on the way."""
    centre.store(reports, [])
    return 502, {}, b""


@asynccontextmanager
async def serving(
    centre: SmallCentre, port: int = 0, certificate: Path | None = None, key: Path | None = None
) -> AsyncIterator[SmallCentre]:
    """The centre on a real port of loopback, with TLS when a certificate is given."""
    config = uvicorn.Config(
        centre,
        host="127.0.0.1",
        port=port,
        log_level="critical",
        lifespan="off",
        ws="none",
        ssl_certfile=certificate,
        ssl_keyfile=key,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    bound = server.servers[0].sockets[0].getsockname()[1]
    centre.url = f"{'https' if certificate else 'http'}://127.0.0.1:{bound}"
    try:
        yield centre
    finally:
        server.should_exit = True
        await task
