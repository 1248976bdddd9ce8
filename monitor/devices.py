"""Devices: what reports, for which site, in which role; their tokens, enrolment codes and hub keys.

Tokens and codes are kept as SHA-256 of 256 (or 40) random bits: whoever reads the database cannot speak for a device,
and a look-up by hash takes the same time for every wrong token. Codes are short, so they expire, are good for one use
and are throttled where they are tried.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import ssl
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

TOKEN_PREFIX = "dct_"
OLD_TOKEN_MS = 30 * 60_000
"""How long a token is good after it was replaced, if the new one is not used."""
CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without 0, O, 1 and I, which people misread."""


class Role(StrEnum):
    PROBE = "probe"
    BROWSER = "browser"
    HUB = "hub"
    CENTRAL = "central"


class Grade(StrEnum):
    """How near to the room a figure was measured; each figure says which."""

    DEVICE = "device"
    BROWSER = "browser"
    CENTRE = "centre"


GRADES = {Role.PROBE: Grade.DEVICE, Role.HUB: Grade.DEVICE, Role.BROWSER: Grade.BROWSER, Role.CENTRAL: Grade.CENTRE}
SPEAKS_FOR_OTHERS = frozenset((Role.HUB, Role.CENTRAL, Role.BROWSER))


class DeviceError(ValueError):
    """A device or code that cannot be used; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device, revoked or not. `ssid` is its session id at every hub, for ever (RFC 8972 section 3)."""

    id: str
    site: str
    role: Role
    ssid: int
    hub_secret: str | None
    created_at: int
    revoked_at: int | None

    @property
    def grade(self) -> Grade:
        return GRADES[self.role]


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def stamp_key(hub_secret: str, device: str) -> str:
    """The key of one device at one hub, in hex: HMAC-SHA256(hub secret, "stamp|" + device)."""
    return hmac.new(bytes.fromhex(hub_secret), f"stamp|{device}".encode(), hashlib.sha256).hexdigest()


# --- changes; each runs inside the caller's transaction --------------------------------------------------------


def add_device(connection: sqlite3.Connection, site: str, role: Role, now_ms: int) -> tuple[Device, str]:
    """A new device of a site, and its token, which is shown this once.

    Raises:
        DeviceError: there is no such site, or the hub would be a second one of its bridge.
    """
    row = connection.execute("SELECT 1 FROM sites WHERE id = ?", (site,)).fetchone()
    if row is None:
        raise DeviceError(f"There is no site {site!r}; `sites list` shows their ids.")
    hub_secret = _hub_secret(connection, site) if role is Role.HUB else None
    device = Device(f"d-{secrets.token_hex(4)}", site, role, _free_ssid(connection), hub_secret, now_ms, None)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        "INSERT INTO devices (id, site, role, token_hash, ssid, hub_secret, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (device.id, site, role.value, hashed(token), device.ssid, hub_secret, now_ms),
    )
    return device, token


def _hub_secret(connection: sqlite3.Connection, site: str) -> str:
    """One secret a bridge: a hub that is put in another's place answers the same devices with the same keys."""
    row = connection.execute(
        "SELECT hub_secret FROM devices WHERE site = ? AND role = 'hub' ORDER BY created_at DESC", (site,)
    ).fetchone()
    return row[0] if row else secrets.token_hex(32)


def _free_ssid(connection: sqlite3.Connection) -> int:
    """16 bits that no device has; 0 is left out, it means "no session id" on older reflectors."""
    for _ in range(200):
        ssid = secrets.randbelow(0xFFFF) + 1
        if connection.execute("SELECT 1 FROM devices WHERE ssid = ?", (ssid,)).fetchone() is None:
            return ssid
    raise DeviceError("Almost all of the 65,535 session ids are taken; remove devices that are no more.")


def revoke_device(connection: sqlite3.Connection, device: str, now_ms: int) -> None:
    """The device's token is good for nothing from now on; its reports stay.

    Raises:
        DeviceError: there is no such device.
    """
    done = connection.execute("UPDATE devices SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (now_ms, device))
    if done.rowcount == 0:
        raise DeviceError(f"There is no device {device!r}; `devices list` shows their ids.")


def rotate_token(connection: sqlite3.Connection, device: str, now_ms: int) -> tuple[str, int]:
    """A new token, shown this once, and until when the old one is good at most.

    The device may lose the answer, or its power before it has written it down: so the old token stays good until the
    new one is first used, but not for longer than `OLD_TOKEN_MS`. A second rotation before that replaces the new one.

    Raises:
        DeviceError: there is no such device, or it was revoked.
    """
    row = connection.execute(
        "SELECT token_hash, old_token_hash, old_until, revoked_at FROM devices WHERE id = ?", (device,)
    ).fetchone()
    if row is None or row[3] is not None:
        raise DeviceError(f"Device {device!r} is revoked or not known; enrol it again.")
    unused = row[1] is not None and row[2] > now_ms
    token, until = TOKEN_PREFIX + secrets.token_urlsafe(32), now_ms + OLD_TOKEN_MS
    connection.execute(
        "UPDATE devices SET token_hash = ?, old_token_hash = ?, old_until = ? WHERE id = ?",
        (hashed(token), row[1] if unused else row[0], until, device),
    )
    return token, until


def retire_old_token(connection: sqlite3.Connection, device: str) -> None:
    """The new token was used: the old one is good for nothing."""
    connection.execute("UPDATE devices SET old_token_hash = NULL, old_until = NULL WHERE id = ?", (device,))


def new_code(connection: sqlite3.Connection, site: str, role: Role, now_ms: int, good_for_ms: int) -> str:
    """A one-time enrolment code, `XXXX-XXXX`, shown this once.

    Raises:
        DeviceError: there is no such site.
    """
    if connection.execute("SELECT 1 FROM sites WHERE id = ?", (site,)).fetchone() is None:
        raise DeviceError(f"There is no site {site!r}; `sites list` shows their ids.")
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(8))
    connection.execute(
        "INSERT INTO codes VALUES (?, ?, ?, ?, ?, NULL, NULL)",
        (hashed(letters), site, role.value, now_ms, now_ms + good_for_ms),
    )
    return f"{letters[:4]}-{letters[4:]}"


