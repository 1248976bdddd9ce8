"""The hub's pure parts: waits, presence, the exposition, the values of its reports, the list of sites."""

from __future__ import annotations

import math
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.hub.crew import Totals
from probes.hub.exposition import exposition
from probes.hub.health import health, presence_reports
from probes.hub.metrics import METRICS
from probes.hub.presence import GRACE_NS, Presence, Roll
from probes.hub.talk import HubSite, senders_of
from probes.hub.waits import Waits, quantile_ns
from probes.report import fault_of

SECOND = 1_000_000_000


def totals(**changes: object) -> Totals:
    fields: dict[str, object] = {
        "answered": 0,
        "refused": {"stranger": 0, "replay": 0},
        "sessions": 0,
        "drops": 0,
        "workers": 1,
        "restarts": 0,
        "silent": [],
        "cpu_s": 0.0,
    }
    return Totals(**{**fields, **changes})  # type: ignore[arg-type]


# --- waits ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 10**11), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_at_most_an_eighth_above_the_true_one(waits_ns: list[int], share: float) -> None:
    waits = Waits()
    for wait_ns in waits_ns:
        waits.add(wait_ns)
    truth = sorted(waits_ns)[math.ceil(share * len(waits_ns)) - 1]
    told = quantile_ns(waits.take(), share)
    assert told is not None
    assert truth <= told <= truth * 1.125 + 1


def test_waits_of_several_workers_are_one_and_are_told_once() -> None:
    waits = Waits()
    waits.merge({8: 99})
    waits.merge({8: 1, 100: 1})
    assert waits.take() == {8: 100, 100: 1}
    assert quantile_ns(waits.take(), 0.99) is None


def test_a_step_of_the_wall_clock_is_no_wait() -> None:
    waits = Waits()
    waits.add(-5)
    assert waits.take() == {}


# --- presence -------------------------------------------------------------------------------------------------------


def test_a_site_comes_once_and_falls_silent_once_after_3_seconds() -> None:
    presence = Presence()
    assert presence.update({"a": SECOND}, 2 * SECOND) == ({"a"}, set())
    assert presence.update({"a": SECOND}, 3 * SECOND) == (set(), set())
    assert presence.update({"a": SECOND}, 4 * SECOND) == (set(), {"a"})
    assert presence.update({"a": SECOND}, 9 * SECOND) == (set(), set())
    assert presence.update({"a": 9 * SECOND}, 9 * SECOND) == ({"a"}, set())


def test_a_site_whose_session_was_forgotten_falls_silent_too() -> None:
    presence = Presence()
    presence.update({"a": SECOND}, SECOND)
    assert presence.update({}, 2 * SECOND) == (set(), {"a"})


def test_a_site_is_silent_only_when_no_worker_hears_it() -> None:
    roll = Roll()
    assert roll.came(0, ["a"]) == ["a"]
    assert roll.came(1, ["a"]) == []
    assert roll.went(0, ["a"]) == []
    assert roll.silent() == []
    assert roll.went(1, ["a"]) == ["a"]
    assert roll.silent() == ["a"]
    assert roll.came(1, ["a"]) == ["a"]
    assert roll.silent() == []


def test_the_death_of_a_worker_accuses_no_site_that_the_next_one_hears() -> None:
    roll = Roll()
    roll.came(0, ["a", "b"])
    roll.died(0, SECOND)
    assert roll.came(0, ["a"]) == []
    assert roll.overdue(SECOND + GRACE_NS - 1) == []
    assert roll.overdue(SECOND + GRACE_NS) == ["b"]
    assert roll.silent() == ["b"]


def test_a_site_that_two_workers_heard_is_not_touched_by_the_death_of_one() -> None:
    roll = Roll()
    roll.came(0, ["a"])
    roll.came(1, ["a"])
    roll.died(0, SECOND)
    assert roll.overdue(100 * SECOND) == []
    assert roll.went(1, ["a"]) == ["a"]


# --- reports --------------------------------------------------------------------------------------------------------


def test_a_health_report_counts_since_the_one_before() -> None:
    before = totals(answered=100, refused={"stranger": 5, "replay": 1}, drops=7, restarts=1)
    now = totals(answered=350, refused={"stranger": 9, "replay": 1}, drops=7, restarts=2, sessions=114)
    values = health(before, now, {}, {})
    assert values == {
        "sessions": 114,
        "answered_packets": 250,
        "refused_packets": 4,
        "worker_restarts": 1,
        "drops_packets": 0,
    }


def test_what_the_kernel_does_not_tell_is_absent() -> None:
    assert "drops_packets" not in health(totals(drops=None), totals(drops=None), {}, {})


def test_every_value_of_a_hub_report_is_declared() -> None:
    declared = {metric.name for metric in METRICS}
    assert set(health(totals(), totals(), {8: 1}, {8: 1})) | {"session_silent"} <= declared


def test_presence_is_told_site_by_site_on_the_wire() -> None:
    reports = presence_reports(["31-11329", "31-11330"], True, 1_795_468_790_123)
    assert [(each.site, each.values) for each in reports] == [
        ("31-11329", {"session_silent": 1.0}),
        ("31-11330", {"session_silent": 1.0}),
    ]
    assert all(fault_of(msgspec.structs.replace(each, boot="9f", seq=1)) is None for each in reports)


# --- /metrics -------------------------------------------------------------------------------------------------------

SAMPLE = re.compile(r'diemcau_hub_[a-z0-9_]+(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"\})? [-+0-9.e]+')


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(0, 2**60))
def test_every_line_of_the_exposition_is_well_formed_whatever_the_names(sites: list[str], count: int) -> None:
    text = exposition(totals(silent=sites, answered=count), "listed", 0.001, None)
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        assert line.startswith(("# HELP ", "# TYPE ")) or SAMPLE.fullmatch(line), line


def test_a_name_is_escaped_as_the_format_asks() -> None:
    text = exposition(totals(silent=['a"b\\c\nd']), "listed", None, None)
    assert 'diemcau_hub_silent{site="a\\"b\\\\c\\nd"} 1\n' in text


def test_a_family_without_a_sample_is_not_there() -> None:
    text = exposition(totals(drops=None), "open", None, None)
    assert "drops" not in text
    assert "wait_p99" not in text
    assert 'diemcau_hub_info{mode="open"} 1' in text


# --- the list of sites ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "site",
    [
        HubSite("a", 70000, "00" * 16),
        HubSite("a", 7, "not hex"),
        HubSite("a", sources=["300.0.0.0/8"]),
    ],
)
def test_a_site_that_cannot_be_read_is_named_and_its_neighbours_are_kept(site: HubSite) -> None:
    senders, faults = senders_of([site, HubSite("b", 8, "00" * 16, ["203.0.113.9"])])
    assert [each.site for each in senders] == ["b"]
    assert len(faults) == 1
    assert "'a'" in faults[0]
