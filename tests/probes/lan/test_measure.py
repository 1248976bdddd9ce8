"""The first hop's figures: a silent router is no loss, and what is not known is absent."""

from __future__ import annotations

import pytest

from probes.asker import Tally
from probes.lan.measure import (
    Gateway,
    Nic,
    Window,
    duplex_of,
    failure_of,
    figures,
    has_changed,
    is_up,
    signals_of,
    speed_of,
)
from probes.lan.netlink import State

ROUTER = Gateway("192.168.1.1", "eth0", "02:00:00:00:00:01")
CABLE = Nic("eth0", has_carrier=True, speed_mbps=1000, full_duplex=True, errors=5, carrier_losses=1)


def tally(sent: int, *rtt_ms: float) -> Tally:
    made = Tally()
    made.sent = sent
    made.rtt_ns = [int(each * 1e6) for each in rtt_ms]
    return made


def window(**what: object) -> Window:
    return Window(0, 0, **{"gateway": ROUTER, "before": CABLE, "after": CABLE, **what})  # type: ignore[arg-type]


def test_a_router_that_answers_has_delay_and_loss() -> None:
    values, labels = figures(window(tally=tally(10, 0.5, 0.7, 0.6)), ROUTER, has_answered=True)
    assert values["gateway_rtt_p50_ms"] == pytest.approx(0.6)
    assert (values["gateway_sent_packets"], values["gateway_lost_packets"]) == (10, 7)
    assert values["gateway_loss_ratio"] == pytest.approx(0.7)
    assert labels["gateway_seen_by"] == "icmp"


def test_a_router_that_never_answered_loses_nothing() -> None:
    values, labels = figures(window(tally=tally(10), states=[State.STALE, State.REACHABLE]), ROUTER, has_answered=False)
    assert {name: value for name, value in values.items() if name.startswith("gateway")} == {
        "gateway_up": 1,
        "gateway_changed": 0,
    }
    assert (labels["gateway_silent"], labels["gateway_seen_by"]) == ("yes", "arp")


def test_a_router_that_answered_before_and_is_silent_now_loses_all() -> None:
    values, labels = figures(window(tally=tally(10), states=[State.FAILED]), ROUTER, has_answered=True)
    assert values["gateway_loss_ratio"] == 1
    assert values["gateway_up"] == 0
    assert "gateway_silent" not in labels


def test_answers_we_had_no_room_for_are_not_the_routers_loss() -> None:
    busy = tally(10, 0.5)
    busy.blurred = True
    values, labels = figures(window(tally=busy), ROUTER, has_answered=True)
    assert "gateway_loss_ratio" not in values
    assert labels["own_drops"] == "yes"


@pytest.mark.parametrize(
    ("states", "up"),
    [
        ([], None),
        ([State.STALE, State.DELAY, State.PROBE], None),
        ([State.NOARP], None),
        ([State.STALE, State.REACHABLE], True),
        ([State.PERMANENT], True),
        ([State.PROBE, State.FAILED], False),
        ([State.INCOMPLETE], False),
        ([State.FAILED, State.REACHABLE], True),
    ],
)
def test_the_neighbour_table_says_yes_no_or_nothing(states: list[State], up: bool | None) -> None:
    assert is_up(states) is up


def test_errors_are_those_of_this_run() -> None:
    values, _ = figures(window(after=CABLE._replace(errors=12, carrier_losses=2)), ROUTER, has_answered=False)
    assert (values["nic_errors"], values["nic_carrier_losses_count"]) == (7, 1)


def test_a_counter_that_began_anew_says_nothing() -> None:
    values, _ = figures(window(after=CABLE._replace(errors=2)), ROUTER, has_answered=False)
    assert "nic_errors" not in values


def test_counters_of_two_ports_are_not_compared() -> None:
    values, _ = figures(window(after=CABLE._replace(interface="eth1", errors=900)), ROUTER, has_answered=False)
    assert "nic_errors" not in values


def test_what_the_port_does_not_say_is_absent() -> None:
    values, _ = figures(window(before=None, after=Nic("wlan0", is_wifi=True)), ROUTER, has_answered=False)
    assert values == {"gateway_changed": 0, "wifi": 1}


def test_a_line_that_needs_no_router_says_so() -> None:
    values, labels = figures(window(gateway=None, on_link=True), None, has_answered=False)
    assert labels["gateway"] == "none_needed"
    assert not [name for name in values if name.startswith("gateway")]


def test_the_first_run_does_not_know_whether_the_router_changed() -> None:
    values, _ = figures(window(), None, has_answered=False)
    assert "gateway_changed" not in values


def test_another_box_behind_the_same_address_is_a_change() -> None:
    other = ROUTER._replace(mac="02:00:00:00:00:02")
    assert has_changed(ROUTER, other)
    assert has_changed(ROUTER, ROUTER._replace(address="192.168.1.254"))
    values, labels = figures(window(gateway=other), ROUTER, has_answered=False)
    assert values["gateway_changed"] == 1
    assert labels["gateway_was"] == "192.168.1.1 02:00:00:00:00:01"


def test_a_hardware_address_not_known_is_no_change() -> None:
    assert not has_changed(ROUTER, ROUTER._replace(mac=None))
    assert not has_changed(ROUTER._replace(mac=None), ROUTER)


def test_a_port_without_carrier_is_an_unplugged_cable() -> None:
    failure = failure_of(window(after=CABLE._replace(has_carrier=False)), [])
    assert failure is not None
    assert failure.code == "cable_unplugged"
    assert "eth0" in failure.text


def test_no_route_is_no_router_while_a_cable_is_in() -> None:
    nothing = window(gateway=None, before=None, after=None)
    live, dead = CABLE, CABLE._replace(interface="eth1", has_carrier=False)
    for ports, code in (([live, dead], "no_gateway"), ([dead], "cable_unplugged"), ([], "no_gateway")):
        failure = failure_of(nothing, ports)
        assert failure is not None
        assert failure.code == code


def test_a_router_nobody_can_see_is_silent_and_not_down() -> None:
    failure = failure_of(window(tally=tally(10), states=[State.STALE]), [])
    assert failure is not None
    assert failure.code == "gateway_silent"
    assert failure_of(window(tally=tally(10), states=[State.REACHABLE]), []) is None


@pytest.mark.parametrize(("text", "speed"), [("1000\n", 1000), ("-1\n", None), (None, None), ("", None)])
def test_a_port_without_speed_has_none(text: str | None, speed: int | None) -> None:
    assert speed_of(text) == speed


@pytest.mark.parametrize(("text", "full"), [("full\n", True), ("half\n", False), ("unknown\n", None), (None, None)])
def test_a_duplex_not_known_is_absent(text: str | None, full: bool | None) -> None:
    assert duplex_of(text) is full


def test_the_wireless_table_gives_dbm_where_it_is_dbm() -> None:
    text = (
        "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
        " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
        " wlan0: 0000   58.  -52.  -256        0      0      0      0      0        0\n"
        "  wlx1: 0000   70.   40.     0        0      0      0      0      0        0\n"
    )
    assert signals_of(text) == {"wlan0": -52.0}
    assert signals_of(None) == {}
