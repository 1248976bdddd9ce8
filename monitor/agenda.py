"""What the centre asks of each device, and what it tells it: kept in a table, carried in every answer, long-polled."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from monitor.store.runs import Run
from monitor.views import limits_view
from probes.catalog import METRICS
from probes.metric import Limits, Metric

VERBS = ("check", "call", "burst", "path", "quiet", "meeting", "limits")
MAX_ARGS = 4_000
LIMITS_GOOD_FOR_MS = 30 * 86_400_000

LimitsOf = Callable[[str, Metric], Limits | None]


class AgendaError(ValueError):
    """An item that may not be asked; the sentence says why."""


def add_item(connection: sqlite3.Connection, device: str, do: str, at: int, until: int, args: str, now_ms: int) -> str:
    """Ask something of a device; returns the item's id, which the report it causes carries as label `agenda`.

    Args:
        args: a JSON object; the device checks what is in it, and does nothing it does not know.

    Raises:
        AgendaError: device or verb are not known, `args` is no object, or the item would be over before it begins.
    """
    if connection.execute("SELECT 1 FROM devices WHERE id = ? AND revoked_at IS NULL", (device,)).fetchone() is None:
        raise AgendaError(f"There is no device {device!r} in use; `devices list` shows their ids.")
    if do not in VERBS or do == "limits":
        raise AgendaError(f"do = {do!r} cannot be asked; use one of {', '.join(VERBS[:-1])}.")
    if len(args) > MAX_ARGS or not _is_object(args):
        raise AgendaError(f"args = {args[:80]!r} is no JSON object of at most {MAX_ARGS} characters.")
    if until <= max(at, now_ms):
        raise AgendaError(f"until = {until} is not after at = {at} and now.")
    connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'agenda'")
    (number,) = connection.execute("SELECT value FROM counters WHERE name = 'agenda'").fetchone()
    item_id = f"a-{number}"
    connection.execute(
        "INSERT INTO agenda VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
        (item_id, device, do, at, until, args, now_ms),
    )
    return item_id


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def mark_done(connection: sqlite3.Connection, runs: list[Run]) -> None:
    """The items that these runs were asked by are done."""
    connection.executemany(
        "UPDATE agenda SET done_at = ? WHERE id = ? AND device = ? AND done_at IS NULL",
        [(run.received_at, run.report.labels["agenda"], run.device) for run in runs],
    )


def limits_table(site: str, limits_of: LimitsOf) -> dict[str, Any]:
    """The limits that rule at a site, with a version that changes when they do."""
    limits = {
        name: limits_view(found) for name, metric in METRICS.items() if (found := limits_of(site, metric)) is not None
    }
    return {"version": hashlib.sha256(msgspec.json.encode(limits)).hexdigest()[:12], "limits": limits}


class Agendas:
    """Every device's open items in memory; `load` reads them anew and wakes who waits for a change."""

    def __init__(self) -> None:
        self._items: dict[str, list[dict[str, Any]]] = {}
        self._changed = asyncio.Event()

    def load(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT device, id, do, at, until, args FROM agenda WHERE done_at IS NULL ORDER BY at, id"
        )
        items: dict[str, list[dict[str, Any]]] = {}
        for device, item_id, do, at, until, args in rows:
            items.setdefault(device, []).append(
                {"id": item_id, "do": do, "at": at, "until": until, "args": msgspec.json.decode(args)}
            )
        self._items = items

    def wake(self) -> None:
        """Let those who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Until something may have changed, at most `seconds`."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    def open_items(self, device: str, now_ms: int) -> list[dict[str, Any]]:
        """What is asked of the device and not over yet."""
        items = self._items.get(device)
        return [item for item in items if item["until"] > now_ms] if items else []


def limits_item(table: dict[str, Any], now_ms: int) -> dict[str, Any]:
    """The standing item that hands a device its limits; its id is its version, so it is done once."""
    day = now_ms - now_ms % 86_400_000
    return {
        "id": f"limits-{table['version']}",
        "do": "limits",
        "at": day,
        "until": day + LIMITS_GOOD_FOR_MS,
        "args": table,
    }
