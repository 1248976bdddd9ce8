"""The reflector's core: what it answers, what it refuses, and that no table or key of others can be turned on it."""

from __future__ import annotations

from ipaddress import ip_network
from socket import AF_INET, AF_INET6, inet_pton

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.link.admit import Sender, Senders
from probes.link.packet import (
    AUTH_BYTES,
    MAX_PACKET_BYTES,
    OPEN_BYTES,
    ClassOfService,
    Reply,
    Request,
    Tlv,
    TlvFlag,
    TlvType,
    class_of_service_value,
    decode_reply,
    encode_reply,
    encode_request,
    ntp_from_unix_ns,
)
from probes.link.reflect import REFLECTOR_PORTS, REFUSED, SESSIONS_PER_SENDER, Reflector

SECOND = 1_000_000_000
WALL_NS = 1_800_000_000 * SECOND
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
AGENT = "10.1.0.7"
SEALED = Senders([Sender("31-11329", 700, KEY), Sender("31-11330", 701, OTHER_KEY)])
LISTED = Senders([Sender("31-11329", sources=(ip_network("203.0.113.0/24"), ip_network("2001:db8:7::/48")))])


def source(address: str = AGENT, port: int = 40000) -> bytes:
    """Port and address as a socket address has them."""
    if ":" in address:
        return port.to_bytes(2) + bytes(4) + inet_pton(AF_INET6, address) + bytes(4)
    return port.to_bytes(2) + inet_pton(AF_INET, address)


class Far:
    """A reflector with a clock moved by hand, and its last answer."""

    def __init__(self, senders: Senders, **bounds: float) -> None:
        self.reflector = Reflector(senders, frozenset((8620,)), **bounds)  # type: ignore[arg-type]
        self.now_ns = 5 * SECOND
        self.tos = 0

    def ask(self, packet: bytes, where: bytes | None = None, ttl: int = 61, tos: int = 0) -> bytes | None:
        """The answer, or None."""
        request, reply = bytearray(MAX_PACKET_BYTES), bytearray(b"\xee" * MAX_PACKET_BYTES)
        request[: len(packet)] = packet
        t2, t3 = self.ntp(), self.ntp() + 4000
        self.tos = self.reflector.answer(reply, request, len(packet), where or source(), ttl, tos, t2, t3, self.now_ns)
        return None if self.tos == REFUSED else bytes(reply[: max(len(packet), OPEN_BYTES)])

    def ntp(self, ago_s: float = 0) -> int:
        return ntp_from_unix_ns(WALL_NS + self.now_ns - int(ago_s * 1e9))

    def send(self, seq: int, ssid: int = 700, key: bytes | None = None, where: bytes | None = None) -> Reply | None:
        """One packet of a sender whose clock agrees with ours; the answer read back."""
        self.now_ns += 20_000_000
        answer = self.ask(bytes(encode_request(Request(seq, self.ntp(0.01), 1, ssid), key)), where)
        return None if answer is None else decode_reply(answer, key)

    def refused(self) -> dict[str, int]:
        return {reason: count for reason, count in self.reflector.refused.items() if count}


def near(**bounds: float) -> Far:
    return Far(Senders(near=True), **bounds)


# --- what an answer says --------------------------------------------------------------------------------------------


def test_an_answer_carries_both_stamps_the_sequence_and_the_ttl_of_what_came() -> None:
    far = near()
    answer = far.ask(bytes(encode_request(Request(9, far.ntp(0.02), 0x8101, 77))))
    assert answer is not None
    assert decode_reply(answer) == Reply(0, far.ntp() + 4000, 1, 77, far.ntp(), 9, far.ntp(0.02), 0x8101, 61)


def test_an_authenticated_answer_is_sealed_with_the_senders_own_key() -> None:
    far = Far(SEALED)
    answer = far.send(3, 701, OTHER_KEY)
    assert answer is not None
    assert (answer.ssid, answer.sender_seq, answer.ttl) == (701, 3, 61)


def test_the_reflector_says_how_well_its_clock_is_known() -> None:
    far = near()
    far.reflector.error_estimate = 0x8A20
    answer = far.send(0)
    assert answer is not None
    assert answer.error == 0x8A20


def test_an_answer_keeps_the_dscp_it_was_asked_with_and_drops_the_ecn_bits() -> None:
    far = near()
    far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 77))), tos=46 << 2 | 3)
    assert far.tos == 46 << 2


