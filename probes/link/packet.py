"""STAMP on the wire: RFC 8762 base packets and RFC 8972 extensions, as bytes in and bytes out.

Two ways in. `encode_*` and `decode_*` make and read whole packets as frozen tuples: for tests, tools and the rare path.
`request_into`, `reply_into` and the precompiled Structs make no object per packet: for the hot loops of both ends.

Stamps are the raw 64 bits of the wire; `ntp_from_unix_ns` and `unix_ns_from_stamp` translate. The mode (open or
authenticated) cannot be seen in a packet: it is agreed by SSID, so every function is told it by a key or its absence.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator
from enum import IntEnum, IntFlag
from typing import NamedTuple, Self

STAMP_PORT = 862
MAX_PACKET_BYTES = 9216
"""A jumbo frame; nothing longer is looked at."""
MAX_TLVS = 16
HMAC_BYTES = 16
HMAC_COVERS_BYTES = 96
"""RFC 8762 section 4.4: HMAC-SHA-256 over the first six blocks of 16 octets, truncated to 128 bits."""

OPEN_BYTES = 44
AUTH_BYTES = 112
TWAMP_REQUEST_BYTES = 14
"""TWAMP-Light senders without padding (RFC 5357 section 4.1.2) stop after the error estimate."""
TWAMP_REPLY_BYTES = 38
"""Some TWAMP-Light reflectors stop before the TTL."""

OPEN_REQUEST = struct.Struct("!IQHH28x")
"""seq, T1, error, SSID (RFC 8762 section 4.2.1, SSID of RFC 8972 section 3)."""
OPEN_REQUEST_HEAD = struct.Struct("!IQHH")
OPEN_REPLY = struct.Struct("!IQHHQIQHxxBxxx")
"""rseq, T3, error, SSID, T2, sseq, T1, sender's error, sender's TTL (RFC 8762 section 4.3.1)."""
OPEN_REPLY_HEAD = struct.Struct("!IQHHQIQH")
"""The same as far as every reflector goes: 38 octets, without TTL."""
OPEN_TTL_AT = 40
AUTH_REQUEST = struct.Struct("!I12xQHH68x16s")
"""seq, T1, error, SSID, HMAC (RFC 8762 section 4.2.2)."""
AUTH_REQUEST_HEAD = struct.Struct("!I12xQHH")
AUTH_REPLY = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x16s")
"""rseq, T3, error, SSID, T2, sseq, T1, sender's error, sender's TTL, HMAC (RFC 8762 section 4.3.2)."""
AUTH_REPLY_HEAD = struct.Struct("!I12xQHH4xQ8xI12xQH6xB")
TLV_HEAD = struct.Struct("!BBH")
"""flags, type, length of the value (RFC 8972 section 4)."""
OPEN_SSID_AT = 14
AUTH_SSID_AT = 26

NTP_OF_UNIX_EPOCH_S = 2_208_988_800
_SECOND_NS = 1_000_000_000
_BLOCK_BYTES = 64
_INNER_PAD = bytes(octet ^ 0x36 for octet in range(256))
_OUTER_PAD = bytes(octet ^ 0x5C for octet in range(256))
_UINT32 = 0xFFFF_FFFF
_UINT64 = 0xFFFF_FFFF_FFFF_FFFF
SYNCHRONISED = 0x8000
"""S of the error estimate: the clock follows UTC (RFC 4656 section 4.1.2)."""
PTP_FORMAT = 0x4000
"""Z of the error estimate: stamps are truncated PTP, not NTP (RFC 8762 section 4.2.1)."""


class PacketError(ValueError):
    """The octets are no packet we can read; the sentence says why."""


class TlvType(IntEnum):
    """RFC 8972 section 5.1."""

    EXTRA_PADDING = 1
    LOCATION = 2
    TIMESTAMP_INFORMATION = 3
    CLASS_OF_SERVICE = 4
    DIRECT_MEASUREMENT = 5
    ACCESS_REPORT = 6
    FOLLOW_UP_TELEMETRY = 7
    HMAC = 8


class TlvFlag(IntFlag):
    """RFC 8972 section 4: a sender sets U, and the reflector clears it where it understands the TLV."""

    UNRECOGNISED = 0x80
    MALFORMED = 0x40
    INTEGRITY_FAILED = 0x20


class Tlv(NamedTuple):
    """One extension; `flags` as the reflector left them."""

    type: int
    value: bytes
    flags: int = TlvFlag.UNRECOGNISED


class ClassOfService(NamedTuple):
    """RFC 8972 section 4.4: `requested` is the DSCP wanted on the way back, `received` what reached the reflector."""

    requested: int
    received: int = 0
    ecn: int = 0
    reverse_refused: int = 0
    """RP: 1 where the reflector's policy did not allow `requested`."""


