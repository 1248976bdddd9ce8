"""The audit log: every change of what is set, with who and why. It only grows; the database refuses all else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.access.roles import Asker

MAX_REASON = 300


@dataclass(frozen=True, slots=True)
class Deed:
    """One change.

    Attributes:
        who: `user:NAME`, `token:NAME`, `command:SYSTEM ACCOUNT` or `device:ID`.
        action: what was done, `thing.verb`.
        target: what it was done to: an id of a site, device, meeting; the name of an account or token.
        reason: why, in the words of whoever did it.
        before, after: what was changed, without secrets.
    """

    who: str
    action: str
    target: str
    address: str = ""
    reason: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


def by(asker: Asker, action: str, target: str, reason: str | None = None, **change: Any) -> Deed:
    """A deed of somebody who asked over HTTP; `before=` and `after=` as they apply."""
    return Deed(asker.label, action, target, asker.address, reason, change.get("before"), change.get("after"))


def note(connection: sqlite3.Connection, deed: Deed, now_ms: int) -> None:
    """Write it down, in the transaction of the change itself: neither is there without the other."""
    connection.execute(
        "INSERT INTO audit (at, who, address, action, target, reason, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (now_ms, deed.who, deed.address, deed.action, deed.target, deed.reason, _text(deed.before), _text(deed.after)),
    )


def _text(change: Mapping[str, Any] | None) -> str | None:
    return None if change is None else json.dumps(change, ensure_ascii=False, sort_keys=True, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no place in the audit log")


def deeds(
    connection: sqlite3.Connection, before: int | None, limit: int, who: str | None = None, target: str | None = None
) -> list[dict[str, Any]]:
    """The newest first, those before the id `before`; only of somebody or about something when named."""
    rows = connection.execute(
        "SELECT id, at, who, address, action, target, reason, before, after FROM audit "
        "WHERE id < coalesce(?, id + 1) AND who = coalesce(?, who) AND target = coalesce(?, target) "
        "ORDER BY id DESC LIMIT ?",
        (before, who, target, limit),
    )
    names = ("id", "at", "who", "address", "action", "target", "reason")
    return [{**dict(zip(names, row, strict=False)), "before": _read(row[7]), "after": _read(row[8])} for row in rows]


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)