def test_a_class_of_service_tlv_chooses_the_dscp_back_and_is_told_what_arrived() -> None:
    far = near()
    asked = Tlv(TlvType.CLASS_OF_SERVICE, class_of_service_value(ClassOfService(34)))
    answer = far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 77, (asked,)))), tos=46 << 2 | 1)
    assert answer is not None
    assert far.tos == 34 << 2
    told = Tlv(TlvType.CLASS_OF_SERVICE, class_of_service_value(ClassOfService(34, 46, 1)), TlvFlag(0))
    assert decode_reply(answer).tlvs == (told,)


def test_padding_comes_back_as_it_was_and_the_unknown_is_marked_so() -> None:
    far = near()
    sent = (Tlv(200, b"abcd"), Tlv(TlvType.EXTRA_PADDING, b"\x5a" * 1000))
    answer = far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 77, sent))))
    assert answer is not None
    unknown, padding = decode_reply(answer).tlvs
    assert (unknown.value, unknown.flags) == (b"abcd", TlvFlag.UNRECOGNISED)
    assert (padding.value, padding.flags) == (b"\x5a" * 1000, TlvFlag(0))


def test_a_tlv_that_runs_past_the_end_is_marked_malformed() -> None:
    far = near()
    answer = far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 77))) + b"\x80\x01\x00\x40abcd")
    assert answer is not None
    assert answer[OPEN_BYTES] & TlvFlag.MALFORMED


def test_extensions_that_were_tampered_with_are_marked_but_the_sealed_base_is_answered() -> None:
    far = Far(SEALED)
    asked = Tlv(TlvType.CLASS_OF_SERVICE, class_of_service_value(ClassOfService(34)))
    packet = encode_request(Request(1, far.ntp(), 1, 700, (asked,)), KEY)
    packet[AUTH_BYTES + 4] ^= 0x10
    answer = far.ask(bytes(packet), tos=46 << 2)
    assert answer is not None
    assert far.tos == 46 << 2
    assert all(tlv.flags & TlvFlag.INTEGRITY_FAILED for tlv in decode_reply(answer, KEY).tlvs)


@given(st.binary(max_size=1600))
def test_no_octets_make_it_stumble_or_answer_longer_than_it_was_asked(packet: bytes) -> None:
    far = Far(Senders(SEALED.known, near=True))
    answer = far.ask(packet)
    assert answer is None or len(answer) == len(packet)
    assert far.reflector.answered + sum(far.reflector.refused.values()) == 1


@given(st.integers(OPEN_BYTES, 1500), st.data())
def test_any_extensions_are_answered_in_kind_and_size(size: int, data: st.DataObject) -> None:
    far = near()
    head = bytes(encode_request(Request(1, far.ntp(), 1, 77)))
    packet = head + data.draw(st.binary(min_size=size - OPEN_BYTES, max_size=size - OPEN_BYTES))
    answer = far.ask(packet)
    assert answer is not None
    assert len(answer) == size


# --- sessions -------------------------------------------------------------------------------------------------------


def test_each_session_counts_what_it_answers_from_nought() -> None:
    far = near()
    one, other = source(port=40000), source(port=40001)
    answers = [far.send(seq, where=where) for seq in (5, 7, 8) for where in (one, other)]
    assert [answer.seq for answer in answers if answer] == [0, 0, 1, 1, 2, 2]


def test_a_sender_that_begins_anew_from_the_same_port_is_counted_anew() -> None:
    far = near()
    assert [far.send(seq).seq for seq in (0, 1, 2, 0, 1)] == [0, 1, 2, 0, 1]  # type: ignore[union-attr]


def test_a_new_ssid_is_a_new_session() -> None:
    far = near()
    assert [far.send(seq, ssid).seq for seq, ssid in ((4, 7), (5, 7), (6, 8))] == [0, 1, 0]  # type: ignore[union-attr]


def test_a_session_not_heard_for_30_seconds_is_counted_anew() -> None:
    far = near()
    far.send(4)
    far.now_ns += 29 * SECOND
    assert far.send(5).seq == 1  # type: ignore[union-attr]
    far.now_ns += 31 * SECOND
    assert far.send(6).seq == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("senders", [Senders(near=True), SEALED], ids=["open", "sealed"])
def test_a_first_packet_that_comes_late_or_twice_does_not_reset_the_count(senders: Senders) -> None:
    far, key = Far(senders), KEY if senders is SEALED else None
    first = bytes(encode_request(Request(0, far.ntp(), 1, 700), key))
    assert far.send(1, key=key).seq == 0  # type: ignore[union-attr]
    late = far.ask(first)
    assert late is not None
    assert decode_reply(late, key).seq == 1
    far.ask(first)
    assert far.send(2, key=key).seq == (3 if key is None else 2)  # type: ignore[union-attr]