class Request(NamedTuple):
    """What a Session-Sender sends."""

    seq: int
    t1: int
    error: int = 1
    ssid: int = 0
    tlvs: tuple[Tlv, ...] = ()


class Reply(NamedTuple):
    """What a Session-Reflector answers; `ttl` is None where the answer ends before it."""

    seq: int
    t3: int
    error: int
    ssid: int
    t2: int
    sender_seq: int
    t1: int
    sender_error: int
    ttl: int | None = None
    tlvs: tuple[Tlv, ...] = ()


# --- stamps ---------------------------------------------------------------------------------------------------------


def ntp_from_unix_ns(unix_ns: int) -> int:
    """The 64 bits of an NTP stamp (RFC 5905 section 6), of the era the moment falls in."""
    seconds, ns = divmod(unix_ns, _SECOND_NS)
    return ((seconds + NTP_OF_UNIX_EPOCH_S) << 32 & _UINT64) | (ns << 32) // _SECOND_NS


def unix_ns_from_ntp(stamp: int) -> int:
    """Nanoseconds since 1970; stamps below 2^31 s are of the era that starts in 2036 (RFC 4330 section 3)."""
    seconds = stamp >> 32
    if seconds < 0x8000_0000:
        seconds += 1 << 32
    return (seconds - NTP_OF_UNIX_EPOCH_S) * _SECOND_NS + ((stamp & _UINT32) * _SECOND_NS + 0x8000_0000 >> 32)


def unix_ns_from_stamp(stamp: int, error: int) -> int:
    """Nanoseconds of a stamp whose format the error estimate beside it names (Z: truncated PTP, else NTP)."""
    if error & PTP_FORMAT:
        return (stamp >> 32) * _SECOND_NS + (stamp & _UINT32)
    return unix_ns_from_ntp(stamp)


