"""The reflector's core: any packets, from anywhere, at any pace, in every mode."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from probes.link.admit import Sender, Senders
from probes.link.packet import (
    AUTH_BYTES,
    MAX_PACKET_BYTES,
    OPEN_BYTES,
    is_sealed_by,
    ntp_from_unix_ns,
    seal,
    seal_tlvs,
    tlvs_are_sealed_by,
)
from probes.link.reflect import REFLECTOR_PORTS, REFUSED, SESSIONS_PER_SENDER, Reflector
from tests.bench.fuzz.target import Broken, Script, Target

KEYS = {7: bytes(range(32)), 8: bytes(range(32, 64))}
SESSIONS = 4
UNTOUCHED = 0xA5
START_NS = 1_795_468_800_000_000_000
LISTED = ip_network("203.0.113.0/24")
MODES = {
    "open": Senders(near=True),
    "keyed": Senders(Sender(f"site{ssid}", ssid, key) for ssid, key in KEYS.items()),
    "listed": Senders([Sender("router", sources=(LISTED,))]),
    "all": Senders(
        [*(Sender(f"site{ssid}", ssid, key) for ssid, key in KEYS.items()), Sender("router", sources=(LISTED,))],
        near=True,
    ),
}
ADDRESSES = [
    ip_address(text).packed
    for text in ("127.0.0.1", "10.1.2.3", "203.0.113.9", "198.51.100.1", "fe80::1", "2001:db8::1", "0.0.0.0")
]
PORTS = (862, 0, 53, 40000, 40001, 50000, 61000)
SEND_AUTH, SEND_TLVS, ECHO = 1, 2, 4


def source_of(address: bytes, port: int) -> bytes:
    """As a socket address has them: port, then the address, for IPv6 between flow label and scope."""
    head = port.to_bytes(2, "big")
    return head + address if len(address) == 4 else head + bytes(4) + address + bytes(4)


class Watched:
    """A reflector, and what may never come out of it."""

    def __init__(self, mode: str) -> None:
        self.senders = MODES[mode]
        self.core = Reflector(self.senders, frozenset((61000,)), sessions=SESSIONS, packets_per_second=500)
        self.asked = 0

    def ask(self, packet: bytes, address: bytes, port: int, ttl: int, tos: int, now_ns: int) -> bytes | None:
        """The answer, held against what was asked."""
        request = bytearray(packet[:MAX_PACKET_BYTES]).ljust(MAX_PACKET_BYTES, b"\x5a")
        size = min(len(packet), MAX_PACKET_BYTES)
        reply = bytearray([UNTOUCHED]) * MAX_PACKET_BYTES
        t2 = ntp_from_unix_ns(START_NS + now_ns)
        self.asked += 1
        source = source_of(address, port)
        answer_tos = self.core.answer(reply, request, size, source, ttl, tos, t2, t2 + 1000, now_ns)
        if answer_tos == REFUSED:
            return None
        if not 0 <= answer_tos <= 255 or answer_tos & 3:
            raise Broken(f"answers with TOS {answer_tos}")
        self._check_admission(address, port, size, request)
        length = max(size, OPEN_BYTES)
        if any(octet != UNTOUCHED for octet in reply[length:]):
            raise Broken(f"the answer to {size} octets is longer than {length}")
        return bytes(reply[:length])

    def _check_admission(self, address: bytes, port: int, size: int, request: bytearray) -> None:
        listed = self.senders.listed(address) is not None
        proven = size >= AUTH_BYTES and any(is_sealed_by(request[:size], key) for key in KEYS.values())
        if not (listed or self.senders.is_near(address) or proven):
            raise Broken(f"answers a stranger at {address.hex()}")
        if size < OPEN_BYTES and not listed:
            raise Broken(f"answers {size} octets with {OPEN_BYTES}")
        if port in REFLECTOR_PORTS or port == 61000:
            raise Broken(f"answers the port {port}")

    def check_bounds(self, now_ns: int) -> None:
        if self.core.answered + sum(self.core.refused.values()) != self.asked:
            raise Broken("a packet was neither answered nor counted as refused")
        if self.core.expire(now_ns) > SESSIONS + len(KEYS) * SESSIONS_PER_SENDER:
            raise Broken("more sessions than places")


def one_input(data: bytes) -> None:
    """A mode, then packets: who, when, how marked, how long, whether sealed, and the octets."""
    script = Script(data)
    watched = Watched(list(MODES)[script.number() % len(MODES)])
    now_ns = 1_000_000_000
    answer: bytes | None = None
    while not script.is_over:
        who, when, how, ttl, tos = (script.number() for _ in range(5))
        address = ADDRESSES[who % len(ADDRESSES)]
        port = PORTS[who // len(ADDRESSES) % len(PORTS)]
        now_ns += when * when * 1_000_000
        packet = bytearray(script.piece(script.number(2) % 1600))
        if how & ECHO and answer is not None:
            packet = bytearray(answer)
        if len(packet) >= AUTH_BYTES and how & SEND_AUTH:
            packet[4:16] = bytes(12) if how & ECHO == 0 else packet[4:16]
            packet[26:28] = (7 + (how >> 3 & 1)).to_bytes(2, "big")
            key = KEYS[7 + (how >> 3 & 1)]
            seal(packet, key)
            if how & SEND_TLVS:
                seal_tlvs(packet, AUTH_BYTES, len(packet), key)
        was_answer = answer is not None and bytes(packet) == answer
        answer = watched.ask(bytes(packet), address, port, ttl, tos, now_ns)
        if was_answer and answer is not None:
            raise Broken("a reflector answers an answer: two of them would never stop")
        if answer is not None and how & SEND_AUTH and len(packet) >= AUTH_BYTES:
            _check_seal(bytes(packet), answer)
    watched.check_bounds(now_ns)


def _check_seal(packet: bytes, answer: bytes) -> None:
    """What was asked under a key and answered as such is sealed by the same key."""
    for key in KEYS.values():
        if is_sealed_by(packet, key) and packet[4:16] == bytes(12):
            if not is_sealed_by(answer, key):
                raise Broken("the answer to a sealed packet is not sealed")
            if tlvs_are_sealed_by(packet, len(packet), key) and not tlvs_are_sealed_by(answer, len(answer), key):
                raise Broken("the extensions of a sealed packet are answered unsealed")


def seeds() -> list[bytes]:
    """In each mode: an open packet twice, its answer sent back, a short one, a sealed one with extensions."""
    stamp = ntp_from_unix_ns(START_NS).to_bytes(8, "big")
    plain = bytes(4) + stamp + bytes(32)
    sealed = bytes(16) + stamp + bytes(2) + bytes(86) + b"\x80\x04\x00\x04" + bytes(4) + b"\x80\x08\x00\x10" + bytes(16)
    found = []
    for mode in range(len(MODES)):
        packets = [
            _packet(21, 0, plain), _packet(21, 0, plain), _packet(21, ECHO, plain), _packet(23, 0, plain[:14]),
            _packet(21, SEND_AUTH | SEND_TLVS, sealed), _packet(24, SEND_AUTH, sealed), _packet(24, ECHO, sealed),
        ]  # fmt: skip
        found.append(bytes([mode]) + b"".join(packets))
    return found


def _packet(who: int, how: int, octets: bytes) -> bytes:
    return bytes((who, 3, how, 60, 0xB8)) + len(octets).to_bytes(2, "big") + octets


TARGET = Target(one_input, seeds)
