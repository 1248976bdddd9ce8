"""Every account, session and API token in memory, as the guard asks for them."""

from __future__ import annotations

import sqlite3

from monitor.access.people import User, users
from monitor.access.sessions import SEEN_EVERY_MS, Session, sessions
from monitor.access.tokens import USED_EVERY_MS, ApiToken, api_tokens


class Access:
    """What is kept of people and programs; `load` reads it anew."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self._sessions: dict[str, Session] = {}
        self._tokens: dict[str, ApiToken] = {}
        self._seen: dict[str, int] = {}
        self._kept: dict[str, int] = {}

    def load(self, connection: sqlite3.Connection) -> None:
        """Read everything, then put it in place at once: this runs beside the event loop."""
        known = {user.name: user for user in users(connection)}
        begun = dict(sessions(connection))
        tokens = dict(api_tokens(connection))
        names = {f"token {token.name}" for token in tokens.values()}
        self.users, self._sessions, self._tokens = known, begun, tokens
        open_ids = {session.id for session in begun.values()}
        self._seen = {id: at for id, at in list(self._seen.items()) if id in open_ids}
        self._kept = {key: at for key, at in list(self._kept.items()) if key in open_ids or key in names}

    def user(self, name: str) -> User | None:
        """The account, unless it is closed."""
        found = self.users.get(name)
        return None if found is None or found.disabled_at is not None else found

    def token(self, proof: str, now_ms: int) -> ApiToken | None:
        """The API token whose secret has this SHA-256, unless it is too old."""
        found = self._tokens.get(proof)
        return None if found is None or (found.expires_at or now_ms) < now_ms else found

    def session(self, proof: str, now_ms: int, idle_ms: int) -> Session | None:
        """The session whose secret has this SHA-256, unless it is too old, idle for too long, or its account closed."""
        found = self._sessions.get(proof)
        if found is None or found.expires_at <= now_ms or self.user(found.user) is None:
            return None
        return found if now_ms - self.seen_at(found) < idle_ms else None

    def sessions_of(self, user: str, now_ms: int, idle_ms: int) -> list[Session]:
        """The open sessions of an account, the newest first."""
        proofs = [proof for proof, session in self._sessions.items() if session.user == user]
        found = [session for proof in proofs if (session := self.session(proof, now_ms, idle_ms))]
        return sorted(found, key=lambda session: session.created_at, reverse=True)

    def tokens(self) -> list[ApiToken]:
        return sorted(self._tokens.values(), key=lambda token: token.name)

    def seen_at(self, session: Session) -> int:
        return max(session.seen_at, self._seen.get(session.id, 0))

    def see(self, session: Session, now_ms: int) -> bool:
        """The session was used now; True when that should be written down."""
        self._seen[session.id] = now_ms
        return self._is_due(session.id, session.seen_at, now_ms, SEEN_EVERY_MS)

    def use(self, token: ApiToken, now_ms: int) -> bool:
        """The token was used now; True when that should be written down."""
        return self._is_due(f"token {token.name}", token.used_at or 0, now_ms, USED_EVERY_MS)

    def _is_due(self, key: str, kept_at: int, now_ms: int, every_ms: int) -> bool:
        if now_ms - max(kept_at, self._kept.get(key, 0)) < every_ms:
            return False
        self._kept[key] = now_ms
        return True
