"""A trace as labels: within the wire's bounds whatever the path, and alike while the path is alike."""

from __future__ import annotations

import pytest

from probes.link.trace import Hop, Trace, fingerprint, is_other_path, labels_of
from probes.report import MAX_LABEL_CHARS


def found(*names: str | None, reached: bool = True) -> Trace:
    return Trace(tuple(Hop(ttl, name) for ttl, name in enumerate(names, 1)), reached)


@pytest.mark.parametrize("count", [0, 1, 8, 30])
@pytest.mark.parametrize("name", ["203.113.131.{}", "2001:0db8:1234:5678:9abc:def0:1234:{:04d}"])
def test_thirty_hops_fit_into_eight_labels(name: str, count: int) -> None:
    labels = labels_of(found(*(name.format(number) for number in range(count))))
    hops = [text for label, text in labels.items() if label.startswith("hops_")]
    assert len(hops) <= 8
    assert all(0 < len(text) <= MAX_LABEL_CHARS for text in labels.values())


def test_four_routers_of_ipv4_share_a_label() -> None:
    assert labels_of(found("10.0.0.1", None, "10.0.1.1"))["hops_1"] == "10.0.0.1 * 10.0.1.1"


def test_a_trace_that_does_not_arrive_says_so() -> None:
    assert labels_of(found("10.0.0.1", reached=False))["trace"] == "hub_not_reached"
    assert "trace" not in labels_of(found("10.0.0.1"))


def test_another_router_is_another_path() -> None:
    one, other = found("10.0.0.1", "10.0.1.1"), found("10.0.0.1", "10.0.2.1")
    assert fingerprint(one) != fingerprint(other)
    assert is_other_path(one.names, other.names)
    assert is_other_path(one.names, found("10.0.0.1").names)


def test_a_router_that_keeps_silent_once_is_no_other_path() -> None:
    assert not is_other_path(found("10.0.0.1", None).names, found("10.0.0.1", "10.0.1.1").names)
