"""The wire of RFC 8762 and RFC 8972, held to octets written by hand and to round trips."""

from __future__ import annotations

import contextlib
import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.link import packet as wire
from probes.link.packet import ClassOfService, PacketError, Reply, Request, Tlv, TlvFlag, TlvType

KEY = bytes(range(32))
STAMP = st.integers(0, 2**64 - 1)
UINT32 = st.integers(0, 2**32 - 1)
UINT16 = st.integers(0, 2**16 - 1)
TLVS = st.lists(st.builds(Tlv, st.sampled_from([1, 2, 4, 7, 99]), st.binary(max_size=40), st.just(0x80)), max_size=4)
REQUESTS = st.builds(Request, UINT32, STAMP, UINT16, UINT16, TLVS.map(tuple))
REPLIES = st.builds(
    Reply, UINT32, STAMP, UINT16, UINT16, STAMP, UINT32, STAMP, UINT16, st.integers(0, 255), TLVS.map(tuple)
)


def hmac_by_hand(key: bytes, text: bytes) -> bytes:
    """RFC 2104 written out, so that the tests do not ask the code under test."""
    padded = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in padded) + text).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in padded) + inner).digest()[:16]


@given(st.binary(min_size=1, max_size=100), st.binary(max_size=200))
def test_a_key_hashed_beforehand_makes_the_same_tags(octets: bytes, text: bytes) -> None:
    key = octets if len(octets) <= 64 else hashlib.sha256(octets).digest()
    assert wire.StampKey(octets) == octets
    assert wire.tag_of(wire.StampKey(octets), text) == wire.tag_of(octets, text) == hmac_by_hand(key, text)


def test_an_open_request_is_44_octets_in_the_order_of_the_rfc() -> None:
    packet = wire.encode_request(Request(seq=0x01020304, t1=0x1112131415161718, error=0x8001, ssid=0x2A2B))
    assert bytes(packet) == bytes.fromhex("01020304 1112131415161718 8001 2A2B") + bytes(28)


def test_an_authenticated_request_is_112_octets_with_its_hmac_last() -> None:
    packet = wire.encode_request(Request(seq=0x01020304, t1=0x1112131415161718, error=0x8001, ssid=0x2A2B), KEY)
    head = bytes.fromhex("01020304") + bytes(12) + bytes.fromhex("1112131415161718 8001 2A2B") + bytes(68)
    assert len(head) == 96
    assert bytes(packet) == head + hmac_by_hand(KEY, head)


def test_an_open_reply_is_44_octets_in_the_order_of_the_rfc() -> None:
    reply = Reply(seq=7, t3=3, error=1, ssid=0x2A2B, t2=2, sender_seq=5, t1=1, sender_error=0x8001, ttl=63)
    expected = struct.pack("!IQHHQIQH", 7, 3, 1, 0x2A2B, 2, 5, 1, 0x8001) + b"\0\0\x3f\0\0\0"
    assert bytes(wire.encode_reply(reply)) == expected


def test_an_authenticated_reply_is_112_octets_in_the_order_of_the_rfc() -> None:
    reply = Reply(seq=7, t3=3, error=1, ssid=0x2A2B, t2=2, sender_seq=5, t1=1, sender_error=0x8001, ttl=63)
    head = struct.pack("!I12xQHH4xQ8xI12xQH6xB15x", 7, 3, 1, 0x2A2B, 2, 5, 1, 0x8001, 63)
    assert len(head) == 96
    assert bytes(wire.encode_reply(reply, KEY)) == head + hmac_by_hand(KEY, head)


@given(REQUESTS)
def test_an_open_request_comes_back_as_it_was(request: Request) -> None:
    packet = bytes(wire.encode_request(request))
    assert wire.decode_request(packet) == request
    assert bytes(wire.encode_request(wire.decode_request(packet))) == packet


@given(REPLIES)
def test_an_open_reply_comes_back_as_it_was(reply: Reply) -> None:
    packet = bytes(wire.encode_reply(reply))
    assert wire.decode_reply(packet) == reply
    assert bytes(wire.encode_reply(wire.decode_reply(packet))) == packet


@given(REPLIES)
def test_an_authenticated_reply_comes_back_with_its_extensions_before_the_hmac_and_padding_after(reply: Reply) -> None:
    read = wire.decode_reply(bytes(wire.encode_reply(reply, KEY)), KEY)
    assert read._replace(tlvs=()) == reply._replace(tlvs=())
    kinds = [tlv.type for tlv in read.tlvs]
    if kinds and kinds != [TlvType.EXTRA_PADDING]:
        after = kinds[kinds.index(TlvType.HMAC) + 1 :]
        assert set(after) <= {TlvType.EXTRA_PADDING}
        assert sorted(t for t in read.tlvs if t.type != TlvType.HMAC) == sorted(reply.tlvs)


