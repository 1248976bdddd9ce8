"""People of the centre and their browsers, each with a cookie jar and an address of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from monitor.access.people import add_user, new_link
from monitor.access.roles import Role
from monitor.app import make_app
from monitor.store.database import transaction
from tests.monitor.house import House

PASSWORD = "Hoa phượng đỏ 2026"
OURS = {"X-Requested-By": "diemcau"}


def account(city: House, name: str, role: Role, sites: frozenset[str] | None = None) -> str:
    """A new account; returns the secret of its one-time link."""
    with transaction(city.data) as connection:
        add_user(connection, name, role, sites, "", city.clock.now_ms)
        return new_link(connection, name, city.clock.now_ms, 3_600_000)


@asynccontextmanager
async def browser(city: House, address: str = "192.0.2.7") -> AsyncIterator[httpx.AsyncClient]:
    """A browser of somebody at that address, showing pages of the centre."""
    transport = httpx.ASGITransport(make_app(city.centre), raise_app_exceptions=False, client=(address, 4000))
    async with httpx.AsyncClient(transport=transport, base_url="http://centre.example", headers=OURS) as client:
        yield client


@asynccontextmanager
async def person(
    city: House, name: str, role: Role, sites: frozenset[str] | None = None, address: str = "192.0.2.7"
) -> AsyncIterator[httpx.AsyncClient]:
    """The browser of somebody who has just set a password and is logged in by it."""
    code = account(city, name, role, sites)
    async with browser(city, address) as client:
        answer = await client.post("/api/v1/join", json={"code": code, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        yield client


async def log_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    return await client.post("/api/v1/login", json={"name": name, "password": password})
