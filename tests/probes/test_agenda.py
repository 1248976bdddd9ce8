"""The centre may ask only what is bounded, nothing is done twice, and no measuring falls into a meeting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.agenda import (
    BEFORE_MEETING_MS,
    MAX_ITEMS,
    ROOM_TO_FINISH_MS,
    STANDING,
    VERBS,
    Agenda,
    Item,
    due,
    forbids,
    over,
    take,
    without,
)

NOW = 1_800_000_000_000
HOUR = 3_600_000


def ask(do: str, at: int = NOW, until: int = NOW + HOUR, id: str = "a-1", **args: Any) -> dict[str, Any]:
    return {"id": id, "do": do, "at": at, "until": until, "args": args}


def agenda_of(*items: dict[str, Any], now: int = NOW) -> Agenda:
    agenda, faults = take(items, now, set())
    assert faults == []
    return agenda


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a-1", "a-2", "", "x" * 65]) | JSON,
        "do": st.sampled_from([*VERBS, "open_microphone"]) | JSON,
        "at": st.integers(NOW - 2 * HOUR, NOW + 2 * HOUR) | JSON,
        "until": st.integers(NOW - 2 * HOUR, NOW + 2 * HOUR) | JSON,
        "args": st.dictionaries(st.sampled_from(["hub", "seconds", "only", "limits"]), JSON) | JSON,
    },
)


@given(st.lists(ITEM | JSON, max_size=8), st.integers(NOW - HOUR, NOW + HOUR), st.sets(st.sampled_from(["a-1", "a-2"])))
def test_whatever_is_listed_only_sound_items_are_taken(listed: list[Any], now: int, done: set[str]) -> None:
    agenda, faults = take(listed, now, done)
    assert len({item.id for item in agenda.items}) == len(agenda.items)
    for item in agenda.items:
        assert item.do in VERBS
        assert item.at < item.until
        assert now < item.until
        assert item.id not in done
        assert item.do in STANDING or set(item.args) <= set(VERBS[item.do])
    assert all(sentence.endswith(".") for sentence in faults)


MEETING = st.tuples(st.integers(-5 * HOUR, 5 * HOUR), st.integers(60_000, 4 * HOUR)).map(
    lambda span: ask("meeting", NOW + span[0], NOW + span[0] + span[1], id=f"m{span[0]}-{span[1]}")
)


@given(st.lists(MEETING, max_size=4), st.sampled_from(sorted(ROOM_TO_FINISH_MS)), st.integers(-6 * HOUR, 6 * HOUR))
def test_no_path_and_no_test_call_touches_a_meeting_or_the_90_minutes_before(
    meetings: list[dict[str, Any]], do: str, offset: int
) -> None:
    now = NOW + offset
    agenda, _ = take([*meetings, ask(do, NOW - 6 * HOUR, NOW + 7 * HOUR, id="it")], now, set())
    begun = [item for item in due(agenda, now) if item.id == "it"]
    ends = now + ROOM_TO_FINISH_MS[do]
    touched = [each for each in meetings if now < each["until"] and ends > each["at"] - BEFORE_MEETING_MS]
    assert bool(begun) == (not touched)


def test_an_action_waits_for_its_time_and_dies_with_it() -> None:
    agenda = agenda_of(ask("burst", NOW + 1000, NOW + 2000))
    assert due(agenda, NOW) == []
    assert [item.id for item in due(agenda, NOW + 1000)] == ["a-1"]
    assert due(agenda, NOW + 2000) == []
    assert [item.id for item in over(agenda, NOW + 2000)] == ["a-1"]


def test_what_was_done_is_never_done_again() -> None:
    agenda = agenda_of(ask("burst"))
    assert due(without(agenda, "a-1"), NOW) == []
    assert take([ask("burst")], NOW, {"a-1"})[0] == Agenda()


def test_quiet_forbids_all_that_sends_but_not_new_limits() -> None:
    agenda = agenda_of(
        ask("quiet", id="q"),
        *(ask(do, id=do) for do in VERBS if do not in STANDING),
    )
    assert [item.do for item in due(agenda, NOW)] == ["limits"]
    assert "quiet" in str(forbids(agenda, "burst", NOW))
    assert forbids(agenda, "burst", NOW + HOUR) is None


def test_a_burst_is_allowed_in_a_meeting() -> None:
    agenda = agenda_of(ask("meeting", id="m"), ask("burst"))
    assert [item.do for item in due(agenda, NOW)] == ["burst"]


def test_a_meeting_of_which_a_newer_centre_says_more_still_protects() -> None:
    agenda = agenda_of(ask("meeting", id="m", title="Họp giao ban", floors=[1, 2]), ask("path"))
    assert due(agenda, NOW) == []


def test_a_meeting_that_the_centre_no_longer_lists_is_over() -> None:
    path = ask("path", until=NOW + 3 * HOUR)
    assert due(agenda_of(ask("meeting", id="m"), path), NOW) == []
    assert len(due(agenda_of(path), NOW)) == 1


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (ask("open_microphone"), "The agenda asks 'open_microphone' (a-1), which this device does not know."),
        (ask("burst", seconds=121), "The item a-1 asks burst with seconds = 121, which is out of bounds."),
        (ask("burst", seconds=True), "The item a-1 asks burst with seconds = True, which is out of bounds."),
        (ask("burst", rate=9), "The item a-1 asks burst with 'rate', which it does not take."),
        (ask("path", until=NOW), f"The item a-1 is to be done from {NOW} until {NOW}, which is no time."),
        (ask("path", until=NOW + 8 * 24 * HOUR), "The item a-1 may be done for 691200000 ms; at most 604800000"),
        (ask("path", id="../../x"), "The agenda's id '../../x' is not an id."),
        (ask("limits", limits={"x": "y" * 200_000}), "The item a-1 is 200"),
        ({"id": "a-1"}, "An item of the agenda cannot be read: Object missing required field `do`."),
        ("now", "An item of the agenda cannot be read: Expected `object`, got `str`."),
    ],
)
def test_an_item_that_is_not_sound_is_refused_with_a_sentence(item: Any, sentence: str) -> None:
    agenda, faults = take([item], NOW, set())
    assert agenda == Agenda()
    assert faults[0].startswith(sentence)


def test_a_list_without_end_is_cut() -> None:
    agenda, faults = take([ask("quiet", id=f"q{index}") for index in range(500)], NOW, set())
    assert len(agenda.items) == MAX_ITEMS
    assert faults == [f"The agenda has 500 items; the first {MAX_ITEMS} are taken."]


def test_an_item_keeps_what_it_was_asked_with() -> None:
    assert agenda_of(ask("burst", hub="hp", seconds=60)).items == (
        Item("a-1", "burst", NOW, NOW + HOUR, {"hub": "hp", "seconds": 60}),
    )
