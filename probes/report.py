"""THE wire, version 1: what a device says to the centre, and how it is read back.

A **report** is one run of one probe at one site. Its identity for ever is (device, boot, seq): the spool gives it
`boot` and `seq` when it takes the report in; until then they are "" and 0.

A batch that keeps every rule is read in one pass; only one that does not is taken apart.
`decode` trusts nothing: sizes are bounded before anything is unpacked, a report that breaks a rule is refused alone
with a sentence, and its neighbours are kept.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec
import zstandard

WIRE = 1
MAX_WIRE_BYTES = 1 << 20
MAX_UNPACKED_BYTES = 4 << 20
MAX_REPORTS = 1000
MAX_GONE = 1000
MAX_VALUES = 256
MAX_LABELS = 16
MAX_LABEL_CHARS = 64
MAX_TEXT_CHARS = 300
MAX_NAME_CHARS = 64
MAX_SEQ = (1 << 53) - 1
"""Sequences and times stay exact in every JSON reader (RFC 8259 section 6)."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\[\]%-]{0,63}")
"""Devices, boots, sites, rooms, lines and targets: an id of ours, or a host or address."""
WHY_GONE = ("thinned", "disk_full", "refused")

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class ReportError(ValueError):
    """The whole batch cannot be read; `status` is the HTTP answer it deserves (413, 415 or 422)."""

    def __init__(self, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.status = status


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a run could not measure."""

    code: str
    text: str = ""


class Report(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One run of one probe at one site. What was not measured is absent from `values`."""

    probe: str
    at: int
    """Start of the run, ms since 1970 UTC."""
    took_ms: int = 0
    boot: str = ""
    seq: int = 0
    target: str | None = None
    line: str | None = None
    room: str | None = None
    site: str | None = None
    failure: Failure | None = None
    values: dict[str, float] = {}
    labels: dict[str, str] = {}


class Gone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_seq": "from", "to_seq": "to"}):
    """A range of sequences, both ends included, that will never come."""

    boot: str
    from_seq: int
    to_seq: int
    why: str


class Batch(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one POST carries."""

    wire: int
    device: str
    sent_at: int
    reports: list[Report] = []
    gone: list[Gone] = []


class Refused(msgspec.Struct, frozen=True):
    """A report the centre will never take, and the sentence that says why."""

    boot: str
    seq: int
    why: str


class Answer(msgspec.Struct, frozen=True):
    """What the centre says once everything in a batch is durable."""

    stored: int
    known: int
    refused: list[Refused] = []
    agenda: list[Any] = []


class Decoded(NamedTuple):
    """A batch as it was read: what may be stored, what was refused, and how many unknown keys were ignored."""

    batch: Batch
    refused: list[Refused]
    ignored_keys: int


class _Outer(msgspec.Struct, frozen=True):
    """The batch with its reports still raw, so that one bad report cannot spoil its neighbours."""

    wire: int
    device: str
    sent_at: int
    reports: list[msgspec.Raw] = []
    gone: list[msgspec.Raw] = []


_REPORT_KEYS = frozenset(Report.__struct_fields__)
_BATCH_KEYS = frozenset(Batch.__struct_fields__)
_GONE_KEYS = frozenset(("boot", "from", "to", "why"))
_encoder = msgspec.json.Encoder()
_outer_decoder = msgspec.json.Decoder(_Outer)
_batch_decoder = msgspec.json.Decoder(Batch)
_object_decoder = msgspec.json.Decoder(dict[str, Any])
_keys_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(batch: Batch) -> bytes:
    """The batch as JSON, UTF-8."""
    return _encoder.encode(batch)


def pack(body: bytes) -> bytes:
    """The body as sent with `Content-Encoding: zstd`."""
    return zstandard.ZstdCompressor(level=3).compress(body)


def unpack(body: bytes, encoding: str | None) -> bytes:
    """The plain JSON of a received body; never more than `MAX_UNPACKED_BYTES` are made.

    Raises:
        ReportError: with the HTTP status the sender should get.
    """
    if len(body) > MAX_WIRE_BYTES:
        raise ReportError(
            f"The body is {len(body)} bytes; at most {MAX_WIRE_BYTES} are taken. Send fewer reports.", 413
        )
    match (encoding or "identity").strip().lower():
        case "identity":
            plain = body
        case "gzip":
            plain = _gunzip(body)
        case "zstd":
            plain = _unzstd(body)
        case other:
            raise ReportError(f"Content-Encoding {other[:40]!r} is not known; use none, gzip or zstd.", 415)
    return plain


def _gunzip(body: bytes) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(body, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise ReportError(f"The body is not gzip: {error}.") from error
    _check_unpacked(plain)
    if not inflater.eof or inflater.unused_data:
        raise ReportError("The gzip body is cut short or has bytes after its end.")
    return plain


def _unzstd(body: bytes) -> bytes:
    try:
        with zstandard.ZstdDecompressor(max_window_size=8 << 20).stream_reader(body) as stream:
            plain = stream.read(MAX_UNPACKED_BYTES + 1)
    except zstandard.ZstdError as error:
        raise ReportError(f"The body is not zstd: {error}.") from error
    _check_unpacked(plain)
    return plain


def _check_unpacked(plain: bytes) -> None:
    if len(plain) > MAX_UNPACKED_BYTES:
        raise ReportError(f"The body unpacks to more than {MAX_UNPACKED_BYTES} bytes. Send fewer reports.", 413)


def decode(body: bytes, encoding: str | None = None) -> Decoded:
    """Read one POST body.

    Raises:
        ReportError: the batch as a whole cannot be read (its `status` is the HTTP answer).
    """
    plain = unpack(body, encoding)
    try:
        batch = _batch_decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _decode_apart(plain)
    _check_outer(batch)
    for gone in batch.gone:
        _check_gone(gone)
    faults = [fault_of(report) for report in batch.reports]
    if not any(faults):
        return Decoded(batch, [], 0)
    kept = [report for report, fault in zip(batch.reports, faults, strict=True) if fault is None]
    refused = [
        _refusal(report, fault) for report, fault in zip(batch.reports, faults, strict=True) if fault is not None
    ]
    return Decoded(msgspec.structs.replace(batch, reports=kept), refused, 0)


def _refusal(report: Report, fault: str) -> Refused:
    boot, seq = (report.boot, report.seq) if _is_identity(report.boot, report.seq) else ("", 0)
    return Refused(boot, seq, fault[:MAX_TEXT_CHARS])


def _decode_apart(plain: bytes) -> Decoded:
    """The slow way, for a batch with a broken report or an unknown key in it: each report by itself."""
    try:
        outer = _outer_decoder.decode(plain)
        ignored = len(_keys_decoder.decode(plain).keys() - _BATCH_KEYS)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError(f"The batch cannot be read: {error}.") from error
    _check_outer(outer)
    reports: list[Report] = []
    refused: list[Refused] = []
    for raw in outer.reports:
        try:
            report, unknown = _read_known(raw, Report, _REPORT_KEYS)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            boot, seq = _identity_of(raw)
            refused.append(Refused(boot, seq, f"The report cannot be read: {error}."[:MAX_TEXT_CHARS]))
            continue
        fault = fault_of(report)
        if fault is not None:
            refused.append(_refusal(report, fault))
            continue
        ignored += unknown
        reports.append(report)
    gone = [_read_gone(raw) for raw in outer.gone]
    return Decoded(Batch(outer.wire, outer.device, outer.sent_at, reports, gone), refused, ignored)


def _read_known(raw: msgspec.Raw, kind: type[_Struct], known: frozenset[str]) -> tuple[_Struct, int]:
    """The object with its unknown keys left out, and how many those were."""
    keys = _object_decoder.decode(raw)
    unknown = keys.keys() - known
    return msgspec.convert({key: value for key, value in keys.items() if key in known}, kind), len(unknown)


def _check_outer(outer: _Outer | Batch) -> None:
    if outer.wire != WIRE:
        raise ReportError(f"Wire version {outer.wire} is not known; this centre speaks {WIRE}.")
    if not IDENTITY.fullmatch(outer.device):
        raise ReportError(f"The device {outer.device[:80]!r} is not an id.")
    if not -MAX_SEQ <= outer.sent_at <= MAX_SEQ:
        raise ReportError(f"sent_at {str(outer.sent_at)[:40]} is no time in ms.")
    if len(outer.reports) > MAX_REPORTS:
        raise ReportError(f"The batch has {len(outer.reports)} reports; at most {MAX_REPORTS} are taken.", 413)
    if len(outer.gone) > MAX_GONE:
        raise ReportError(f"The batch closes {len(outer.gone)} ranges; at most {MAX_GONE} are taken.", 413)


def fault_of(report: Report) -> str | None:
    """The first rule of the wire that this report breaks, as a sentence; None when it keeps them all."""
    return (
        _identity_fault(report)
        or _values_fault(report.values)
        or _labels_fault(report.labels)
        or _failure_fault(report.failure)
    )


def _identity_fault(report: Report) -> str | None:
    if not IDENTITY.fullmatch(report.boot):
        return f"boot {report.boot[:80]!r} is not an id."
    if not 0 < report.seq <= MAX_SEQ:
        return f"seq {report.seq} is not a positive number below 2^53."
    if not NAME.fullmatch(report.probe):
        return f"probe {report.probe[:80]!r} is not a name: a-z, 0-9 and _ only, a letter first."
    if not -MAX_SEQ <= report.at <= MAX_SEQ:
        return f"at {report.at} is no time in ms."
    if not 0 <= report.took_ms <= MAX_SEQ:
        return f"took_ms {report.took_ms} is no duration in ms."
    for name, value in (
        ("target", report.target),
        ("line", report.line),
        ("room", report.room),
        ("site", report.site),
    ):
        if value is not None and not IDENTITY.fullmatch(value):
            return f"{name} {value[:80]!r} is not an id or an address."
    return None


def _values_fault(values: Mapping[str, float]) -> str | None:
    if len(values) > MAX_VALUES:
        return f"The report has {len(values)} values; at most {MAX_VALUES} are taken."
    if all(map(NAME.fullmatch, values)) and all(map(math.isfinite, values.values())):
        return None
    for name, value in values.items():
        if not NAME.fullmatch(name):
            return f"value {name[:80]!r} is not a name: a-z, 0-9 and _ only, a letter first."
        if not math.isfinite(value):
            return f"value {name} is {value}: leave out what was not measured."
    return None


def _labels_fault(labels: Mapping[str, str]) -> str | None:
    if len(labels) > MAX_LABELS:
        return f"The report has {len(labels)} labels; at most {MAX_LABELS} are taken."
    for name, text in labels.items():
        if not NAME.fullmatch(name):
            return f"label {name[:80]!r} is not a name: a-z, 0-9 and _ only, a letter first."
        if len(text) > MAX_LABEL_CHARS or not text.isprintable():
            return f"label {name} is {text[:80]!r}: at most {MAX_LABEL_CHARS} printable characters are taken."
    return None


def _failure_fault(failure: Failure | None) -> str | None:
    if failure is None:
        return None
    if not NAME.fullmatch(failure.code):
        return f"failure code {failure.code[:80]!r} is not a name: a-z, 0-9 and _ only, a letter first."
    if len(failure.text) > MAX_TEXT_CHARS:
        return f"The failure's text has {len(failure.text)} characters; at most {MAX_TEXT_CHARS} are taken."
    return None


def _read_gone(raw: msgspec.Raw) -> Gone:
    try:
        gone, _ = _read_known(raw, Gone, _GONE_KEYS)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReportError(f"A range in gone cannot be read: {error}.") from error
    _check_gone(gone)
    return gone


def _check_gone(gone: Gone) -> None:
    if not IDENTITY.fullmatch(gone.boot):
        raise ReportError(f"boot {gone.boot[:80]!r} in gone is not an id.")
    if not 0 < gone.from_seq <= gone.to_seq <= MAX_SEQ:
        raise ReportError(f"gone {gone.from_seq}-{gone.to_seq} is not a range of sequences.")
    if gone.why not in WHY_GONE:
        raise ReportError(f"gone because {gone.why[:40]!r} is not known; use one of {', '.join(WHY_GONE)}.")


def _identity_of(raw: msgspec.Raw) -> tuple[str, int]:
    """Boot and seq of a report that is otherwise broken, so that its sender can close it; ("", 0) when unreadable."""
    try:
        keys = _keys_decoder.decode(raw)
        boot = msgspec.json.decode(keys["boot"], type=str)
        seq = msgspec.json.decode(keys["seq"], type=int)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return "", 0
    return (boot, seq) if _is_identity(boot, seq) else ("", 0)


def _is_identity(boot: str, seq: int) -> bool:
    return IDENTITY.fullmatch(boot) is not None and 0 < seq <= MAX_SEQ
