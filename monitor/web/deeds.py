"""Changes that people make over HTTP: each in one transaction with its line in the audit log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query

from monitor.access.audit import MAX_REASON, Deed, note
from monitor.centre import Centre

Reason = Annotated[str | None, Query(max_length=MAX_REASON, description="why, for the audit log")]
"""For routes whose body has no place for it."""
Why = Annotated[str, msgspec.Meta(max_length=MAX_REASON)]
"""The key `reason` of a body."""
Result = TypeVar("Result")


async def do(centre: Centre, change: Callable[[sqlite3.Connection], Result], deed: Callable[[Result], Deed]) -> Result:
    """A change and its line in the audit log, both or neither; then the centre takes it over.

    Raises:
        whatever the change raises; then nothing was changed and nothing noted.
    """

    def both(connection: sqlite3.Connection) -> Result:
        done = change(connection)
        note(connection, deed(done), centre.clock.real_ms())
        return done

    done = await centre.store.change(both)
    await centre.reload()
    return done
