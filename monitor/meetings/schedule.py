"""Meetings: a time, the sites that take part, how much hangs on it. Kept in the store, handed to devices and pages."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable
from typing import Any

import msgspec

from monitor.sites import Site

IMPORTANCE = ("routine", "important", "critical")
"""Thường kỳ, quan trọng, đặc biệt: how loud the centre may be about it."""
MAX_TITLE = 120
MAX_SITES = 10_000
LONGEST_MS = 14 * 3_600_000
"""From the first trial call in the morning to the end of the longest day."""
FURTHEST_MS = 400 * 86_400_000
HANDED_AHEAD_MS = 36 * 3_600_000
"""A device that plans its day must know of tomorrow morning's meeting."""

_encode = msgspec.json.Encoder().encode
_decode_ids = msgspec.json.Decoder(tuple[str, ...]).decode


class MeetingError(ValueError):
    """A meeting that cannot be; the sentence says why."""


class NoMeeting(LookupError):
    """There is no meeting of that id."""


class Changed(RuntimeError):
    """Somebody else changed it meanwhile."""


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person says of a meeting. Times in ms UTC; `sites` null: every site, those of later too."""

    title: str
    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    sites: tuple[str, ...] | None = None
    importance: str = "routine"


class Meeting(msgspec.Struct, frozen=True):
    """A meeting as it stands; `revision` counts its changes, so that nobody undoes a change unseen."""

    id: str
    title: str
    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    sites: tuple[str, ...] | None
    importance: str
    revision: int
    created_at: int
    changed_at: int
    cancelled_at: int | None

    def takes_part(self, site: Site) -> bool:
        """Whether a site's line is needed in it. A main bridge carries every meeting, named in it or not."""
        return self.sites is None or site.type == "bridge" or site.id in self.sites

    def is_over(self, now_ms: int) -> bool:
        return self.cancelled_at is not None or self.end <= now_ms


COLUMNS = "id, title, starts_at, ends_at, sites, importance, revision, created_at, changed_at, cancelled_at"


def checked(draft: Draft, known_sites: Container[str], now_ms: int) -> Draft:
    """The draft, its title trimmed and its sites each once.

    Raises:
        MeetingError: no title, no time, a time too long or past or far, an unknown site or importance.
    """
    title = " ".join(draft.title.split())
    if not 0 < len(title) <= MAX_TITLE or not title.isprintable():
        raise MeetingError(f"title = {draft.title[:80]!r} must be 1 to {MAX_TITLE} characters that can be read.")
    if not draft.start < draft.end <= draft.start + LONGEST_MS:
        raise MeetingError(
            f"from = {draft.start}, to = {draft.end}: a meeting ends after it begins, at most 14 hours after."
        )
    if draft.end <= now_ms:
        raise MeetingError(f"to = {draft.end} is past; now is {now_ms}.")
    if draft.start > now_ms + FURTHEST_MS:
        raise MeetingError(f"from = {draft.start} is more than 400 days ahead.")
    if draft.importance not in IMPORTANCE:
        raise MeetingError(f"importance = {draft.importance[:80]!r}: use one of {', '.join(IMPORTANCE)}.")
    return Draft(title, draft.start, draft.end, _sites(draft.sites, known_sites), draft.importance)


def _sites(sites: Iterable[str] | None, known: Container[str]) -> tuple[str, ...] | None:
    if sites is None:
        return None
    each_once = tuple(dict.fromkeys(sites))
    if not 0 < len(each_once) <= MAX_SITES:
        raise MeetingError("sites is empty; name the sites that take part, or leave it out for all of them.")
    for site in each_once:
        if site not in known:
            raise MeetingError(f"sites: there is no site {site[:80]!r}.")
    return each_once


def add(connection: sqlite3.Connection, draft: Draft, now_ms: int) -> Meeting:
    """Keep a new meeting (already `checked`)."""
    connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'meeting'")
    (number,) = connection.execute("SELECT value FROM counters WHERE name = 'meeting'").fetchone()
    meeting = Meeting(
        f"m-{number}", draft.title, draft.start, draft.end, draft.sites, draft.importance, 1, now_ms, now_ms, None
    )
    connection.execute(f"INSERT INTO meetings ({COLUMNS}) VALUES ({', '.join('?' * 10)})", _row(meeting))
    return meeting


