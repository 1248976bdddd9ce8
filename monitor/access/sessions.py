"""Sessions of browsers: begun at login, ended by their owner, by idleness or by age.

The cookie holds 256 random bits made at login and never taken from the browser; the table holds their SHA-256.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """One session as it was when it was read."""

    id: str
    user: str
    created_at: int
    seen_at: int
    expires_at: int
    address: str
    agent: str


def sessions(connection: sqlite3.Connection) -> list[tuple[str, Session]]:
    """Every session that was not ended, by the hash of its token."""
    rows = connection.execute(
        "SELECT token_hash, id, user, created_at, seen_at, expires_at, address, agent FROM sessions "
        "WHERE ended_at IS NULL"
    )
    return [(row[0], Session(*row[1:])) for row in rows]
