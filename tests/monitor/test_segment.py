"""Who is to blame: the room, the line or the main bridge; and nobody without proof."""

from __future__ import annotations

import pytest

from monitor.segment import Crowd, Segment, segment_at_fault
from probes.verdict import Verdict

GOOD, FAIR, POOR, UNKNOWN = Verdict.GOOD, Verdict.FAIR, Verdict.POOR, Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("link", "lan", "segment"),
    [
        (GOOD, GOOD, None),
        (POOR, GOOD, Segment.LINE),
        (FAIR, GOOD, Segment.LINE),
        (POOR, POOR, Segment.ROOM),
        (FAIR, FAIR, Segment.ROOM),
        (POOR, FAIR, Segment.ROOM),
        (UNKNOWN, POOR, Segment.ROOM),
        (UNKNOWN, GOOD, Segment.UNKNOWN),
        (POOR, UNKNOWN, Segment.UNKNOWN),
    ],
)
def test_room_and_line_are_told_apart(link: Verdict, lan: Verdict, segment: Segment | None) -> None:
    assert segment_at_fault(link, lan) is segment


def test_a_router_that_answers_badly_on_a_good_line_is_no_fault() -> None:
    assert segment_at_fault(GOOD, POOR) is None


def test_a_hub_that_most_sites_suffer_at_is_at_fault() -> None:
    assert segment_at_fault(POOR, GOOD, Crowd.of([POOR, FAIR, POOR, GOOD, UNKNOWN])) is Segment.BRIDGE


def test_a_room_at_fault_does_not_hide_behind_the_hub() -> None:
    assert segment_at_fault(POOR, POOR, Crowd.of([POOR] * 9)) is Segment.ROOM


def test_a_hub_that_others_are_content_with_is_not_at_fault() -> None:
    assert segment_at_fault(POOR, GOOD, Crowd.of([GOOD, GOOD, POOR]), other_hub=GOOD) is Segment.LINE


def test_two_witnesses_are_too_few() -> None:
    assert segment_at_fault(POOR, GOOD, Crowd.of([POOR, POOR])) is Segment.LINE


def test_a_site_alone_blames_the_hub_when_the_other_one_is_well_reached() -> None:
    assert segment_at_fault(POOR, UNKNOWN, other_hub=GOOD) is Segment.BRIDGE
