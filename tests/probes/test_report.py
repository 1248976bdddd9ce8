"""The wire: what is read, what is refused alone, and what refuses the whole batch."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from probes.report import (
    MAX_UNPACKED_BYTES,
    MAX_WIRE_BYTES,
    Batch,
    Failure,
    Gone,
    Refused,
    Report,
    ReportError,
    decode,
    encode,
    fault_of,
    pack,
)

SPECIMENS = Path(__file__).parent / "specimens"


def one(**changes: Any) -> dict[str, Any]:
    """A report as a foreign client would send it."""
    report = {
        "boot": "9f3c20aa",
        "seq": 1841,
        "probe": "link",
        "at": 1795468790123,
        "took_ms": 10002,
        "target": "hp",
        "failure": None,
        "values": {"rtt_p50_ms": 3.21},
        "labels": {"stamps": "kernel"},
    }
    return report | changes


def batch(*reports: dict[str, Any], **changes: Any) -> bytes:
    outer = {"wire": 1, "device": "d-3f9a21", "sent_at": 1795468800500, "reports": list(reports)}
    return json.dumps(outer | changes).encode()


def test_the_contracts_own_example_is_read_whole() -> None:
    body = (SPECIMENS / "batch_of_the_contract.json").read_bytes()
    decoded = decode(body)
    assert decoded.refused == []
    assert decoded.ignored_keys == 0
    assert decoded.batch.reports == [
        Report(
            "link",
            1795468790123,
            10002,
            "9f3c20aa",
            1841,
            target="hp",
            values={"rtt_p50_ms": 3.21},
            labels={"stamps": "kernel"},
        )
    ]
    assert decoded.batch.gone == [Gone("9f3c20aa", 900, 1200, "thinned")]


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [
        (None, bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("ZSTD", pack),
    ],
)
def test_none_gzip_and_zstd_all_carry_it(encoding: str | None, squeeze: Any) -> None:
    assert len(decode(squeeze(batch(one())), encoding).batch.reports) == 1


def test_a_zstd_frame_without_its_size_is_read_too() -> None:
    body = zstandard.ZstdCompressor(write_content_size=False).compress(batch(one()))
    assert len(decode(body, "zstd").batch.reports) == 1


def test_an_unknown_encoding_is_415() -> None:
    with pytest.raises(ReportError, match="'br' is not known") as caught:
        decode(batch(one()), "br")
    assert caught.value.status == 415


def test_a_body_over_a_mebibyte_is_413_before_it_is_unpacked() -> None:
    with pytest.raises(ReportError, match="at most 1048576") as caught:
        decode(b"x" * (MAX_WIRE_BYTES + 1), "zstd")
    assert caught.value.status == 413


@pytest.mark.parametrize(("encoding", "squeeze"), [("gzip", gzip.compress), ("zstd", pack)])
def test_a_bomb_is_413_and_never_unpacked_whole(encoding: str, squeeze: Any) -> None:
    bomb = squeeze(b" " * (40 * MAX_UNPACKED_BYTES))
    assert len(bomb) < MAX_WIRE_BYTES
    with pytest.raises(ReportError, match="unpacks to more than") as caught:
        decode(bomb, encoding)
    assert caught.value.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_cut_short_is_422_with_a_sentence(encoding: str) -> None:
    whole = gzip.compress(batch(one())) if encoding == "gzip" else pack(batch(one()))
    with pytest.raises(ReportError) as caught:
        decode(whole[:-9], encoding)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (batch(one(), wire=2), "Wire version 2 is not known"),
        (batch(one(), device=""), "device '' is not an id"),
        (batch(one(), sent_at=1 << 80), "sent_at 1208925819614629174706176 is no time"),
        (batch(one(), gone=[{"boot": "a", "from": 5, "to": 4, "why": "thinned"}]), "not a range"),
        (batch(one(), gone=[{"boot": "a", "from": 1, "to": 4, "why": "lost"}]), "'lost' is not known"),
        (batch(one(), gone=[{"boot": "a", "from": "1", "to": 4, "why": "thinned"}]), "gone cannot be read"),
    ],
)
def test_an_unreadable_batch_is_422_with_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(ReportError, match=sentence) as caught:
        decode(body)
    assert caught.value.status == 422


def test_more_than_a_thousand_reports_are_413() -> None:
    with pytest.raises(ReportError, match="1001 reports") as caught:
        decode(batch(*[one(seq=seq) for seq in range(1, 1002)]))
    assert caught.value.status == 413


BAD_REPORTS = {
    "seq 0": one(seq=0),
    "seq too large for JSON": one(seq=1 << 53),
    "seq a text": one(seq="7"),
    "no boot": one(boot=""),
    "boot missing": {key: value for key, value in one().items() if key != "boot"},
    "probe in capitals": one(probe="Link"),
    "probe too long": one(probe="a" * 65),
    "value null": one(values={"rtt_p50_ms": None}),
    "value a text": one(values={"rtt_p50_ms": "3"}),
    "value named in capitals": one(values={"RTT": 3}),
    "257 values": one(values={f"v{number}": 1 for number in range(257)}),
    "17 labels": one(labels={f"l{number}": "x" for number in range(17)}),
    "a label of 65 letters": one(labels={"stamps": "x" * 65}),
    "a label over two lines": one(labels={"stamps": "a\nb"}),
    "failure text of 301 letters": one(failure={"code": "x", "text": "x" * 301}),
    "failure code with a space": one(failure={"code": "no hub", "text": ""}),
    "target with a newline": one(target="a\nb"),
    "a negative duration": one(took_ms=-1),
    "not an object": 17,
}


@pytest.mark.parametrize("bad", BAD_REPORTS.values(), ids=BAD_REPORTS.keys())
def test_a_bad_report_is_refused_alone_with_a_sentence(bad: Any) -> None:
    decoded = decode(batch(one(seq=1), bad, one(seq=3)))
    assert [report.seq for report in decoded.batch.reports] == [1, 3]
    assert len(decoded.refused) == 1
    assert decoded.refused[0].why.endswith(".")
    assert len(decoded.refused[0].why) > 20


def test_a_number_that_is_not_finite_cannot_pass() -> None:
    body = batch(one(seq=1), one(seq=2)).replace(b"3.21", b"1e999", 1)
    decoded = decode(body)
    assert [report.seq for report in decoded.batch.reports] == [2]


def test_a_broken_report_still_names_itself_so_that_its_sender_can_close_it() -> None:
    decoded = decode(batch(one(seq=77, values={"x": None})))
    assert (decoded.refused[0].boot, decoded.refused[0].seq) == ("9f3c20aa", 77)


def test_unknown_keys_are_ignored_and_counted() -> None:
    decoded = decode(batch(one(colour="red", mood="fine"), one(seq=2), future=1))
    assert len(decoded.batch.reports) == 2
    assert decoded.ignored_keys == 3
    assert decoded.refused == []


def test_unknown_metric_names_are_kept() -> None:
    decoded = decode(batch(one(values={"never_heard_of": 1})))
    assert decoded.batch.reports[0].values == {"never_heard_of": 1.0}


def test_a_failed_run_is_still_a_report() -> None:
    decoded = decode(batch(one(failure={"code": "hub_unreachable", "text": "No answer from hp."}, values={})))
    assert decoded.batch.reports[0].failure == Failure("hub_unreachable", "No answer from hp.")


names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
finite = st.floats(allow_nan=False, allow_infinity=False)
reports = st.builds(
    Report,
    probe=names,
    at=st.integers(0, 2**52),
    took_ms=st.integers(0, 10**9),
    boot=ids,
    seq=st.integers(1, 2**53 - 1),
    target=st.none() | ids,
    line=st.none() | ids,
    failure=st.none() | st.builds(Failure, code=names, text=st.text(max_size=300)),
    values=st.dictionaries(names, finite, max_size=8),
    labels=st.dictionaries(names, st.text(st.characters(categories=["L", "N"]), max_size=64), max_size=4),
)


@given(st.lists(reports, max_size=5))
def test_what_is_encoded_is_decoded_the_same(sent: list[Report]) -> None:
    said = Batch(1, "d-1", 5, sent, [Gone("b", 1, 2, "refused")])
    decoded = decode(pack(encode(said)), "zstd")
    assert decoded.batch == said
    assert decoded.refused == []
    assert all(fault_of(report) is None for report in sent)


@given(st.binary(max_size=400), st.sampled_from([None, "gzip", "zstd", "x"]))
def test_any_bytes_are_read_or_refused_with_a_sentence(body: bytes, encoding: str | None) -> None:
    try:
        decode(body, encoding)
    except ReportError as error:
        assert str(error).endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(list(one())), json_values), json_values)
def test_any_json_in_place_of_any_key_is_kept_or_refused_alone(changes: dict[str, Any], stray: Any) -> None:
    try:
        decoded = decode(batch(one(seq=5), one(seq=6, **{k: v for k, v in changes.items() if k != "seq"}), stray))
    except ReportError as error:
        assert str(error).endswith(".")
        return
    assert decoded.batch.reports[0].seq == 5
    assert all(isinstance(each, Refused) and each.why for each in decoded.refused)
