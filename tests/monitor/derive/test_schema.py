"""The wire's schema and the wire's own reader agree on what a report is."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from monitor.derive.schema import wire_schema
from probes.catalog import METRICS
from probes.report import Batch, Failure, Gone, Report, ReportError, decode, encode

Json = dict[str, Any]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    Draft202012Validator.check_schema(wire_schema())
    return Draft202012Validator(wire_schema())


def whole() -> Json:
    """A batch that uses every key."""
    batch = Batch(
        wire=1,
        device="d-3f9a21",
        sent_at=1795468800500,
        reports=[
            Report("link", 1795468790123, 10002, "9f3c20aa", 1841, "hp", "main", "main", "31-11329", None,
                   {"rtt_p50_ms": 3.21, "of_my_own": 1}, {"stamps": "kernel"}),
            Report("link", 1795468790123, 3000, "9f3c20aa", 1842, "hp", failure=Failure("hub_unreachable", "No.")),
        ],
        gone=[Gone("9f3c20aa", 900, 1200, "thinned")],
    )  # fmt: skip
    decoded: Json = msgspec.json.decode(encode(batch))
    return decoded


def taken(batch: Json) -> bool:
    """Whether the wire's own reader takes every report of the batch."""
    try:
        return not decode(msgspec.json.encode(batch)).refused
    except ReportError:
        return False


def of_report(key: str, value: Any) -> Callable[[Json], None]:
    def spoil(batch: Json) -> None:
        batch["reports"][0][key] = value

    return spoil


FAULTS: dict[str, Callable[[Json], None]] = {
    "another version": lambda batch: batch.update(wire=2),
    "a device that is no id": lambda batch: batch.update(device="a b"),
    "no probe": lambda batch: batch["reports"][0].pop("probe"),
    "a probe with capitals": of_report("probe", "Link"),
    "sequence zero": of_report("seq", 0),
    "a sequence past 2^53": of_report("seq", 1 << 53),
    "a fraction as time": of_report("at", 1.5),
    "a negative duration": of_report("took_ms", -1),
    "a target with a space": of_report("target", "h p"),
    "null as a value": of_report("values", {"rtt_p50_ms": None}),
    "a word as a value": of_report("values", {"rtt_p50_ms": "3"}),
    "a value's name with a dash": of_report("values", {"rtt-p50": 3}),
    "257 values": of_report("values", {f"v{number}": 1 for number in range(257)}),
    "17 labels": of_report("labels", {f"l{number}": "" for number in range(17)}),
    "a label of 65 characters": of_report("labels", {"stamps": "k" * 65}),
    "a number as a label": of_report("labels", {"stamps": 1}),
    "a failure without a code": of_report("failure", {"text": "No."}),
    "a failure of 301 characters": of_report("failure", {"code": "no", "text": "x" * 301}),
    "gone for no known reason": lambda batch: batch["gone"][0].update(why="lost"),
    "1001 reports": lambda batch: batch.update(reports=batch["reports"][:1] * 1001),
}


def test_a_whole_batch_is_valid_and_taken(schema: Draft202012Validator) -> None:
    assert list(schema.iter_errors(whole())) == []
    assert taken(whole())


def test_what_is_absent_may_be_absent(schema: Draft202012Validator) -> None:
    batch: Json = {"wire": 1, "device": "d", "sent_at": 0}
    assert schema.is_valid(batch)
    assert taken(batch)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_schema_refuses_the_wire_refuses(schema: Draft202012Validator, fault: str) -> None:
    batch = whole()
    FAULTS[fault](batch)
    assert not schema.is_valid(batch)
    assert not taken(batch)


def test_an_unknown_key_is_taken_by_both(schema: Draft202012Validator) -> None:
    batch = whole()
    batch["reports"][0]["firmware"] = "1.2"
    assert schema.is_valid(batch)
    assert taken(batch)


def test_every_declared_metric_is_described() -> None:
    known = {
        rule["if"]["properties"]["probe"]["const"]: rule["then"]["properties"]["values"]["properties"]
        for rule in wire_schema()["$defs"]["report"]["allOf"]
    }
    assert {f"{probe}.{name}" for probe, names in known.items() for name in names} == set(METRICS)