def change(connection: sqlite3.Connection, id: str, draft: Draft, revision: int | None, now_ms: int) -> Meeting:
    """Put the draft (already `checked`) in place of what the meeting was.

    Args:
        revision: the one the person saw; None changes whatever stands there.

    Raises:
        NoMeeting: there is none. Changed: it stands at another revision. MeetingError: it is over or cancelled.
    """
    before = _open(connection, id, revision, now_ms)
    after = msgspec.structs.replace(
        before, title=draft.title, start=draft.start, end=draft.end, sites=draft.sites,
        importance=draft.importance, revision=before.revision + 1, changed_at=now_ms,
    )  # fmt: skip
    return _keep(connection, after)


def cancel(connection: sqlite3.Connection, id: str, revision: int | None, now_ms: int) -> Meeting:
    """Call a meeting off; it stays in the list as cancelled. Raises as `change` does."""
    before = _open(connection, id, revision, now_ms)
    return _keep(
        connection,
        msgspec.structs.replace(before, revision=before.revision + 1, changed_at=now_ms, cancelled_at=now_ms),
    )


def one(connection: sqlite3.Connection, id: str) -> Meeting:
    """Raises `NoMeeting`."""
    row = connection.execute(f"SELECT {COLUMNS} FROM meetings WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NoMeeting(f"There is no meeting {id[:80]!r}.")
    return _meeting(row)


def between(connection: sqlite3.Connection, start: int, end: int, after: tuple[int, str], limit: int) -> list[Meeting]:
    """Meetings, cancelled ones too, that touch `start` ≤ t < `end`, by their beginning, after the one of `after`."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM meetings WHERE ends_at > ? AND starts_at < ? AND (starts_at, id) > (?, ?) "
        "ORDER BY starts_at, id LIMIT ?",
        (start, end, *after, limit),
    )
    return [_meeting(row) for row in rows]


def coming(connection: sqlite3.Connection, now_ms: int) -> list[Meeting]:
    """Every meeting that is neither over nor cancelled, the next first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM meetings WHERE ends_at > ? AND cancelled_at IS NULL ORDER BY starts_at, id", (now_ms,)
    )
    return [_meeting(row) for row in rows]


def agenda_item(meeting: Meeting) -> dict[str, Any]:
    """The standing item that keeps a device's own trials out of the meeting. The title stays at the centre."""
    return {
        "id": meeting.id,
        "do": "meeting",
        "at": meeting.start,
        "until": meeting.end,
        "args": {"importance": meeting.importance},
    }


def _open(connection: sqlite3.Connection, id: str, revision: int | None, now_ms: int) -> Meeting:
    meeting = one(connection, id)
    if revision is not None and revision != meeting.revision:
        raise Changed(f"Meeting {id} was changed meanwhile (revision {meeting.revision}, not {revision}); look again.")
    if meeting.cancelled_at is not None:
        raise MeetingError(f"Meeting {id} was cancelled; make a new one.")
    if meeting.end <= now_ms:
        raise MeetingError(f"Meeting {id} is over; what it was stays as it was.")
    return meeting


def _keep(connection: sqlite3.Connection, meeting: Meeting) -> Meeting:
    connection.execute(
        "UPDATE meetings SET title = ?, starts_at = ?, ends_at = ?, sites = ?, importance = ?, revision = ?, "
        "created_at = ?, changed_at = ?, cancelled_at = ? WHERE id = ?",
        (*_row(meeting)[1:], meeting.id),
    )
    return meeting


def _row(meeting: Meeting) -> tuple[object, ...]:
    sites = None if meeting.sites is None else _encode(meeting.sites).decode()
    return (
        meeting.id, meeting.title, meeting.start, meeting.end, sites, meeting.importance, meeting.revision,
        meeting.created_at, meeting.changed_at, meeting.cancelled_at,
    )  # fmt: skip


def _meeting(row: tuple[Any, ...]) -> Meeting:
    sites = None if row[4] is None else _decode_ids(row[4])
    id, title, start, end, _, *rest = row
    return Meeting(id, title, start, end, sites, *rest)