def test_two_authenticated_sites_share_nothing() -> None:
    far = Far(SEALED)
    assert far.send(0, 700, KEY, source(port=5000)).seq == 0  # type: ignore[union-attr]
    assert far.send(1, 700, KEY, source(port=5000)).seq == 1  # type: ignore[union-attr]
    assert far.send(0, 701, OTHER_KEY, source(port=5001)).seq == 0  # type: ignore[union-attr]


# --- whom it answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "answered"),
    [
        ("127.0.0.1", True),
        ("10.255.0.1", True),
        ("172.31.255.255", True),
        ("192.168.1.1", True),
        ("169.254.3.3", True),
        ("::1", True),
        ("fd12::1", True),
        ("fe80::1", True),
        ("172.32.0.1", False),
        ("100.64.0.1", False),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
    ],
)
def test_open_mode_answers_loopback_and_private_sources_only(address: str, answered: bool) -> None:
    far = near()
    assert (far.send(0, where=source(address)) is not None) is answered
    assert far.refused() == ({} if answered else {"stranger": 1})


@pytest.mark.parametrize(("address", "answered"), [("203.0.113.9", True), ("203.0.114.9", False)])
def test_without_a_key_only_listed_sources_are_answered(address: str, answered: bool) -> None:
    far = Far(LISTED)
    assert (far.send(0, where=source(address)) is not None) is answered


def test_listed_ipv6_networks_are_answered_too() -> None:
    far = Far(LISTED)
    assert far.send(0, where=source("2001:db8:7:1::9"))
    assert far.send(0, where=source("2001:db8:8::9")) is None


def test_the_longest_listed_network_names_the_site() -> None:
    senders = Senders(
        [Sender("all", sources=(ip_network("10.0.0.0/8"),)), Sender("one", sources=(ip_network("10.1.0.0/16"),))]
    )
    found = senders.listed(inet_pton(AF_INET, "10.1.2.3"))
    assert found is not None
    assert found.site == "one"


@pytest.mark.parametrize("key", [OTHER_KEY, bytes(32)])
def test_a_wrong_key_gets_silence(key: bytes) -> None:
    far = Far(SEALED)
    assert far.send(0, 700, key) is None
    assert far.refused() == {"bad_hmac": 1}


def test_an_unknown_ssid_gets_silence_whatever_its_key() -> None:
    far = Far(SEALED)
    assert far.send(0, 999, KEY) is None
    assert far.refused() == {"stranger": 1}


def test_one_flipped_bit_anywhere_under_the_hmac_gets_silence() -> None:
    far = Far(SEALED)
    far.send(0, 700, KEY)
    for octet in (0, 17, 24, 60, 95, 96, 111):
        packet = encode_request(Request(1, far.ntp(), 1, 700), KEY)
        packet[octet] ^= 1
        assert far.ask(bytes(packet)) is None
    assert far.reflector.answered == 1


def test_a_stranger_with_a_known_ssid_but_no_key_is_not_answered_in_the_open_format() -> None:
    far = Far(SEALED)
    assert far.send(0, 700) is None
    assert far.refused() == {"stranger": 1}


# --- amplification --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(OPEN_BYTES))
def test_a_short_request_of_a_stranger_gets_silence(size: int) -> None:
    far = near()
    assert far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 77)))[:size]) is None
    assert far.refused() == {"too_short": 1}


@pytest.mark.parametrize("size", [14, 27, 41])
def test_a_listed_twamp_light_router_is_answered_even_when_short(size: int) -> None:
    far = Far(LISTED)
    answer = far.ask(bytes(encode_request(Request(1, far.ntp(), 1)))[:size], source("203.0.113.9"))
    assert answer is not None
    assert decode_reply(answer).sender_seq == 1
    assert len(answer) == OPEN_BYTES


def test_octets_of_an_older_packet_do_not_leak_into_the_answer_to_a_short_one() -> None:
    far = Far(LISTED)
    request, reply = bytearray(b"\xaa" * MAX_PACKET_BYTES), bytearray(MAX_PACKET_BYTES)
    request[:14] = encode_request(Request(1, far.ntp(), 1))[:14]
    where = source("203.0.113.9")
    assert far.reflector.answer(reply, request, 14, where, 64, 0, far.ntp(), far.ntp(), far.now_ns) == 0
    assert b"\xaa" not in reply[:OPEN_BYTES]


