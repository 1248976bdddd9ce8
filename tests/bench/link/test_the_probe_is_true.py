"""A short piece of the benchmark that every full test run takes: what the probe counts is what the link did."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bench.link.extras import re_marking
from tests.bench.link.links import LINKS
from tests.bench.link.measure import over_our_link
from tests.world.needs import NEEDS_WORLD

pytestmark = [*NEEDS_WORLD, pytest.mark.slow]

CHOSEN = ("5 % loss down", "bursts", "reordering", "duplicates with loss", "everything", "everything, IPv6")


def test_lost_doubled_and_reordered_are_counted_exactly_on_each_way() -> None:
    cases = [case for case in LINKS if case.name in CHOSEN]
    assert len(cases) == len(CHOSEN)
    with ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda case: over_our_link(case, "test", 30, with_peers=False), cases))
    assert {run.link: run.wrong_counts for run in runs} == {case.name: [] for case in cases}
    assert all(run.counts.sent > 250 for run in runs)
    assert all(run.emulator is not None and run.emulator[:3] == (0, 0, 0) for run in runs)


def test_a_changed_mark_is_told_of_the_way_it_was_changed_on() -> None:
    assert [one for one in re_marking() if not one.right] == []
