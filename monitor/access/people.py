"""The accounts of people."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from monitor.access.roles import Role
from monitor.access.tokens import sites_of


@dataclass(frozen=True, slots=True)
class User:
    """One account; `password` is its argon2 hash, None before it is first set."""

    name: str
    shown: str
    role: Role
    sites: frozenset[str] | None
    password: str | None
    password_at: int | None
    created_at: int
    disabled_at: int | None


def users(connection: sqlite3.Connection) -> list[User]:
    rows = connection.execute(
        "SELECT name, shown, role, sites, password, password_at, created_at, disabled_at FROM users ORDER BY name"
    )
    return [User(row[0], row[1], Role(row[2]), sites_of(row[3]), *row[4:]) for row in rows]
