"""Every account, session and API token in memory, as the guard asks for them."""

from __future__ import annotations

import sqlite3

from monitor.access.people import User, users
from monitor.access.sessions import Session, sessions
from monitor.access.tokens import ApiToken, api_tokens


class Access:
    """What is kept of people and programs; `load` reads it anew."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, ApiToken] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read everything, then put it in place at once: this runs beside the event loop."""
        known = {user.name: user for user in users(connection)}
        begun = dict(sessions(connection))
        tokens = dict(api_tokens(connection))
        self.users, self._sessions, self._tokens = known, begun, tokens

    def user(self, name: str) -> User | None:
        """The account, unless it is closed."""
        found = self.users.get(name)
        return None if found is None or found.disabled_at is not None else found

    def token(self, proof: str, now_ms: int) -> ApiToken | None:
        """The API token whose secret has this SHA-256, unless it is too old."""
        found = self._tokens.get(proof)
        return None if found is None or (found.expires_at or now_ms) < now_ms else found

    def session(self, proof: str, now_ms: int) -> Session | None:
        """The session whose secret has this SHA-256, unless it is too old."""
        found = self._sessions.get(proof)
        return None if found is None or found.expires_at <= now_ms else found