# --- loops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", sorted(REFLECTOR_PORTS | {8620}))
def test_a_port_that_answers_by_itself_is_never_answered(port: int) -> None:
    far = Far(Senders(SEALED.known, near=True))
    assert far.send(0, where=source(port=port)) is None
    assert far.send(0, 700, KEY, source(port=port)) is None
    assert far.refused() == {"reflector_port": 2}


@pytest.mark.parametrize("key", [None, KEY], ids=["open", "sealed"])
def test_an_answer_is_never_answered_so_no_packet_runs_between_two_reflectors(key: bytes | None) -> None:
    one, other = (Far(Senders(SEALED.known, near=True)) for _ in range(2))
    packet: bytes | None = bytes(encode_request(Request(0, one.ntp(), 1, 700), key))
    hops = 0
    while packet is not None and hops < 10:
        packet = (one, other)[hops % 2].ask(packet, source("10.1.0.8", 5555))
        hops += 1
    assert hops == 2
    assert other.refused() == {"answer": 1}


def test_an_answer_of_any_reflector_we_know_of_is_recognised() -> None:
    far = near()
    for ttl, ssid in ((64, 77), (0, 0)):
        answer = encode_reply(Reply(4, far.ntp(), 1, ssid, far.ntp(0.01), 4, far.ntp(0.02), 1, ttl))
        assert far.ask(bytes(answer)) is None
    assert far.refused() == {"answer": 2}


# --- replays --------------------------------------------------------------------------------------------------------


def test_a_recorded_packet_is_not_answered_again() -> None:
    far = Far(SEALED)
    recorded = bytes(encode_request(Request(4, far.ntp(), 1, 700), KEY))
    assert far.ask(recorded)
    assert far.ask(recorded) is None
    assert far.refused() == {"replay": 1}


def test_a_recorded_first_packet_does_not_open_the_window_again() -> None:
    far = Far(SEALED)
    recorded = [bytes(encode_request(Request(seq, far.ntp(10 - seq), 1, 700), KEY)) for seq in range(5)]
    assert all(far.ask(packet) for packet in recorded)
    assert not any(far.ask(packet) for packet in recorded)
    assert far.refused() == {"replay": 5}


def test_a_recorded_packet_opens_no_session_from_elsewhere_half_a_minute_later() -> None:
    far = Far(SEALED)
    recorded = bytes(encode_request(Request(0, far.ntp(), 1, 700), KEY))
    assert far.ask(recorded)
    for seq in range(1, 40):
        far.now_ns += SECOND
        far.send(seq, 700, KEY)
    assert far.ask(recorded, source("192.0.2.66", 6666)) is None
    assert far.refused() == {"replay": 1}


def test_a_sender_whose_clock_was_set_right_may_open_another_session_beside_the_old_one() -> None:
    far = Far(SEALED)
    ahead = bytes(encode_request(Request(0, far.ntp(-3600), 1, 700), KEY))
    assert far.ask(ahead)
    assert far.send(0, 700, KEY, source(port=40001))


@given(st.lists(st.integers(0, 3000), max_size=200))
def test_every_sequence_is_answered_at_most_once(sequences: list[int]) -> None:
    far = Far(SEALED)
    answered = [seq for seq in sequences if far.send(seq + 1, 700, KEY)]
    assert len(answered) == len(set(answered))


def test_late_packets_inside_the_window_are_answered() -> None:
    far = Far(SEALED)
    assert all(far.send(seq, 700, KEY) for seq in (5, 9, 6, 8, 7))


def test_where_clocks_allow_an_old_stamp_gets_silence() -> None:
    far = Far(SEALED, clock_window_s=5.0)
    assert far.ask(bytes(encode_request(Request(1, far.ntp(6.0), 1, 700), KEY))) is None
    assert far.ask(bytes(encode_request(Request(2, far.ntp(4.0), 1, 700), KEY)))
    assert far.refused() == {"clock": 1}


def test_a_sender_whose_clock_stepped_back_is_answered_again_after_30_seconds() -> None:
    far = Far(SEALED)
    far.send(0, 700, KEY)
    back = bytes(encode_request(Request(0, far.ntp(3600), 1, 700), KEY))
    assert far.ask(back) is None
    far.now_ns += 31 * SECOND
    assert far.ask(back)


# --- rates and tables -----------------------------------------------------------------------------------------------


