"""The Session-Reflector of RFC 8762, stateful: one packet in, one packet out, no socket and no clock.

It must never become a weapon. It answers only listed senders, or those whose HMAC holds; never longer than it was
asked (a listed TWAMP-Light router excepted); never a packet that comes from a reflector's port or looks like an
answer, so that no forged packet can run between two reflectors; never faster than agreed. Its tables are bounded, and
forged sources push no live session out. What it does not answer it counts, by reason.
"""

from __future__ import annotations

from struct import Struct

from probes.link.admit import Sender, Senders
from probes.link.bounds import Bucket, ReplayWindow, Table
from probes.link.packet import (
    AUTH_BYTES,
    AUTH_REPLY,
    HMAC_BYTES,
    OPEN_BYTES,
    OPEN_REPLY,
    TWAMP_REQUEST_BYTES,
    is_sealed_by,
    reflect_tlvs_into,
    seal,
    unix_ns_from_stamp,
)

REFUSED = -1
"""What `Reflector.answer` returns instead of a TOS: silence."""

IDLE_NS = 30_000_000_000
"""A session not heard for so long starts anew: STAMP has no session start or end."""
LATE_NS = 3_000_000_000
LATE_NTP = 3 << 32
"""A packet is lost after 3 s, so anything older than that is not a late first packet."""
RECORDED_NTP = 30 << 32

AGREED_PPS = 60
"""What a sender sends at most: 10 a second always and a burst of 50."""
OPEN_PPS = 100
"""What open mode grants a source."""
SESSIONS_PER_SENDER = 8

REFLECTOR_PORTS = frozenset((0, 7, 19, 53, 123, 862))
"""Ports that answer whatever arrives (echo, chargen, DNS, NTP, STAMP), and 0, which cannot be answered."""

REASONS = (
    "too_short",
    "too_long",
    "reflector_port",
    "answer",
    "stranger",
    "bad_hmac",
    "replay",
    "clock",
    "source_rate",
    "total_rate",
    "new_rate",
    "table_full",
    "unsendable",
)

_OPEN_HEAD = Struct("!IQHHI")
"""seq, T1, error, SSID, and the octets where an answer carries the seconds of its T2."""
_AUTH_HEAD = Struct("!I12xQHH4xQ")
"""seq, T1, error, SSID, and the octets where an answer carries its T2."""
_UNSEALED = bytes(HMAC_BYTES)
_DAY_S = 86_400


class Refused(Exception):
    """The packet gets silence; `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Session:
    """What is remembered of one sender at one address and port under one SSID."""

    __slots__ = ("bucket", "heard_ns", "kept_ns", "latest_t1", "rseq", "sender", "ssid")

    def __init__(self, sender: Sender | None, ssid: int, bucket: Bucket, t1: int, now_ns: int) -> None:
        self.sender = sender
        self.bucket = bucket
        self.heard_ns = self.kept_ns = now_ns
        self.restart(ssid, t1)

    def restart(self, ssid: int, t1: int) -> None:
        """Count from 0 again: STAMP has no other way to say that a sender began anew."""
        self.ssid = ssid
        self.latest_t1 = t1
        self.rseq = 0


class ProvenSession(Session):
    """A session whose every packet's HMAC holds."""

    __slots__ = ("key", "window")

    def __init__(self, sender: Sender, key: bytes, ssid: int, t1: int, now_ns: int) -> None:
        super().__init__(sender, ssid, Bucket(2 * AGREED_PPS, 4 * AGREED_PPS), t1, now_ns)
        self.key = key

    def restart(self, ssid: int, t1: int) -> None:
        super().restart(ssid, t1)
        self.window = ReplayWindow()


