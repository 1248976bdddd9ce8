"""The accounts of people, and the one-time links by which they set their passwords.

Nobody ever sets another's password: whoever makes an account gets a link to hand over.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from monitor.access.passwords import kept, password_fault
from monitor.access.roles import Role
from monitor.access.tokens import AccessError, Unknown, Void, check_sites, sites_of, sites_text
from monitor.devices import hashed

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
MAX_SHOWN = 80
FIRST = "admin"
"""The account that the first link makes when no other name is given."""


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

    def told(self) -> dict[str, Any]:
        """What may be shown of it."""
        return {
            "name": self.name, "shown": self.shown, "role": self.role.value,
            "sites": None if self.sites is None else sorted(self.sites), "has_password": self.password is not None,
            "password_at": self.password_at, "created_at": self.created_at, "disabled_at": self.disabled_at,
        }  # fmt: skip


_SELECT = "SELECT name, shown, role, sites, password, password_at, created_at, disabled_at FROM users"


def users(connection: sqlite3.Connection) -> list[User]:
    return [_user(row) for row in connection.execute(f"{_SELECT} ORDER BY name")]


def user_named(connection: sqlite3.Connection, name: str) -> User:
    """Raises `Unknown` when there is no such account."""
    row = connection.execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise Unknown(f"There is no account {name[:80]!r}.")
    return _user(row)


def _user(row: tuple[Any, ...]) -> User:
    return User(row[0], row[1], Role(row[2]), sites_of(row[3]), *row[4:])


def add_user(
    connection: sqlite3.Connection, name: str, role: Role, sites: frozenset[str] | None, shown: str, now_ms: int
) -> User:
    """A new account without a password.

    Raises:
        AccessError: the name is none or taken, or the role and the sites do not go together.
    """
    if not NAME.fullmatch(name):
        raise AccessError(f"{name[:80]!r} is no name of an account: small letters a-z, digits, . _ @ -, at most 64.")
    if connection.execute("SELECT 1 FROM users WHERE name = ?", (name,)).fetchone():
        raise AccessError(f"There is an account {name!r} already.")
    if role is Role.KIOSK:
        raise AccessError("A wall screen has no account; make a kiosk link for it.")
    user = User(name, _shown(shown or name), role, sites, None, None, now_ms, None)
    check_sites(connection, role, sites)
    connection.execute(
        "INSERT INTO users VALUES (?, ?, ?, ?, NULL, NULL, ?, NULL)",
        (name, user.shown, role.value, sites_text(sites), now_ms),
    )
    return user


def change_user(connection: sqlite3.Connection, name: str, now_ms: int, **new: Any) -> tuple[User, User]:
    """Change `role`, `sites`, `shown` or `open` of an account; returns what it was and what it is.

    Raises:
        AccessError: there is no such account, or it is the last administrator who can log in.
    """
    before = user_named(connection, name)
    after = replace(before, **{key: new[key] for key in ("role", "sites") if key in new})
    if "role" in new and "sites" not in new and after.role is not Role.TECHNICIAN:
        after = replace(after, sites=None)
    if after.role is Role.KIOSK:
        raise AccessError("A wall screen has no account; make a kiosk link for it.")
    if "shown" in new:
        after = replace(after, shown=_shown(new["shown"]))
    if "open" in new:
        after = replace(after, disabled_at=None if new["open"] else before.disabled_at or now_ms)
    check_sites(connection, after.role, after.sites)
    connection.execute(
        "UPDATE users SET role = ?, sites = ?, shown = ?, disabled_at = ? WHERE name = ?",
        (after.role.value, sites_text(after.sites), after.shown, after.disabled_at, name),
    )
    if before.role is Role.ADMIN and not _has_admin(connection):
        raise AccessError(f"{name} is the last administrator; make another one first.")
    return before, after


def _shown(text: str) -> str:
    shown = " ".join(text.split())
    if not 0 < len(shown) <= MAX_SHOWN or not shown.isprintable():
        raise AccessError(f"{text[:80]!r} is no name to show: 1 to {MAX_SHOWN} printable letters.")
    return shown


def _has_admin(connection: sqlite3.Connection) -> bool:
    row = connection.execute("SELECT 1 FROM users WHERE role = 'admin' AND disabled_at IS NULL LIMIT 1").fetchone()
    return row is not None


def _has_only_unused_admin(connection: sqlite3.Connection) -> bool:
    """Whether the first administrator was made and has never come."""
    rows = connection.execute("SELECT name, password IS NULL FROM users WHERE role = 'admin'").fetchall()
    return rows == [(FIRST, 1)]


def new_link(connection: sqlite3.Connection, name: str, now_ms: int, good_for_ms: int) -> str:
    """The secret of a one-time link by which the account's password is set; earlier ones are void.

    Raises:
        AccessError: there is no such account, or it is closed.
    """
    if user_named(connection, name).disabled_at is not None:
        raise AccessError(f"The account {name} is closed; open it first.")
    code = secrets.token_urlsafe(24)
    connection.execute("DELETE FROM links WHERE user = ?", (name,))
    connection.execute(
        "INSERT INTO links VALUES (?, ?, ?, ?, NULL)", (hashed(code), name, now_ms, now_ms + good_for_ms)
    )
    return code


def link_for(connection: sqlite3.Connection, name: str | None, now_ms: int, good_for_ms: int) -> tuple[str, str]:
    """The name and the secret for `users link`: of the named account, else of the first administrator, made if need be.

    Raises:
        AccessError: there are administrators and none was named.
    """
    if name is None:
        if _has_admin(connection) and not _has_only_unused_admin(connection):
            raise AccessError("There is an administrator already; name the account: users link NAME.")
        if not _has_admin(connection):
            add_user(connection, FIRST, Role.ADMIN, None, "Quản trị", now_ms)
        name = FIRST
    return name, new_link(connection, name, now_ms, good_for_ms)


def link_path(name: str, code: str) -> str:
    """Behind `#`, which no browser sends to any server: the secret is in no log and no Referer."""
    return f"/join#{name}/{code}"


def user_of_link(connection: sqlite3.Connection, code: str, now_ms: int) -> User:
    """Whose password the link sets.

    Raises:
        AccessError: the link is unknown, used or too old, or its account closed.
    """
    row = connection.execute(
        "SELECT user, expires_at, used_at FROM links WHERE code_hash = ?", (hashed(code),)
    ).fetchone()
    if row is None or row[2] is not None or now_ms > row[1]:
        raise Void("This link is used, too old or not known; ask an administrator for a new one.")
    user = user_named(connection, row[0])
    if user.disabled_at is not None:
        raise AccessError(f"The account {user.name} is closed; ask an administrator.")
    return user


def set_password(connection: sqlite3.Connection, name: str, stored: str, now_ms: int) -> None:
    """Keep what `passwords.kept` made; links and sessions of the account are void from now on."""
    connection.execute("UPDATE users SET password = ?, password_at = ? WHERE name = ?", (stored, now_ms, name))
    connection.execute("UPDATE links SET used_at = ? WHERE user = ? AND used_at IS NULL", (now_ms, name))
    connection.execute("UPDATE sessions SET ended_at = ? WHERE user = ? AND ended_at IS NULL", (now_ms, name))


def good_password(password: str, name: str) -> str:
    """What to keep of a password. Raises `AccessError` for one that is easily guessed."""
    fault = password_fault(password, name)
    if fault is not None:
        raise AccessError(fault)
    return kept(password)
