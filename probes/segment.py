"""Where the fault lies: in the room, on the line, or at the main bridge. Pure: verdicts in, segment and words out.

    fault = segment_at_fault(link=POOR, lan=GOOD, others_at_hub=[GOOD, GOOD, POOR])   # the line

A fault of the first hop must show further on: a router that only answers test packets badly accuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from probes.metric import Text
from probes.verdict import Verdict

LEAST_OTHERS = 3
"""So many other sites must be heard before they are witnesses for or against the hub."""


class Segment(StrEnum):
    NONE = "none"
    ROOM = "room"
    LINE = "line"
    HUB = "hub"
    UNKNOWN = "unknown"


class Fault(NamedTuple):
    """The segment, and the words that say it."""

    segment: Segment
    words: Text


NO_FAULT = Fault(Segment.NONE, Text("Không có lỗi", "No fault"))
IN_ROOM = Fault(
    Segment.ROOM,
    Text("Lỗi trong phòng: mạng nội bộ tại điểm cầu", "In the room: the site's own network"),
)
ON_LINE = Fault(
    Segment.LINE,
    Text(
        "Lỗi đường truyền: trong phòng tốt, nhà mạng cần kiểm tra", "On the line: the room is good, the carrier's part"
    ),
)
AT_HUB = Fault(
    Segment.HUB,
    Text("Lỗi phía điểm cầu chính: nhiều điểm cầu cùng bị", "At the main bridge: many sites suffer alike"),
)
LIKELY_AT_HUB = Fault(
    Segment.HUB,
    Text(
        "Nhiều khả năng phía điểm cầu chính: đường tới điểm cầu chính kia vẫn tốt",
        "Likely at the main bridge: the way to the other bridge is good",
    ),
)
ROOM_OR_LINE = Fault(
    Segment.UNKNOWN,
    Text("Trong phòng hoặc đường truyền: chưa đo được trong phòng", "The room or the line: the room was not measured"),
)
NOT_MEASURED = Fault(Segment.UNKNOWN, Text("Chưa đo được", "Not measured"))

_BAD = (Verdict.FAIR, Verdict.POOR)


def segment_at_fault(
    link: Verdict,
    lan: Verdict,
    others_at_hub: Sequence[Verdict] = (),
    other_hub: Verdict = Verdict.UNKNOWN,
) -> Fault:
    """The segment that a bad line to a hub is to be blamed on.

    Args:
        link: this site's line to this hub.
        lan: the first hop of the same line.
        others_at_hub: what the other sites' lines to this hub are like at the same time.
        other_hub: this site's same line to the other hub.
    """
    if link is Verdict.GOOD:
        return NO_FAULT
    if lan is Verdict.POOR or (lan is Verdict.FAIR and link in _BAD):
        return IN_ROOM
    if link is Verdict.UNKNOWN:
        return NOT_MEASURED
    suffering = _share_bad(others_at_hub)
    if suffering is not None and suffering > 0.5:
        return AT_HUB
    if suffering is None and other_hub is Verdict.GOOD:
        return LIKELY_AT_HUB
    return ON_LINE if lan is Verdict.GOOD or other_hub is Verdict.GOOD else ROOM_OR_LINE


def _share_bad(verdicts: Iterable[Verdict]) -> float | None:
    """The share of sites that suffer among those that know; None from too few."""
    known = [each for each in verdicts if each is not Verdict.UNKNOWN]
    return None if len(known) < LEAST_OTHERS else sum(each in _BAD for each in known) / len(known)