class Reflector:
    """All sessions of one worker.

    `packets_per_second` bounds the total, `sessions` the table of unproven sessions, `source_pps` what an unproven
    source gets. `own_ports` are never answered. `clock_window_s` refuses authenticated packets whose T1 is further
    than that from T2: only where all clocks are disciplined.
    """

    def __init__(
        self,
        senders: Senders,
        own_ports: frozenset[int] = frozenset(),
        packets_per_second: int = 50_000,
        sessions: int = 8192,
        source_pps: int = 2 * AGREED_PPS,
        clock_window_s: float | None = None,
    ) -> None:
        self.error_estimate = 1
        """Of the machine's clock, as every answer says it; 1 = not synchronised (RFC 4656 section 4.1.2)."""
        self.answered = 0
        self.refused = dict.fromkeys(REASONS, 0)
        self._senders = senders
        self._mute_ports = REFLECTOR_PORTS | own_ports
        self._source_pps = source_pps
        self._clock_window_ns = None if clock_window_s is None else int(clock_window_s * 1e9)
        self._total = Bucket(packets_per_second, packets_per_second)
        # Each new session costs a look-up or an HMAC, and a place: forged ones must not take either from the live.
        self._newcomers = Bucket(max(1, sessions // 4), sessions)
        self._claims = Bucket(5_000, 10_000)
        self._unproven: Table[bytes, Session] = Table(sessions, IDLE_NS)
        self._proven: dict[bytes, ProvenSession] = {}
        self._places: dict[int, list[bytes]] = {}
        """Where each SSID was proven; what has ended is dropped at the next proof."""
        self._buckets: Table[bytes, Bucket] = Table(sessions, IDLE_NS)
        """Of unproven sources, by address: a source with many ports is one source."""

    def answer(
        self,
        reply: bytearray,
        request: bytearray,
        size: int,
        source: bytes,
        ttl: int,
        tos: int,
        t2: int,
        t3: int,
        now_ns: int,
    ) -> int:
        """Write the answer to `request[:size]` into `reply`; the TOS to send it with, or REFUSED.

        The answer is as long as the request, but at least 44 octets. Both buffers hold the longest packet. `source` is
        the port and then the address as a socket address has them: 6 octets for IPv4, 26 for IPv6. t2 and t3 are NTP
        stamps, `ttl` and `tos` as received, `now_ns` is monotonic.
        """
        try:
            if size < OPEN_BYTES:
                self._complete(request, size, source)
            seq, t1, error, ssid, beyond = _OPEN_HEAD.unpack_from(request)
            if not t1:  # the authenticated format has reserved zeros there
                return self._answer_sealed(reply, request, size, source, ttl, tos, t2, t3, now_ns)
            if beyond and -_DAY_S < beyond - (t3 >> 32) < _DAY_S:
                raise Refused("answer")
            session = self._unproven.get(source)
            if session is None:
                session = self._start(source, t1, ssid, now_ns)
            elif seq == 0 or session.ssid != ssid or now_ns - session.heard_ns > IDLE_NS:
                _restart_open(session, t1, ssid, now_ns)
            if not session.bucket.take(now_ns):
                raise Refused("source_rate")
            if not self._total.take_below_half(now_ns):
                raise Refused("total_rate")
        except Refused as refused:
            return self.refuse(refused.reason)
        session.heard_ns = now_ns
        if t1 > session.latest_t1:
            session.latest_t1 = t1
        OPEN_REPLY.pack_into(reply, 0, session.rseq, t3, self.error_estimate, ssid, t2, seq, t1, error, ttl)
        session.rseq = session.rseq + 1 & 0xFFFF_FFFF
        self.answered += 1
        if size <= OPEN_BYTES:
            return tos & 0xFC
        return reflect_tlvs_into(reply, request, size, tos)

    def refuse(self, reason: str) -> int:
        """Count a packet that gets silence."""
        self.refused[reason] += 1
        return REFUSED

    def know(self, senders: Senders) -> None:
        """Take a renewed list; sessions of senders that are gone, or have another key, end."""
        self._senders = senders
        for source, proven in list(self._proven.items()):
            if proven.sender != senders.with_key(proven.ssid):
                del self._proven[source]
        for source, session in list(self._unproven.items()):
            address = _address_of(source)
            session.sender = senders.listed(address)
            if session.sender is None and not senders.is_near(address):
                del self._unproven[source]

    def heard(self) -> dict[str, int]:
        """When each known site was last answered (monotonic ns), by any of its sessions."""
        latest: dict[str, int] = {}
        for session in (*self._proven.values(), *self._unproven.values()):
            if session.sender is not None and session.heard_ns > latest.get(session.sender.site, 0):
                latest[session.sender.site] = session.heard_ns
        return latest

    def expire(self, now_ns: int) -> int:
        """Forget idle sessions; how many are left."""
        for source in [source for source, each in self._proven.items() if now_ns - each.heard_ns > IDLE_NS]:
            del self._proven[source]
        for source in [source for source, each in self._unproven.items() if now_ns - each.heard_ns > IDLE_NS]:
            del self._unproven[source]
        return len(self._proven) + len(self._unproven)

    # --- senders known by where they are ----------------------------------------------------------------------------

    def _complete(self, request: bytearray, size: int, source: bytes) -> None:
        """A TWAMP-Light router sends from 14 octets up (RFC 5357 section 4.1.2) and gets 44: only where listed."""
        if size < TWAMP_REQUEST_BYTES or self._senders.listed(_address_of(source)) is None:
            raise Refused("too_short")
        request[size:OPEN_BYTES] = bytes(OPEN_BYTES - size)  # an older packet's octets must not leak

    def _start(self, source: bytes, t1: int, ssid: int, now_ns: int) -> Session:
        self._check_port(source)
        address = _address_of(source)
        sender = self._senders.listed(address)
        if sender is None and not self._senders.is_near(address):
            raise Refused("stranger")
        if not self._newcomers.take(now_ns):
            raise Refused("new_rate")
        session = Session(sender, ssid, self._bucket_of(address, now_ns), t1, now_ns)
        if not self._unproven.add(source, session, now_ns):
            raise Refused("table_full")
        return session

    def _bucket_of(self, address: bytes, now_ns: int) -> Bucket:
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = Bucket(self._source_pps, self._source_pps)
            if not self._buckets.add(address, bucket, now_ns):
                raise Refused("table_full")
        return bucket

    def _check_port(self, source: bytes) -> None:
        if (source[0] << 8 | source[1]) in self._mute_ports:
            raise Refused("reflector_port")

    # --- senders that prove themselves ------------------------------------------------------------------------------

    def _answer_sealed(
        self,
        reply: bytearray,
        request: bytearray,
        size: int,
        source: bytes,
        ttl: int,
        tos: int,
        t2: int,
        t3: int,
        now_ns: int,
    ) -> int:
        if size < AUTH_BYTES:
            raise Refused("too_short")
        seq, t1, error, ssid, beyond = _AUTH_HEAD.unpack_from(request)
        if beyond:
            raise Refused("answer")
        session = self._proven.get(source)
        if session is None or session.ssid != ssid:
            session = self._prove(request, source, t1, error, t2, ssid, now_ns)
        elif not is_sealed_by(request, session.key):
            raise Refused("bad_hmac")
        if self._clock_window_ns is not None:
            self._check_clock(t1, error, t2)
        idle = now_ns - session.heard_ns > IDLE_NS
        if idle or (seq == 0 and t1 > session.latest_t1):  # a recorded first packet is older than what came since
            session.restart(ssid, t1)
        if not session.window.is_fresh(seq):
            raise Refused("replay")
        if not session.bucket.take(now_ns):
            raise Refused("source_rate")
        if not self._total.take(now_ns):
            raise Refused("total_rate")
        session.window.mark(seq)
        session.heard_ns = now_ns
        if t1 > session.latest_t1:
            session.latest_t1 = t1
        AUTH_REPLY.pack_into(reply, 0, session.rseq, t3, self.error_estimate, ssid, t2, seq, t1, error, ttl, _UNSEALED)
        seal(reply, session.key)
        session.rseq = session.rseq + 1 & 0xFFFF_FFFF
        self.answered += 1
        if size == AUTH_BYTES:
            return tos & 0xFC
        return reflect_tlvs_into(reply, request, size, tos, session.key)

    def _check_clock(self, t1: int, error: int, t2: int) -> None:
        if abs(_apart_ns(t1, error, t2)) > (self._clock_window_ns or 0):
            raise Refused("clock")

    def _prove(
        self, request: bytearray, source: bytes, t1: int, error: int, t2: int, ssid: int, now_ns: int
    ) -> ProvenSession:
        sender = self._senders.with_key(ssid)
        if sender is None or sender.key is None:
            raise Refused("stranger")
        self._check_port(source)
        if not self._claims.take(now_ns):
            raise Refused("new_rate")
        if not is_sealed_by(request, sender.key):
            raise Refused("bad_hmac")
        self._make_place(ssid, t1, abs(_apart_ns(t1, error, t2)) <= LATE_NS, now_ns)
        session = ProvenSession(sender, sender.key, ssid, t1, now_ns)
        self._proven[source] = session
        self._places[ssid].append(source)
        return session

    def _make_place(self, ssid: int, t1: int, is_of_now: bool, now_ns: int) -> None:
        """A sender has few sessions, and a packet recorded from one of them opens no other.

        One stamped just now by our own clock is no recording, even where the sender's clock was set back meanwhile.
        """
        places = {
            source: session
            for source in self._places.get(ssid, ())
            if (session := self._proven.get(source)) is not None and session.ssid == ssid
        }
        self._places[ssid] = list(places)
        live = [each for each in places.values() if now_ns - each.heard_ns <= IDLE_NS]
        if not is_of_now and any(t1 < each.latest_t1 - RECORDED_NTP for each in live):
            raise Refused("replay")
        if len(places) < SESSIONS_PER_SENDER:
            return
        stalest = min(places, key=lambda source: places[source].heard_ns)
        if now_ns - places[stalest].heard_ns <= LATE_NS:
            raise Refused("table_full")
        del self._proven[stalest]
        self._places[ssid].remove(stalest)


def _restart_open(session: Session, t1: int, ssid: int, now_ns: int) -> None:
    """Begin anew, unless this is a late or doubled first packet of the session as it stands."""
    late = session.ssid == ssid and 0 <= session.latest_t1 - t1 < LATE_NTP
    if not late or now_ns - session.heard_ns > IDLE_NS:
        session.restart(ssid, t1)


def _apart_ns(t1: int, error: int, t2: int) -> int:
    """How far the sender's clock was from ours, the way here included."""
    return unix_ns_from_stamp(t1, error) - unix_ns_from_stamp(t2, 0)


def _address_of(source: bytes) -> bytes:
    """The address in a source: after the port, and for IPv6 between flow label and scope."""
    return source[2:] if len(source) == 6 else source[6:22]