@given(st.integers(-2_208_988_800 * 10**9, (2**32 + 2**31 - 2_208_988_800) * 10**9 - 1))
def test_a_stamp_keeps_every_nanosecond_from_1968_to_2104(unix_ns: int) -> None:
    stamp = wire.ntp_from_unix_ns(unix_ns)
    assert 0 <= stamp < 2**64
    if unix_ns >= (2**31 - 2_208_988_800) * 10**9:
        assert wire.unix_ns_from_ntp(stamp) == unix_ns


def test_the_epoch_of_unix_is_2208988800_seconds_of_ntp() -> None:
    assert wire.ntp_from_unix_ns(0) == 2_208_988_800 << 32
    assert wire.ntp_from_unix_ns(500_000_000) & 0xFFFFFFFF == 0x80000000


def test_a_reflector_that_stamps_in_ptp_format_is_read_by_its_z_flag() -> None:
    assert wire.unix_ns_from_stamp(5 << 32 | 250, wire.PTP_FORMAT | 1) == 5_000_000_250
    assert wire.unix_ns_from_stamp(wire.ntp_from_unix_ns(5_000_000_250), 1) == 5_000_000_250


@given(st.floats(1e-9, 1e9))
def test_an_error_estimate_is_never_smaller_than_the_error_and_at_most_one_percent_larger(error_s: float) -> None:
    estimate = wire.error_estimate(error_s)
    assert estimate & wire.SYNCHRONISED
    assert not estimate & wire.PTP_FORMAT
    assert estimate & 0xFF, "RFC 4656 section 4.1.2: the multiplier is never 0"
    assert error_s <= wire.error_s_of(estimate) <= error_s * 1.01 + 2**-32


def test_a_clock_that_follows_nobody_does_not_claim_to_be_synchronised() -> None:
    assert not wire.error_estimate(None) & wire.SYNCHRONISED
    assert wire.error_estimate(None) & 0xFF


@pytest.mark.parametrize(("size", "key"), [(0, None), (13, None), (44, KEY), (111, KEY), (9217, None)])
def test_a_request_of_impossible_size_is_refused_with_a_sentence(size: int, key: bytes | None) -> None:
    with pytest.raises(PacketError, match=rf"The packet has {size} octets"):
        wire.decode_request(bytes(size), key)


@pytest.mark.parametrize(("size", "key"), [(0, None), (37, None), (44, KEY), (111, KEY), (9217, None)])
def test_a_reply_of_impossible_size_is_refused_with_a_sentence(size: int, key: bytes | None) -> None:
    with pytest.raises(PacketError, match=rf"The packet has {size} octets"):
        wire.decode_reply(bytes(size), key)


@given(st.binary(max_size=400))
def test_no_octets_make_the_decoders_do_anything_but_answer_or_refuse(octets: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_reply):
        for key in (None, KEY):
            with contextlib.suppress(PacketError):
                decode(octets, key)


@given(st.binary(min_size=44, max_size=400), st.integers(0, 255))
def test_no_octets_make_the_reflecting_of_extensions_fail_or_change_the_size(octets: bytes, tos: int) -> None:
    reply = bytearray(len(octets))
    wire.reply_into(reply, octets, 1, 2, 3, 4, 5)
    assert 0 <= wire.reflect_tlvs_into(reply, octets, len(octets), tos) <= 255
    assert len(reply) == len(octets)


@given(REQUESTS, st.integers(0, 811), st.integers(1, 255))
def test_one_changed_bit_under_the_hmac_is_noticed(request: Request, at: int, change: int) -> None:
    packet = wire.encode_request(request, KEY)
    at %= wire.AUTH_BYTES
    packet[at] ^= change
    with pytest.raises(PacketError, match="HMAC"):
        wire.decode_request(bytes(packet), KEY)


def test_a_twamp_light_answer_without_ttl_is_read() -> None:
    read = wire.decode_reply(bytes(wire.encode_reply(Reply(9, 3, 1, 0, 2, 9, 1, 1, None))))
    assert (read.seq, read.sender_seq, read.ttl, read.tlvs) == (9, 9, None, ())


def test_a_twamp_light_request_without_padding_is_read() -> None:
    assert wire.decode_request(struct.pack("!IQH", 4, 5, 6)) == Request(4, 5, 6, 0)