def error_estimate(error_s: float | None) -> int:
    """The 16 bits S, Z, scale, multiplier for a clock error in seconds; None: not synchronised.

    RFC 4656 section 4.1.2: error = multiplier x 2^(scale - 32) s; the multiplier is never 0. Rounded up: an error
    estimate may be too large, never too small.
    """
    if error_s is None:
        return 1
    units = max(1, -int(-error_s * 2**32 // 1))
    scale = max(0, units.bit_length() - 8)
    multiplier = -(-units >> scale)
    if multiplier > 0xFF:
        scale, multiplier = scale + 1, 0x80
    return SYNCHRONISED | min(scale, 63) << 8 | multiplier


def error_s_of(estimate: int) -> float:
    """Seconds of an error estimate."""
    return float((estimate & 0xFF) * 2.0 ** ((estimate >> 8 & 0x3F) - 32))


# --- integrity ------------------------------------------------------------------------------------------------------


class StampKey(bytes):
    """A key whose two padded blocks are hashed once and for all (RFC 2104 section 4): a third of the cost a packet.

    It is the key's octets, so it stands wherever a key does.
    """

    _inner: hashlib._Hash
    _outer: hashlib._Hash

    def __new__(cls, octets: bytes) -> Self:
        key = super().__new__(cls, octets)
        block = (hashlib.sha256(octets).digest() if len(octets) > _BLOCK_BYTES else octets).ljust(_BLOCK_BYTES, b"\0")
        key._inner = hashlib.sha256(block.translate(_INNER_PAD))
        key._outer = hashlib.sha256(block.translate(_OUTER_PAD))
        return key

    def tag(self, covered: bytes | bytearray | memoryview) -> bytes:
        """HMAC-SHA-256 truncated to 128 bits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(covered)
        outer.update(inner.digest())
        return outer.digest()[:HMAC_BYTES]


def tag_of(key: bytes, covered: bytes | bytearray | memoryview) -> bytes:
    """HMAC-SHA-256 truncated to 128 bits (RFC 8762 section 4.4)."""
    if isinstance(key, StampKey):
        return key.tag(covered)
    return hmac.digest(key, covered, "sha256")[:HMAC_BYTES]


def seal(packet: bytearray, key: bytes) -> None:
    """Write the HMAC of an authenticated base packet in place."""
    packet[HMAC_COVERS_BYTES:AUTH_BYTES] = tag_of(key, packet[:HMAC_COVERS_BYTES])


def is_sealed_by(packet: bytes | bytearray | memoryview, key: bytes) -> bool:
    """Whether the base packet's HMAC is of this key; False when it is too short to have one."""
    if len(packet) < AUTH_BYTES:
        return False
    return hmac.compare_digest(tag_of(key, packet[:HMAC_COVERS_BYTES]), bytes(packet[HMAC_COVERS_BYTES:AUTH_BYTES]))


# --- the hot paths --------------------------------------------------------------------------------------------------


def request_into(packet: bytearray, seq: int, t1: int, error: int, key: bytes | None = None) -> None:
    """Renew the sequence and stamp of a packet built once by `encode_request`, and its HMACs if it has any."""
    if key is None:
        struct.pack_into("!IQH", packet, 0, seq, t1, error)
        return
    struct.pack_into("!I12xQH", packet, 0, seq, t1, error)
    seal(packet, key)
    if len(packet) > AUTH_BYTES:
        seal_tlvs(packet, AUTH_BYTES, len(packet), key)


def reply_into(
    reply: bytearray,
    request: bytes | bytearray | memoryview,
    rseq: int,
    t2: int,
    t3: int,
    error: int,
    ttl: int,
    key: bytes | None = None,
) -> None:
    """Write the base part of the answer to `request` into the start of `reply` (44 octets, or 112 with a key).

    `request` is whole (at least as long as its base part) and, in authenticated mode, already checked. Extensions are
    the business of `reflect_tlvs_into`. `ttl` 0 means not seen.
    """
    if key is None:
        sseq, t1, sender_error, ssid = OPEN_REQUEST_HEAD.unpack_from(request)
        OPEN_REPLY.pack_into(reply, 0, rseq, t3, error, ssid, t2, sseq, t1, sender_error, ttl)
        return
    sseq, t1, sender_error, ssid = AUTH_REQUEST_HEAD.unpack_from(request)
    AUTH_REPLY.pack_into(reply, 0, rseq, t3, error, ssid, t2, sseq, t1, sender_error, ttl, b"")
    seal(reply, key)


def reflect_tlvs_into(
    reply: bytearray,
    request: bytes | bytearray | memoryview,
    size: int,
    tos: int,
    key: bytes | None = None,
) -> int:
    """Copy the extensions of `request` (of `size` octets) into `reply` as a reflector must; the TOS to answer with.

    RFC 8972 section 4: U cleared where understood (padding, class of service, HMAC), M set where a length runs past
    the end, I set on all where the HMAC is wrong. Class of service gets what arrived, and its wish sets the answer's
    DSCP; without it the answer has the DSCP received (RFC 8762 section 4.3). `reply` must already hold its base part,
    because its sequence is under the HMAC of the extensions, and have room for `size` octets.
    """
    start = OPEN_BYTES if key is None else AUTH_BYTES
    reply[start:size] = request[start:size]
    if size - start < TLV_HEAD.size or reply[start + 1] == 0:
        return tos & 0xFC  # TWAMP padding: copied as it came
    if key is not None and not _tlvs_hold(request, start, size, key):
        for at, _, _, _ in _walk(reply, start, size):
            reply[at] |= TlvFlag.INTEGRITY_FAILED
        return tos & 0xFC
    answer_tos = tos & 0xFC
    for at, kind, length, whole in _walk(reply, start, size):
        if not whole:
            reply[at] |= TlvFlag.MALFORMED
        elif kind == TlvType.CLASS_OF_SERVICE and length == 4:
            requested = reply[at + 4] >> 2
            reply[at] &= 0x7F
            _pack_class_of_service(reply, at + 4, ClassOfService(requested, tos >> 2, tos & 3))
            answer_tos = requested << 2
        elif kind == TlvType.CLASS_OF_SERVICE:
            reply[at] |= TlvFlag.MALFORMED
        elif kind == TlvType.EXTRA_PADDING or (kind == TlvType.HMAC and key is not None):
            reply[at] &= 0x7F
        else:
            reply[at] |= TlvFlag.UNRECOGNISED
    if key is not None:
        seal_tlvs(reply, start, size, key)
    return answer_tos


def seal_tlvs(packet: bytearray, start: int, end: int, key: bytes) -> None:
    """Write the HMAC TLV's digest in place: over the sequence number and all TLVs before it (RFC 8972 section 4.8)."""
    for at, kind, length, whole in _walk(packet, start, end):
        if kind == TlvType.HMAC and whole and length == HMAC_BYTES:
            packet[at + 4 : at + 4 + HMAC_BYTES] = tag_of(key, packet[:4] + packet[start:at])
            return


def tlvs_are_sealed_by(packet: bytes | bytearray | memoryview, size: int, key: bytes) -> bool:
    """Whether the extensions of an authenticated packet of `size` octets are as their sender made them."""
    return size - AUTH_BYTES < TLV_HEAD.size or packet[AUTH_BYTES + 1] == 0 or _tlvs_hold(packet, AUTH_BYTES, size, key)


def class_of_service_in(packet: bytes | bytearray | memoryview, start: int, size: int) -> ClassOfService | None:
    """The class of service of an answer, or None where it has none or the reflector did not fill it."""
    for at, kind, length, whole in _walk(packet, start, size):
        if kind == TlvType.CLASS_OF_SERVICE:
            refused = packet[at] & (TlvFlag.UNRECOGNISED | TlvFlag.MALFORMED | TlvFlag.INTEGRITY_FAILED)
            if refused or not whole or length != 4:
                return None
            return _class_of_service(packet, at + 4)
    return None


def _walk(packet: bytes | bytearray | memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, bool]]:
    """(offset, type, length, whether it fits) of at most `MAX_TLVS` TLVs; the first that does not fit is the last."""
    at = start
    for _ in range(MAX_TLVS):
        if end - at < TLV_HEAD.size:
            return
        _, kind, length = TLV_HEAD.unpack_from(packet, at)
        whole = at + TLV_HEAD.size + length <= end
        yield at, kind, length, whole
        if not whole:
            return
        at += TLV_HEAD.size + length


def _tlvs_hold(packet: bytes | bytearray | memoryview, start: int, end: int, key: bytes) -> bool:
    """RFC 8972 section 4.8: after the HMAC TLV only padding; without one only a single padding."""
    kinds: list[int] = []
    sealed = False
    for at, kind, length, whole in _walk(packet, start, end):
        if not whole or (sealed and kind != TlvType.EXTRA_PADDING):
            return False
        if kind == TlvType.HMAC:
            covered = bytes(packet[:4]) + bytes(packet[start:at])
            tag = bytes(packet[at + 4 : at + 4 + length])
            if not hmac.compare_digest(tag_of(key, covered), tag):
                return False
            sealed = True
        kinds.append(kind)
    return sealed or kinds == [TlvType.EXTRA_PADDING]


def _class_of_service(packet: bytes | bytearray | memoryview, at: int) -> ClassOfService:
    bits = packet[at] << 8 | packet[at + 1]
    return ClassOfService(bits >> 10, bits >> 4 & 0x3F, bits >> 2 & 3, bits & 3)


def _pack_class_of_service(packet: bytearray, at: int, cos: ClassOfService) -> None:
    packet[at : at + 4] = class_of_service_value(cos)


# --- whole packets --------------------------------------------------------------------------------------------------


def class_of_service_value(cos: ClassOfService) -> bytes:
    """The four octets of a class-of-service TLV's value."""
    bits = cos.requested << 10 | cos.received << 4 | cos.ecn << 2 | cos.reverse_refused
    return struct.pack("!HH", bits, 0)


def encode_request(request: Request, key: bytes | None = None) -> bytearray:
    """The packet's octets; with a key authenticated, its TLVs followed by an HMAC TLV before the padding."""
    if key is None:
        packet = bytearray(OPEN_REQUEST.pack(request.seq, request.t1, request.error, request.ssid))
        return packet + _encode_tlvs(request.tlvs)
    packet = bytearray(AUTH_REQUEST.pack(request.seq, request.t1, request.error, request.ssid, b""))
    return _sealed(packet, request.tlvs, key)


def encode_reply(reply: Reply, key: bytes | None = None) -> bytearray:
    """The octets of an answer; with `ttl` None and no key the 38 of a TWAMP-Light reflector."""
    head = (reply.seq, reply.t3, reply.error, reply.ssid, reply.t2, reply.sender_seq, reply.t1, reply.sender_error)
    if key is not None:
        return _sealed(bytearray(AUTH_REPLY.pack(*head, reply.ttl or 0, b"")), reply.tlvs, key)
    if reply.ttl is None:
        return bytearray(OPEN_REPLY_HEAD.pack(*head))
    return bytearray(OPEN_REPLY.pack(*head, reply.ttl)) + _encode_tlvs(reply.tlvs)


def _encode_tlvs(tlvs: tuple[Tlv, ...]) -> bytes:
    return b"".join(TLV_HEAD.pack(tlv.flags, tlv.type, len(tlv.value)) + tlv.value for tlv in tlvs)


def _sealed(packet: bytearray, tlvs: tuple[Tlv, ...], key: bytes) -> bytearray:
    """RFC 8972 section 4.8: the HMAC TLV follows all TLVs but padding; a lone padding needs none."""
    seal(packet, key)
    if not tlvs or [tlv.type for tlv in tlvs] == [TlvType.EXTRA_PADDING]:
        return packet + _encode_tlvs(tlvs)
    if not any(tlv.type == TlvType.HMAC for tlv in tlvs):
        covered = tuple(tlv for tlv in tlvs if tlv.type != TlvType.EXTRA_PADDING)
        padding = tuple(tlv for tlv in tlvs if tlv.type == TlvType.EXTRA_PADDING)
        tlvs = (*covered, Tlv(TlvType.HMAC, bytes(HMAC_BYTES)), *padding)
    packet += _encode_tlvs(tlvs)
    seal_tlvs(packet, AUTH_BYTES, len(packet), key)
    return packet


def decode_request(packet: bytes, key: bytes | None = None) -> Request:
    """Read a request; 14 octets are enough without a key (TWAMP-Light, then the SSID is 0).

    Raises:
        PacketError: too short, too long, or not of this key.
    """
    _check_size(packet, TWAMP_REQUEST_BYTES if key is None else AUTH_BYTES)
    if key is None:
        if len(packet) < OPEN_BYTES:
            seq, t1, error = struct.unpack_from("!IQH", packet)
            return Request(seq, t1, error)
        seq, t1, error, ssid = OPEN_REQUEST_HEAD.unpack_from(packet)
        return Request(seq, t1, error, ssid, decode_tlvs(packet, OPEN_BYTES))
    _check_seal(packet, key)
    seq, t1, error, ssid = AUTH_REQUEST_HEAD.unpack_from(packet)
    return Request(seq, t1, error, ssid, decode_tlvs(packet, AUTH_BYTES))


def decode_reply(packet: bytes, key: bytes | None = None) -> Reply:
    """Read an answer of 38 octets or more (112 with a key).

    Raises:
        PacketError: too short, too long, or not of this key.
    """
    _check_size(packet, TWAMP_REPLY_BYTES if key is None else AUTH_BYTES)
    if key is None:
        ttl = packet[OPEN_TTL_AT] if len(packet) > OPEN_TTL_AT else None
        head = OPEN_REPLY_HEAD.unpack_from(packet)
        return Reply._make((*head, ttl, decode_tlvs(packet, OPEN_BYTES)))
    _check_seal(packet, key)
    return Reply._make((*AUTH_REPLY_HEAD.unpack_from(packet), decode_tlvs(packet, AUTH_BYTES)))


def decode_tlvs(packet: bytes, start: int) -> tuple[Tlv, ...]:
    """The extensions after the base part; zero octets (TWAMP padding) are none, and a cut TLV keeps what is there."""
    if len(packet) - start < TLV_HEAD.size or packet[start + 1] == 0:
        return ()
    return tuple(
        Tlv(kind, packet[at + TLV_HEAD.size : at + TLV_HEAD.size + length], packet[at])
        for at, kind, length, _ in _walk(packet, start, len(packet))
    )


def _check_size(packet: bytes, least: int) -> None:
    if len(packet) < least:
        raise PacketError(f"The packet has {len(packet)} octets; a STAMP packet of this kind has at least {least}.")
    if len(packet) > MAX_PACKET_BYTES:
        raise PacketError(f"The packet has {len(packet)} octets; more than {MAX_PACKET_BYTES} are not looked at.")


def _check_seal(packet: bytes, key: bytes) -> None:
    if not is_sealed_by(packet, key):
        raise PacketError("The packet's HMAC is not of the key agreed for its SSID; check the stamp_key on both sides.")
