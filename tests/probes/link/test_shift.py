"""A path is looked at again when it has moved, once, and not for every slow report."""

from __future__ import annotations

from probes.link.shift import PathWatch


def told(*reports: dict[str, float]) -> list[bool]:
    watch = PathWatch()
    return [watch.has_shifted(each) for each in reports]


def test_a_ttl_that_moves_is_told_once() -> None:
    old, new = {"ttl_up": 61, "ttl_down": 60}, {"ttl_up": 61, "ttl_down": 58}
    assert told(old, old, new, new, old) == [False, False, True, False, True]


def test_a_ttl_not_seen_is_no_move() -> None:
    assert told({"ttl_up": 61}, {}, {"ttl_up": 61}) == [False] * 3


def test_a_delay_that_moves_and_stays_is_told_once() -> None:
    rtts = [10, 10.5, 25, 25, 25, 25, 25]
    assert told(*({"rtt_min_ms": each} for each in rtts)) == [False] * 4 + [True, False, False]


def test_a_slow_report_or_two_is_no_other_path() -> None:
    rtts = [10, 40, 40, 10, 40, 40, 10]
    assert not any(told(*({"rtt_min_ms": each} for each in rtts)))


def test_a_delay_near_zero_has_room_to_wobble() -> None:
    assert not any(told(*({"rtt_min_ms": each} for each in (0.2, 1.9, 1.9, 1.9, 1.9))))


def test_a_shorter_path_is_another_path_too() -> None:
    assert told(*({"rtt_min_ms": each} for each in (40, 12, 12, 12)))[-1]