def test_zero_padding_of_twamp_is_no_extension() -> None:
    assert wire.decode_request(bytes(144)).tlvs == ()
    reply = bytearray(144)
    wire.reflect_tlvs_into(reply, bytes(144), 144, 0)
    assert reply == bytes(144)


@given(REQUESTS, STAMP, STAMP, st.integers(0, 255))
def test_the_fast_reply_equals_the_slow_one(request: Request, t2: int, t3: int, ttl: int) -> None:
    for key in (None, KEY):
        fast = bytearray(44 if key is None else 112)
        wire.reply_into(fast, wire.encode_request(request._replace(tlvs=()), key), 8, t2, t3, 9, ttl, key)
        slow = Reply(8, t3, 9, request.ssid, t2, request.seq, request.t1, request.error, ttl)
        assert fast == wire.encode_reply(slow, key)


@given(REQUESTS, UINT32, STAMP, UINT16)
def test_a_renewed_request_equals_a_new_one(request: Request, seq: int, t1: int, error: int) -> None:
    for key in (None, KEY):
        renewed = wire.encode_request(request, key)
        wire.request_into(renewed, seq, t1, error, key)
        assert renewed == wire.encode_request(request._replace(seq=seq, t1=t1, error=error), key)


def cos_request(requested: int, key: bytes | None = None) -> bytearray:
    cos = Tlv(TlvType.CLASS_OF_SERVICE, wire.class_of_service_value(ClassOfService(requested)))
    return wire.encode_request(Request(1, 2, 3, 4, (cos, Tlv(TlvType.EXTRA_PADDING, bytes(100)))), key)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_reflector_tells_the_dscp_it_saw_and_answers_with_the_one_wished_for(key: bytes | None) -> None:
    packet = cos_request(46, key)
    reply = bytearray(len(packet))
    wire.reply_into(reply, packet, 1, 2, 3, 4, 64, key)
    tos = wire.reflect_tlvs_into(reply, packet, len(packet), 10 << 2 | 3, key)
    start = wire.OPEN_BYTES if key is None else wire.AUTH_BYTES
    assert tos == 46 << 2, "the wished DSCP, and no ECN mark carried over to the way back"
    assert wire.class_of_service_in(reply, start, len(reply)) == ClassOfService(46, 10, 3, 0)
    assert key is None or wire.tlvs_are_sealed_by(reply, len(reply), key)


def test_a_reflector_that_does_not_know_class_of_service_says_nothing_about_it() -> None:
    echoed = bytes(cos_request(46))
    assert wire.class_of_service_in(echoed, wire.OPEN_BYTES, len(echoed)) is None


def test_extensions_changed_on_the_way_come_back_marked_and_unused() -> None:
    packet = cos_request(46, KEY)
    packet[wire.AUTH_BYTES + 4] ^= 0x40
    reply = bytearray(len(packet))
    wire.reply_into(reply, packet, 1, 2, 3, 4, 64, KEY)
    assert wire.reflect_tlvs_into(reply, packet, len(packet), 0, KEY) == 0
    assert all(tlv.flags & TlvFlag.INTEGRITY_FAILED for tlv in wire.decode_reply(bytes(reply), KEY).tlvs)
    assert wire.class_of_service_in(reply, wire.AUTH_BYTES, len(reply)) is None


def test_an_extension_longer_than_its_packet_is_marked_malformed() -> None:
    packet = wire.encode_request(Request(1, 2, 3, 4)) + b"\x80\x01\xff\xff1234"
    reply = bytearray(len(packet))
    wire.reflect_tlvs_into(reply, packet, len(packet), 0)
    assert wire.decode_tlvs(bytes(reply), wire.OPEN_BYTES)[0].flags & TlvFlag.MALFORMED


def test_an_unknown_extension_is_marked_and_a_known_one_is_not() -> None:
    tlvs = (Tlv(200, b"what"), Tlv(TlvType.EXTRA_PADDING, b"1234"))
    packet = wire.encode_request(Request(1, 2, 3, 4, tlvs))
    reply = bytearray(len(packet))
    wire.reflect_tlvs_into(reply, packet, len(packet), 0)
    assert [tlv.flags for tlv in wire.decode_tlvs(bytes(reply), wire.OPEN_BYTES)] == [TlvFlag.UNRECOGNISED, 0]


def test_a_packet_of_very_many_extensions_costs_only_the_first_sixteen() -> None:
    packet = wire.encode_request(Request(1, 2, 3, 4)) + b"\x80\x01\x00\x00" * 1000
    assert len(wire.decode_tlvs(bytes(packet), wire.OPEN_BYTES)) == wire.MAX_TLVS
