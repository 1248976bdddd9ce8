"""What the centre may ask of a device, what the device's room and meetings allow, and that nothing is done twice. Pure.

The centre always sends its whole list. Actions (`check`, `call`, `burst`, `path`, `limits`) are done once per id, at
`at` or as soon after as they are allowed, never after `until`. Standing items (`quiet`, `meeting`) hold from `at` to
`until`, and are over when the centre no longer lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from probes.report import IDENTITY, MAX_SEQ, NAME

MAX_ITEMS = 200
MAX_ITEM_BYTES = 128 * 1024
LONGEST_MS = 7 * 86_400_000
"""Between `at` and `until` of an action."""
BEFORE_MEETING_MS = 90 * 60_000
ROOM_TO_FINISH_MS = {"path": 5 * 60_000, "call": 2 * 60_000}
"""What must be over before a meeting's time begins: how long it may take."""

STANDING = frozenset(("quiet", "meeting"))


class Item(msgspec.Struct, frozen=True):
    """One thing asked. Times in ms UTC."""

    id: str
    do: str
    at: int
    until: int
    args: dict[str, Any] = {}


def _any_hub(value: object) -> bool:
    return isinstance(value, str) and IDENTITY.fullmatch(value) is not None


def _seconds(low: int, high: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _name(value: object) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _table(value: object) -> bool:
    return isinstance(value, dict)


VERBS: dict[str, dict[str, Callable[[object], bool]]] = {
    "check": {"only": _name},
    "call": {"hub": _any_hub, "seconds": _seconds(5, 60), "class": _name},
    "burst": {"hub": _any_hub, "line": _any_hub, "seconds": _seconds(10, 120)},
    "path": {"hub": _any_hub, "line": _any_hub},
    "quiet": {},
    "meeting": {},
    "limits": {"version": _any_hub, "limits": _table},
}
"""Every verb with the arguments it acts on, all optional, and what each may be."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is asked and neither done nor over."""

    items: tuple[Item, ...] = ()


def take(listed: Sequence[object], now_ms: int, done: Set[str]) -> tuple[Agenda, list[str]]:
    """The agenda as the centre now lists it, without what is done or over; and a sentence for each item not taken."""
    faults: list[str] = []
    if len(listed) > MAX_ITEMS:
        faults.append(f"The agenda has {len(listed)} items; the first {MAX_ITEMS} are taken.")
    items: dict[str, Item] = {}
    for raw in listed[:MAX_ITEMS]:
        item = _read(raw)
        if isinstance(item, str):
            faults.append(item)
        elif item.until > now_ms and item.id not in done:
            items.setdefault(item.id, item)
    return Agenda(tuple(items.values())), faults


def _read(raw: object) -> Item | str:
    """The item, or the sentence that says why it is none."""
    try:
        item = msgspec.convert(raw, Item)
        size = len(msgspec.json.encode(raw))
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError, OverflowError) as error:
        return f"An item of the agenda cannot be read: {str(error)[:200]}."
    if not IDENTITY.fullmatch(item.id):
        return f"The agenda's id {item.id[:80]!r} is not an id."
    if item.do not in VERBS:
        return f"The agenda asks {item.do[:80]!r} ({item.id}), which this device does not know."
    if not 0 <= item.at < item.until <= MAX_SEQ:
        return f"The item {item.id} is to be done from {item.at} until {item.until}, which is no time."
    if item.do not in STANDING and item.do != "limits" and item.until - item.at > LONGEST_MS:
        return f"The item {item.id} may be done for {item.until - item.at} ms; at most {LONGEST_MS} are taken."
    if size > MAX_ITEM_BYTES:
        return f"The item {item.id} is {size} bytes; at most {MAX_ITEM_BYTES} are taken."
    if item.do in STANDING:
        return item  # a newer centre may say more of a meeting; its protection must not hang on that
    return _args_fault(item) or item


def _args_fault(item: Item) -> str | None:
    known = VERBS[item.do]
    for name, value in item.args.items():
        if name not in known:
            return f"The item {item.id} asks {item.do} with {name[:80]!r}, which it does not take."
        if not known[name](value):
            return f"The item {item.id} asks {item.do} with {name} = {repr(value)[:80]}, which is out of bounds."
    return None


def due(agenda: Agenda, now_ms: int) -> list[Item]:
    """The actions to begin now: their time has come, and nothing forbids them."""
    return [
        item
        for item in agenda.items
        if item.do not in STANDING and item.at <= now_ms < item.until and forbids(agenda, item.do, now_ms) is None
    ]


def without(agenda: Agenda, id: str) -> Agenda:
    """The agenda once this item is done."""
    return replace(agenda, items=tuple(item for item in agenda.items if item.id != id))


def over(agenda: Agenda, now_ms: int) -> list[Item]:
    """The actions whose time passed before they were allowed."""
    return [item for item in agenda.items if item.do not in STANDING and item.until <= now_ms]


def forbids(agenda: Agenda, do: str, now_ms: int) -> str | None:
    """Why this may not begin now, in a sentence; None when it may.

    A quiet time allows nothing that sends by itself. Measuring the path or a test call never falls into a meeting, nor
    into the 90 minutes before it, in which the room tries its own picture and sound; it must be over by then.
    """
    if do == "limits":
        return None
    for item in agenda.items:
        if item.do == "quiet" and item.at <= now_ms < item.until:
            return f"The centre asked for quiet until {item.until}."
        if item.do == "meeting" and do in ROOM_TO_FINISH_MS:
            begins = item.at - BEFORE_MEETING_MS - ROOM_TO_FINISH_MS[do]
            if begins < now_ms < item.until:
                return f"The meeting of {item.at} is too near for {do}."
    return None
