"""The centre's HTTP, as the server hands it over (ASGI): any body, headers and queries of a stranger or a device."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from urllib.parse import quote

import msgspec

from monitor.access.tokens import new_api_token
from monitor.app import make_app
from monitor.centre import Centre
from monitor.clock import Clock
from monitor.devices import Role, add_device, new_code
from monitor.settings import HubAddress, Settings
from monitor.sites import import_sites, parse_sites
from monitor.store.database import transaction
from probes.report import Answer, Batch, Gone, Report, encode, pack
from tests.bench.fuzz.target import Broken, Script, Target, check_sentence

SITES = "id,type,name_vi,bridge\nhp,bridge,Hải Phòng,hp\ns1,xa,Một,hp\ns2,phuong,Hai,hp\n"
ANSWERS = frozenset((200, 304, 400, 401, 403, 404, 405, 406, 413, 415, 422, 429))
"""What may be answered while the disk is sound. 503 is for a disk that is not, 500 for nobody."""
ROUTES = (
    ("POST", "/api/v1/reports"), ("POST", "/api/v1/reports"), ("POST", "/api/v1/reports"), ("POST", "/api/v1/enrol"),
    ("GET", "/api/v1/agenda"), ("GET", "/api/v1/hub/sites"), ("GET", "/api/v1/sites"), ("GET", "/api/v1/sites/s1"),
    ("GET", "/api/v1/sites/s1/reports"), ("GET", "/api/v1/series"), ("GET", "/api/v1/devices"), ("GET", "/metrics"),
    ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/"), ("PUT", "/api/v1/reports"),
)  # fmt: skip
ENCODINGS = (None, b"gzip", b"zstd", b"br", b"identity")


class Served:
    """A real centre on a folder of its own, asked without a socket between."""

    def __init__(self) -> None:
        self.folder = Path(mkdtemp())
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        now = time.time_ns() // 1_000_000
        with transaction(self.folder) as connection:
            import_sites(connection, parse_sites(SITES))
            self.devices = [
                add_device(connection, site, role, now)
                for site, role in (("s1", Role.PROBE), ("hp", Role.HUB), ("hp", Role.CENTRAL), ("s2", Role.BROWSER))
            ]
            self.code = new_code(connection, "s2", Role.PROBE, now, 10**12)
            self.api_token = new_api_token(connection, "fuzz", now)
        self.centre, self.app = self.loop.run_until_complete(self._open())

    async def _open(self) -> tuple[Centre, Any]:
        settings = Settings(hubs=[HubAddress("hp", "192.0.2.1")])
        centre = Centre(settings, Clock(), self.folder)
        await centre.start()
        return centre, make_app(centre)

    def ask(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, bytes]:
        return self.loop.run_until_complete(self._ask(method, path, query, headers, body))

    async def _ask(
        self, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, bytes]:
        said: list[dict[str, Any]] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            said.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": quote(path).encode(), "query_string": query, "root_path": "",
            "headers": headers, "client": ("127.0.0.1", 4000), "server": ("127.0.0.1", 8080),
        }  # fmt: skip
        await self.app(scope, receive, send)
        return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])


def make_target() -> Callable[[bytes], None]:
    """The centre starts with the first input: a target that is not run costs nothing."""
    served: list[Served] = []

    def one_input(data: bytes) -> None:
        if not served:
            logging.disable(logging.CRITICAL)
            served.append(Served())
        _one_input(served[0], data)

    return one_input


def _one_input(served: Served, data: bytes) -> None:
    script = Script(data)
    method, path = ROUTES[script.number() % len(ROUTES)]
    who, how, encoding = script.number(), script.number(), ENCODINGS[script.number() % len(ENCODINGS)]
    headers = [(b"content-type", b"application/json")] if not how & 1 else []
    if encoding is not None:
        headers.append((b"content-encoding", encoding))
    if not how & 2:
        headers.append((b"authorization", b"Bearer " + _token(served, who, script)))
    if how & 4:
        headers.append((b"content-length", script.piece(script.number() % 24)))
    if how & 8:
        headers.append((b"if-none-match", script.piece(script.number() % 24)))
    query = script.piece(script.number()) if method == "GET" else b""
    if b"wait=" in query:  # a long poll is right, but not here
        return
    if how & 16:
        path += script.piece(script.number() % 16).decode("latin-1")
    body = script.piece(1 << 20)
    body = body.replace(b"DEVICE", served.devices[who % len(served.devices)][0].id.encode())
    body = body.replace(b"CODE", served.code.encode())
    if how & 32:
        body = {b"gzip": gzip.compress, b"zstd": pack}.get(encoding or b"", bytes)(body)
    if path.startswith("/api/v1/events"):
        return
    status, answer = served.ask(method, path, query, headers, body)
    _check(method, path, status, answer, body)


def _token(served: Served, who: int, script: Script) -> bytes:
    if who & 128:
        return script.piece(script.number() % 64)
    if who & 64:
        return served.api_token.encode()
    return served.devices[who % len(served.devices)][1].encode()


class _Sent(msgspec.Struct):
    reports: list[msgspec.Raw] = []


def _check(method: str, path: str, status: int, answer: bytes, body: bytes) -> None:
    if status not in ANSWERS:
        raise Broken(f"{method} {path} is answered {status}: {answer[:300]!r}")
    if status >= 400:
        check_sentence(msgspec.json.decode(answer, type=dict[str, Any])["detail"])
    elif path == "/api/v1/reports" and status == 200:
        told = msgspec.json.decode(answer, type=Answer)
        if body[:1] == b"{":  # not compressed: how many were sent is seen at once
            sent = len(msgspec.json.decode(body, type=_Sent).reports)
            if told.stored + told.known + len(told.refused) != sent:
                raise Broken(f"{sent} reports sent, answered {told}")
        for refused in told.refused:
            check_sentence(refused.why)


def seeds() -> list[bytes]:
    now = time.time_ns() // 1_000_000
    link = {"sent_packets": 100.0, "lost_up_packets": 2.0, "loss_runs_up_count": 1.0, "rtt_p50_ms": 3.2, "odd": 1.0}
    reports = [
        Report("link", now, 10, "9f", 7, target="hp", line="main", values=link, labels={"stamps": "kernel"}),
        Report("host", now, 10, "9f", 8, values={"off": 1.0, "cpu_ratio": 0.5}),
        Report("other", now, 10, "9f", 9, site="s2", values={"x": 1.0}),
    ]
    body = encode(Batch(1, "DEVICE", now, reports, [Gone("9f", 1, 6, "thinned")]))
    posts = [bytes((0, who, 0, 0)) + body for who in range(4)]
    posts += [bytes((0, 0, 32, 1)) + body, bytes((0, 0, 32, 2)) + body, bytes((0, 0, 0, 2)) + pack(body)]
    posts += [bytes((3, 0, 2, 0)) + b'{"code": "CODE"}', bytes((0, 130, 0, 0, 5)) + b"wrong" + body]
    queries = [
        b"", b"probe=link&from=0&to=1795468800000&limit=10&before=3", b"step=60000&site=s1&metric=link.rtt_p50_ms",
        b"site=s1&metric=link.rtt_p50_ms&target=hp&line=main&from=1",
    ]  # fmt: skip
    gets = [
        bytes((route, 64 if route == 10 else 1, 0, 0, len(query))) + query
        for route in range(4, len(ROUTES))
        for query in queries
    ]
    return posts + gets


TARGET = Target(make_target(), seeds, 0.5)
