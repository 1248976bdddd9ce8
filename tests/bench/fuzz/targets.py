"""What is fuzzed: each target takes any bytes, and may only refuse them with a sentence of its own kind."""

from __future__ import annotations

from pathlib import Path

from probes.link.packet import (
    PacketError,
    class_of_service_in,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    is_sealed_by,
    tlvs_are_sealed_by,
)
from probes.report import Batch, Gone, Report, ReportError, decode, encode, pack
from tests.bench.fuzz import http, reflector, sender, texts
from tests.bench.fuzz.target import Broken, Target, check_sentence

KEY = bytes(range(32))
ENCODINGS = (None, "gzip", "zstd", "br")


def wire(data: bytes) -> None:
    """The first byte picks the encoding, the rest is the body."""
    if not data:
        return
    try:
        decoded = decode(data[1:], ENCODINGS[data[0] % len(ENCODINGS)])
    except ReportError as error:
        check_sentence(str(error))
        return
    for refused in decoded.refused:
        check_sentence(refused.why)
    again = decode(encode(decoded.batch))
    if again.batch != decoded.batch:
        raise Broken("what was read is not what is written")


def wire_seeds() -> list[bytes]:
    report = Report(
        "link", 1795468790123, 10, "9f", 7, target="hp", values={"rtt_p50_ms": 3.2}, labels={"stamps": "kernel"}
    )
    body = encode(Batch(1, "d-1", 1795468800500, [report], [Gone("9f", 1, 6, "thinned")]))
    specimens = sorted((Path(__file__).parents[2] / "probes" / "specimens").glob("*.json"))
    return [b"\0" + body, b"\2" + pack(body), *(b"\0" + path.read_bytes() for path in specimens)]


def request(data: bytes) -> None:
    for key in (None, KEY):
        try:
            read = decode_request(data, key)
        except PacketError as error:
            check_sentence(str(error))
            continue
        decode_request(bytes(encode_request(read, key)), key)


def reply(data: bytes) -> None:
    for key in (None, KEY):
        try:
            read = decode_reply(data, key)
        except PacketError as error:
            check_sentence(str(error))
            continue
        decode_reply(bytes(encode_reply(read, key)), key)


def hot_paths(data: bytes) -> None:
    """What both ends run on a packet before anything is known of it."""
    if len(data) >= 112:
        is_sealed_by(data, KEY)
        tlvs_are_sealed_by(data, len(data), KEY)
    for start in (44, 112):
        if len(data) >= start:
            class_of_service_in(data, start, len(data))


def packet_seeds() -> list[bytes]:
    plain = bytes(44)
    padding = plain + b"\x80\x01\x00\x08" + bytes(8) + b"\x80\x04\x00\x04" + bytes(4)
    return [plain, padding, bytes(112), bytes(14), bytes(38)]


TARGETS = {
    "wire": Target(wire, wire_seeds),
    "stamp_request": Target(request, packet_seeds),
    "stamp_reply": Target(reply, packet_seeds),
    "stamp_hot_paths": Target(hot_paths, packet_seeds),
    "reflector": reflector.TARGET,
    "sender": sender.TARGET,
    "agenda": texts.AGENDA,
    "config": texts.CONFIG,
    "sites_csv": texts.SITES,
    "http": http.TARGET,
}