def test_a_source_gets_twice_the_agreed_rate_and_no_more_whatever_its_ports() -> None:
    far = Far(LISTED)
    answered = 0
    for tick in range(10_000):  # 1,000 a second for 10 s
        far.now_ns += 1_000_000
        packet = bytes(encode_request(Request(tick + 1, far.ntp(), 1, 7)))
        answered += far.ask(packet, source("203.0.113.9", 1024 + tick % 50)) is not None
    assert 1200 <= answered <= 1200 + 121
    assert far.refused() == {"source_rate": 10_000 - answered}


def test_the_total_is_bounded_and_proven_senders_keep_their_half_of_it() -> None:
    far = Far(Senders(SEALED.known, near=True), packets_per_second=100)
    for flood in range(300):
        far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 7))), source(f"10.2.{flood >> 8}.{flood & 255}"))
    assert far.reflector.refused["total_rate"] >= 240
    assert far.send(0, 700, KEY)


def test_forged_sources_fill_no_memory_and_push_no_live_session_out() -> None:
    far = near(sessions=64)
    live = [source("10.9.0.1", 2000 + each) for each in range(8)]
    for where in live:
        far.send(1, where=where)
    for flood in range(5000):
        far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 7))), source(f"10.2.{flood >> 8}.{flood & 255}"))
        if flood % 10 == 0:
            far.send(2 + flood, where=live[flood // 10 % 8])
    assert far.reflector.expire(far.now_ns) <= 64
    assert [far.send(10_000, where=where).seq > 50 for where in live] == [True] * 8  # type: ignore[union-attr]


def test_an_open_flood_cannot_touch_a_proven_session() -> None:
    far = Far(Senders(SEALED.known, near=True), sessions=16)
    far.send(0, 700, KEY)
    for flood in range(2000):
        far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 7))), source(f"10.2.{flood >> 8}.{flood & 255}"))
        far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 700))), source())
    assert far.send(1, 700, KEY).seq == 1  # type: ignore[union-attr]


def test_forged_claims_to_a_key_are_checked_only_so_often() -> None:
    far = Far(SEALED)
    for flood in range(12_000):
        far.ask(bytes(encode_request(Request(1, far.ntp(), 1, 700), bytes(32))), source(f"8.8.{flood >> 8}.1", 9999))
    assert far.refused() == {"bad_hmac": 10_000, "new_rate": 2_000}


def test_a_sender_has_few_sessions_and_its_live_ones_stay() -> None:
    far = Far(SEALED)
    for port in range(SESSIONS_PER_SENDER):
        assert far.send(0, 700, KEY, source(port=6000 + port))
    assert far.send(0, 700, KEY, source(port=7000)) is None
    assert far.refused() == {"table_full": 1}
    far.now_ns += 4 * SECOND
    assert far.send(1, 700, KEY, source(port=6007)).seq == 1  # type: ignore[union-attr]
    assert far.send(0, 700, KEY, source(port=7000)).seq == 0  # type: ignore[union-attr]


# --- who is there ---------------------------------------------------------------------------------------------------


def test_known_sites_are_told_with_when_they_were_last_answered() -> None:
    far = Far(Senders((*SEALED.known, *LISTED.known), near=True))
    far.send(0, 701, OTHER_KEY)
    at_ns = far.now_ns
    far.send(0, where=source("10.7.7.7", 900))
    far.send(0, where=source("203.0.113.9"))
    assert far.reflector.heard() == {"31-11330": at_ns, "31-11329": far.now_ns}


def test_a_revoked_key_and_a_network_no_longer_listed_end_their_sessions() -> None:
    far = Far(Senders((*SEALED.known, *LISTED.known)))
    far.send(0, 700, KEY)
    far.send(0, 701, OTHER_KEY, source(port=1234))
    far.send(0, where=source("203.0.113.9"))
    far.reflector.know(Senders([Sender("31-11329", 700, KEY), Sender("31-11330", 701, KEY)]))
    assert far.send(1, 700, KEY).seq == 1  # type: ignore[union-attr]
    assert far.send(1, 701, OTHER_KEY, source(port=1234)) is None
    assert far.send(1, where=source("203.0.113.9")) is None


def test_idle_sessions_are_forgotten() -> None:
    far = Far(Senders(SEALED.known, near=True))
    far.send(0, 700, KEY)
    far.send(0)
    assert far.reflector.expire(far.now_ns) == 2
    assert far.reflector.expire(far.now_ns + 31 * SECOND) == 0
    assert far.reflector.heard() == {}
