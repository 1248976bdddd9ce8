"""The judge of the exactly-once run can say no: each kind of fault, put there by hand, is found."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec

from tests.bench.exactly_once.compare import Held, Verdict, judge
from tests.bench.exactly_once.reports import make
from tests.bench.exactly_once.truth import Ledger, Truth, read

BOOT = "9f3c20aa"
NUMBERS = ("d.0", "d.1", "d.2")


def truth_of_three() -> Truth:
    return Truth(
        safe={(BOOT, seq): number for seq, number in enumerate(NUMBERS, 1)}, acknowledged={(BOOT, 1), (BOOT, 2)}
    )


def held_all_three() -> Held:
    reports = {
        (BOOT, seq): make(number, 1_800_000_000_000, Random(seq), False) for seq, number in enumerate(NUMBERS, 1)
    }
    return Held(reports, ranges={BOOT: ({1, 2, 3}, set())})


def judged(truth: Truth, held: Held, last: int = 3) -> Verdict:
    return judge(truth, held, (BOOT, last))


def test_three_made_and_three_held_is_no_fault() -> None:
    assert judged(truth_of_three(), held_all_three()).faults() == {}


def test_a_report_that_is_not_there_is_missing_and_its_sequence_open() -> None:
    held = held_all_three()
    del held.reports[BOOT, 3]
    held.ranges[BOOT] = {1, 2}, set()
    assert judged(truth_of_three(), held).faults() == {"missing": 1, "open sequences": 1}


def test_what_was_acknowledged_may_not_even_be_gone() -> None:
    held = held_all_three()
    del held.reports[BOOT, 2], held.reports[BOOT, 3]
    held.gone = [(BOOT, 2, 3, "thinned")]
    held.ranges[BOOT] = {1}, {2, 3}
    verdict = judged(truth_of_three(), held)
    assert verdict.faults() == {"acknowledged but missing": 1}
    assert verdict.gone == {"thinned": 2}


def test_one_report_under_two_identities_is_there_twice() -> None:
    held = held_all_three()
    held.reports[BOOT, 4] = held.reports[BOOT, 3]
    held.ranges[BOOT] = {1, 2, 3, 4}, set()
    assert judged(truth_of_three(), held, last=4).faults() == {"twice": 1}


def test_a_figure_that_changed_on_the_way_is_found() -> None:
    held = held_all_three()
    report = held.reports[BOOT, 1]
    name = next(iter(report.values))
    changed = {**report.values, name: report.values[name] + 0.001}
    held.reports[BOOT, 1] = msgspec.structs.replace(report, values=changed)
    assert judged(truth_of_three(), held).faults() == {"altered": 1}


def test_two_reports_that_changed_places_are_found() -> None:
    held = held_all_three()
    held.reports[BOOT, 1], held.reports[BOOT, 2] = held.reports[BOOT, 2], held.reports[BOOT, 1]
    assert judged(truth_of_three(), held).faults() == {"altered": 2}


def test_a_sequence_given_but_never_seen_by_anybody_is_open() -> None:
    assert judged(truth_of_three(), held_all_three(), last=5).faults() == {"open sequences": 2}


def test_ranges_that_are_not_those_of_the_rows_are_found() -> None:
    held = held_all_three()
    held.ranges[BOOT] = {1, 2}, set()
    assert judged(truth_of_three(), held).faults() == {"ranges that disagree with the reports": 1}


def test_what_memory_held_when_it_was_killed_is_told() -> None:
    truth = truth_of_three()
    truth.in_memory["aa", 1] = "d.9"
    assert judged(truth, held_all_three()).faults() == {"open sequences": 1, "lost in memory": 1}


def test_a_line_that_a_kill_cut_short_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "ledger"
    Ledger(file).write("S", [(BOOT, 1, "d.0")])
    with file.open("a") as cut:
        cut.write(f"S {BOOT}")
    Ledger(file).write("A", [(BOOT, 1)])
    truth = read(file)
    assert (truth.safe, truth.acknowledged, truth.cut_lines) == ({(BOOT, 1): "d.0"}, {(BOOT, 1)}, 1)
