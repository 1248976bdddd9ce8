"""API tokens: named, bound to a role, good until a day or for ever. A wall screen holds one of the role kiosk.

Kept as SHA-256 of 256 random bits: whoever reads the database cannot use them, and no guess is ever near.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import unicodedata
from dataclasses import dataclass

from monitor.access.roles import Role
from monitor.devices import hashed

PREFIX = "dca_"
MAX_NAME = 64
USED_EVERY_MS = 3_600_000
"""How exactly it is kept when a token was used last."""


class AccessError(ValueError):
    """What was asked of accounts, tokens or sessions cannot be done; the sentence says why and what to do."""


class Unknown(AccessError):
    """There is no such account, token or session."""


class Void(AccessError):
    """A one-time link that is used, too old or not known."""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One token without its secret."""

    name: str
    role: Role
    sites: frozenset[str] | None
    created_at: int
    expires_at: int | None
    used_at: int | None
    made_by: str


def new_api_token(
    connection: sqlite3.Connection,
    name: str,
    now_ms: int,
    role: Role = Role.VIEWER,
    sites: frozenset[str] | None = None,
    expires_at: int | None = None,
    made_by: str = "command",
) -> str:
    """A token for a program or a wall screen, shown this once; one a name, an earlier one is replaced.

    Raises:
        AccessError: no name for a token, no such site, or a technician without a site.
    """
    check_name(name)
    check_sites(connection, role, sites)
    if expires_at is not None and expires_at <= now_ms:
        raise AccessError("A token cannot end before it begins; name a later time.")
    token = PREFIX + secrets.token_urlsafe(32)
    connection.execute("DELETE FROM api_tokens WHERE name = ?", (name,))
    connection.execute(
        """INSERT INTO api_tokens (token_hash, name, created_at, role, sites, expires_at, made_by)
           VALUES (?, ?, ?, ?, ?, ?, ?)""",
        (hashed(token), name, now_ms, role.value, sites_text(sites), expires_at, made_by),
    )
    return token


def end_api_token(connection: sqlite3.Connection, name: str) -> ApiToken:
    """Make the token good for nothing; returns what it was.

    Raises:
        Unknown: there is no such token.
    """
    found = next((token for _, token in api_tokens(connection) if token.name == name), None)
    if found is None:
        raise Unknown(f"There is no token {name[:80]!r}.")
    connection.execute("DELETE FROM api_tokens WHERE name = ?", (name,))
    return found


def check_kiosk(connection: sqlite3.Connection, name: str) -> None:
    """Who may make and end wall screens touches no other token of the name.

    Raises:
        AccessError: the name is that of an API token.
    """
    row = connection.execute("SELECT role FROM api_tokens WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != Role.KIOSK:
        raise AccessError(f"{name[:80]!r} is an API token; choose another name for the wall screen.")


def api_tokens(connection: sqlite3.Connection) -> list[tuple[str, ApiToken]]:
    """Every token by its hash."""
    rows = connection.execute(
        "SELECT token_hash, name, role, sites, created_at, expires_at, used_at, made_by FROM api_tokens ORDER BY name"
    )
    return [(row[0], ApiToken(row[1], Role(row[2]), sites_of(row[3]), *row[4:])) for row in rows]


def used(connection: sqlite3.Connection, name: str, now_ms: int) -> None:
    connection.execute("UPDATE api_tokens SET used_at = ? WHERE name = ?", (now_ms, name))


def check_name(name: str) -> None:
    printable = all(unicodedata.category(letter)[0] not in "CZ" or letter == " " for letter in name)
    if not 0 < len(name) <= MAX_NAME or not printable or name != name.strip():
        raise AccessError(f"{name[:80]!r} is no name: 1 to {MAX_NAME} letters, digits and signs.")


def check_sites(connection: sqlite3.Connection, role: Role, sites: frozenset[str] | None) -> None:
    """A technician has sites, nobody else has; each exists.

    Raises:
        AccessError: naming what is wrong.
    """
    if role is Role.TECHNICIAN and not sites:
        raise AccessError("A technician belongs to a site; name at least one.")
    if role is not Role.TECHNICIAN and sites:
        raise AccessError(f"Only a technician is bound to sites; the role {role.value} reads all of them.")
    for site in sorted(sites or ()):
        if connection.execute("SELECT 1 FROM sites WHERE id = ?", (site,)).fetchone() is None:
            raise AccessError(f"There is no site {site[:80]!r}; `sites list` shows their ids.")


def sites_text(sites: frozenset[str] | None) -> str | None:
    return None if sites is None else json.dumps(sorted(sites))


def sites_of(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(json.loads(text))
