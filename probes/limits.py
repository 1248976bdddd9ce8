"""The limits that the centre gave this device, for its own verdicts: as they came over the agenda, kept in a file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from probes.files import write_whole
from probes.metric import Limits, Span

LIMITS_FILE = "limits.json"
"""In the folder of the spool."""


class _Limit(msgspec.Struct, frozen=True):
    """`good` and `fair` as (low, high); None is an open end."""

    good: tuple[float | None, float | None]
    fair: tuple[float | None, float | None]
    margin: float | None = None


class _Table(msgspec.Struct, frozen=True):
    limits: dict[str, _Limit]
    version: str = ""


def keep_limits(folder: Path, args: object) -> None:
    """Keep what an agenda item `limits` carries.

    Raises:
        ValueError: it is no table of limits; what was kept before stays.
        OSError: it cannot be written.
    """
    table = msgspec.convert(args, _Table)
    write_whole(folder / LIMITS_FILE, msgspec.json.encode(table))


def read_limits(folder: Path) -> dict[str, Limits]:
    """The limits kept, by full metric name; none where there are none to read: then the declared ones rule."""
    try:
        table = msgspec.json.decode((folder / LIMITS_FILE).read_bytes(), type=_Table)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {name: Limits(Span(*limit.good), Span(*limit.fair), limit.margin) for name, limit in table.limits.items()}