def plain_code(text: str) -> str:
    """The eight letters of a code as people write it; what follows them (the CA's fingerprint) is not the centre's."""
    return "".join(text.upper().replace("-", " ").split())[:8]


def trust_part(ca_pem: str | None) -> str:
    """The end of a code: what the device knows the centre by before it sends anything.

    The first 16 hex digits of the SHA-256 of the authority's certificate (DER), or `plain` without an authority.

    Raises:
        ValueError: the text holds no certificate.
    """
    if ca_pem is None:
        return "plain"
    found = re.search(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", ca_pem, re.DOTALL)
    if found is None:
        raise ValueError("The file of the authority holds no certificate (PEM).")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest()[:16]


def use_code(connection: sqlite3.Connection, code: str, now_ms: int) -> tuple[Device, str]:
    """Enrol a device by a code, which is used up by it.

    Raises:
        DeviceError: the code is unknown, used or too old.
    """
    code_hash = hashed(plain_code(code))
    row = connection.execute(
        "SELECT site, role, expires_at, used_at FROM codes WHERE code_hash = ?", (code_hash,)
    ).fetchone()
    if row is None:
        raise DeviceError("This code is not known; read it again, or ask the centre for a new one.")
    site, role, expires_at, used_at = row
    if used_at is not None:
        raise DeviceError("This code was used already; ask the centre for a new one.")
    if now_ms > expires_at:
        raise DeviceError("This code is too old; ask the centre for a new one.")
    device, token = add_device(connection, site, Role(role), now_ms)
    connection.execute("UPDATE codes SET used_at = ?, device = ? WHERE code_hash = ?", (now_ms, device.id, code_hash))
    return device, token


# --- looking up ------------------------------------------------------------------------------------------------

_COLUMNS = "id, site, role, ssid, hub_secret, created_at, revoked_at, token_hash, old_token_hash, old_until"


def _device(row: tuple[Any, ...]) -> Device:
    return Device(row[0], row[1], Role(row[2]), row[3], row[4], row[5], row[6])


class Devices:
    """Every device and token in memory; `load` reads them anew."""

    def __init__(self) -> None:
        self.by_id: dict[str, Device] = {}
        self._by_token: dict[str, Device] = {}
        self._by_site: dict[str, list[Device]] = {}
        self._by_old_token: dict[str, tuple[Device, int]] = {}
        self.rotated: set[str] = set()
        """Ids of devices whose new token was not used yet."""

    def load(self, connection: sqlite3.Connection) -> None:
        """Read everything, then put it in place at once: this runs beside the event loop."""
        rows = connection.execute(f"SELECT {_COLUMNS} FROM devices ORDER BY created_at, id").fetchall()
        by_id = {row[0]: _device(row) for row in rows}
        by_site: dict[str, list[Device]] = {}
        for device in by_id.values():
            if device.revoked_at is None:
                by_site.setdefault(device.site, []).append(device)
        self.by_id, self._by_site = by_id, by_site
        self._by_token = {row[7]: by_id[row[0]] for row in rows}
        self._by_old_token = {row[8]: (by_id[row[0]], row[9]) for row in rows if row[8] is not None}
        self.rotated = {device.id for device, _ in self._by_old_token.values()}

    def by_token(self, token: str) -> Device | None:
        """The device of a token, revoked or not."""
        return self._by_token.get(hashed(token))

    def by_old_token(self, token: str, now_ms: int) -> Device | None:
        """The device whose token this was, while it is still good."""
        found, until = self._by_old_token.get(hashed(token), (None, 0))
        return found if now_ms <= until else None

    def of_site(self, site: str) -> list[Device]:
        """The devices of a site that are not revoked."""
        return self._by_site.get(site, [])

    def hub_secrets(self) -> dict[str, str]:
        """The secret of each bridge that has a hub."""
        return {
            device.site: device.hub_secret
            for device in self.by_id.values()
            if device.hub_secret is not None and device.revoked_at is None
        }
