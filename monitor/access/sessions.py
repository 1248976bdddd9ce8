"""Sessions of browsers: begun at login, ended by their owner, by idleness or by age.

The cookie holds 256 random bits made at login and never taken from the browser; the table holds their SHA-256.
"""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from monitor.access.tokens import Unknown
from monitor.devices import hashed

MAX_AGENT = 200
MOST_OPEN = 30
"""Sessions of one account at a time; the oldest ends for one more."""
SEEN_EVERY_MS = 60_000
"""How exactly it is kept when a session was used last."""
KEPT_MS = 90 * 86_400_000
"""Ended sessions are kept so long: from where somebody has logged in before is known by them."""


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

    def told(self) -> dict[str, Any]:
        return asdict(self)


_SELECT = "SELECT token_hash, id, user, created_at, seen_at, expires_at, address, agent FROM sessions"


def sessions(connection: sqlite3.Connection) -> list[tuple[str, Session]]:
    """Every session that was not ended, by the hash of its token."""
    return [(row[0], Session(*row[1:])) for row in connection.execute(f"{_SELECT} WHERE ended_at IS NULL")]


def begin_session(
    connection: sqlite3.Connection, user: str, now_ms: int, good_for_ms: int, address: str, agent: str
) -> tuple[Session, str]:
    """A new session and the secret of its cookie."""
    secret = secrets.token_urlsafe(32)
    session = Session(
        secrets.token_hex(8), user, now_ms, now_ms, now_ms + good_for_ms, address, printable(agent)[:MAX_AGENT]
    )
    connection.execute("DELETE FROM sessions WHERE expires_at < ?", (now_ms - KEPT_MS,))
    connection.execute(
        "UPDATE sessions SET ended_at = ? WHERE id IN (SELECT id FROM sessions WHERE user = ? AND ended_at IS NULL "
        "ORDER BY created_at DESC LIMIT -1 OFFSET ?)",
        (now_ms, user, MOST_OPEN - 1),
    )
    connection.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        (session.id, hashed(secret), user, now_ms, now_ms, session.expires_at, address, session.agent),
    )
    return session, secret


def end_session(connection: sqlite3.Connection, id: str, user: str, now_ms: int) -> Session:
    """End one session of an account. Raises `Unknown` when the account has no such session."""
    row = connection.execute(f"{_SELECT} WHERE id = ? AND user = ? AND ended_at IS NULL", (id, user)).fetchone()
    if row is None:
        raise Unknown(f"There is no open session {id[:80]!r} of {user[:80]!r}.")
    connection.execute("UPDATE sessions SET ended_at = ? WHERE id = ?", (now_ms, id))
    return Session(*row[1:])


def end_sessions(connection: sqlite3.Connection, user: str, now_ms: int, but: str | None = None) -> int:
    """End all sessions of an account but one; returns how many."""
    return connection.execute(
        "UPDATE sessions SET ended_at = ? WHERE user = ? AND ended_at IS NULL AND id IS NOT ?", (now_ms, user, but)
    ).rowcount


def is_familiar(connection: sqlite3.Connection, user: str, address: str) -> bool:
    """Whether the account was logged in from there before."""
    row = connection.execute("SELECT 1 FROM sessions WHERE user = ? AND address = ? LIMIT 1", (user, address))
    return row.fetchone() is not None


def seen(connection: sqlite3.Connection, id: str, now_ms: int) -> None:
    connection.execute("UPDATE sessions SET seen_at = ? WHERE id = ?", (now_ms, id))


def printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())
