"""What the centre says of a router: down is a figure, no way there is a failure, and TWAMP is believed before ICMP."""

from __future__ import annotations

import errno

import pytest

from probes.asker import Tally
from probes.reach.measure import Router, figures, router_of

ROUTER = Router("31-11329", "10.1.2.1", 862)


def tally(sent: int, *rtt_ms: float) -> Tally:
    made = Tally()
    made.sent = sent
    made.rtt_ns = [int(each * 1e6) for each in rtt_ms]
    return made


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.1.2.1", "10.1.2.1", None),
        ("10.1.2.1:862", "10.1.2.1", 862),
        ("router.example:20000", "router.example", 20000),
        ("2001:db8::1", "2001:db8::1", None),
        ("[2001:db8::1]:862", "2001:db8::1", 862),
    ],
)
def test_a_router_is_read_as_written(text: str, host: str, port: int | None) -> None:
    assert router_of("s", text) == Router("s", host, port)


@pytest.mark.parametrize("text", ["10.1.2.1:x", ":862", "10.1.2.1:0", "10.1.2.1:65536", "[]:862"])
def test_a_router_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="site s is not HOST"):
        router_of("s", text)


def test_a_router_that_answers_is_up() -> None:
    values, labels, failure = figures(ROUTER, tally(10, 3, 4, 5), None)
    assert values == {"up": 1, "sent_packets": 10, "lost_packets": 7, "loss_ratio": 0.7, "rtt_p50_ms": 4}
    assert (labels, failure) == ({"by": "icmp"}, None)


def test_a_router_that_is_silent_is_down_and_that_is_no_failure() -> None:
    values, _, failure = figures(ROUTER, tally(10), tally(10))
    assert (values["up"], values["loss_ratio"], failure) == (0, 1, None)
    assert "rtt_p50_ms" not in values


def test_twamp_is_believed_where_it_answers() -> None:
    values, labels, _ = figures(ROUTER, tally(10, 9), tally(10, 2, 2))
    assert (values["rtt_p50_ms"], values["lost_packets"], labels["by"]) == (2, 8, "twamp")


def test_icmp_stands_in_for_a_twamp_port_that_is_silent() -> None:
    values, labels, _ = figures(ROUTER, tally(10, 9), tally(10))
    assert (values["rtt_p50_ms"], labels) == (9, {"by": "icmp", "twamp": "silent"})


def test_no_way_there_is_a_failure_and_not_down() -> None:
    nothing = tally(0)
    nothing.unsent_errno = errno.ENETUNREACH
    values, _, failure = figures(ROUTER, nothing, None)
    assert values == {}
    assert failure is not None
    assert failure.code == "no_route"


def test_answers_we_had_no_room_for_are_not_the_routers_loss() -> None:
    busy = tally(10, 3)
    busy.blurred = True
    values, labels, _ = figures(ROUTER, busy, None)
    assert values == {"up": 1}
    assert labels["own_drops"] == "yes"
