"""The wire as JSON Schema (draft 2020-12): what a foreign device may hold its batches against before sending them.

Bounds come from `probes.report`, names from the declarations. What JSON Schema cannot say (the size of a body, a
sequence twice in one batch) the centre says in its answer.
"""

from __future__ import annotations

from typing import Any

from probes.catalog import FAILURES, METRICS, PROBES
from probes.metric import Metric
from probes.report import (
    IDENTITY,
    MAX_GONE,
    MAX_LABEL_CHARS,
    MAX_LABELS,
    MAX_REPORTS,
    MAX_SEQ,
    MAX_TEXT_CHARS,
    MAX_VALUES,
    NAME,
    WHY_GONE,
    WIRE,
)

Schema = dict[str, Any]

SEQ: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_SEQ}
TIME: Schema = {"type": "integer", "minimum": -MAX_SEQ, "maximum": MAX_SEQ, "description": "ms since 1970 UTC"}
NAMES: Schema = {"pattern": f"^{NAME.pattern}$"}
ID: Schema = {"type": "string", "pattern": f"^{IDENTITY.pattern}$"}
ID_OR_NULL: Schema = {"type": ["string", "null"], "pattern": f"^{IDENTITY.pattern}$"}


def wire_schema() -> Schema:
    """The body of `POST /api/v1/reports`, unpacked."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"diemcau wire, version {WIRE}",
        "description": "One batch of reports from a device to the centre. Unknown keys are ignored and counted. "
        "What was not measured is absent from values: never null, 0 or NaN.",
        "type": "object",
        "required": ["wire", "device", "sent_at"],
        "properties": {
            "wire": {"const": WIRE},
            "device": ID,
            "sent_at": TIME,
            "reports": {"type": "array", "maxItems": MAX_REPORTS, "items": {"$ref": "#/$defs/report"}},
            "gone": {"type": "array", "maxItems": MAX_GONE, "items": {"$ref": "#/$defs/gone"}},
        },
        "$defs": {"report": _report(), "failure": _failure(), "gone": _gone()},
    }


def _report() -> Schema:
    return {
        "description": "One run of one probe at one site. (device, boot, seq) is its identity for ever.",
        "type": "object",
        "required": ["probe", "at", "boot", "seq"],
        "properties": {
            "boot": ID,
            "seq": SEQ,
            "probe": {"type": "string", **NAMES},
            "at": {**TIME, "description": "Start of the run, ms since 1970 UTC"},
            "took_ms": {"type": "integer", "minimum": 0, "maximum": MAX_SEQ},
            "target": {**ID_OR_NULL, "description": "The hub or address measured against"},
            "line": {**ID_OR_NULL, "description": "main where absent"},
            "room": {**ID_OR_NULL, "description": "main where absent"},
            "site": {**ID_OR_NULL, "description": "Only for the roles hub, central and browser"},
            "failure": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/failure"}]},
            "values": {
                "type": "object",
                "maxProperties": MAX_VALUES,
                "propertyNames": NAMES,
                "additionalProperties": {"type": "number"},
            },
            "labels": {
                "type": "object",
                "maxProperties": MAX_LABELS,
                "propertyNames": NAMES,
                "additionalProperties": {"type": "string", "maxLength": MAX_LABEL_CHARS},
            },
        },
        "allOf": [_known(probe) for probe in PROBES],
    }


def _known(probe: str) -> Schema:
    """What is known of one probe's values and failures: words only, since unknown names are stored too."""
    values = {metric.name: _value(metric) for metric in METRICS.values() if metric.probe == probe}
    codes = {code.code: code.label.en for code in FAILURES.values() if code.probe == probe}
    told = "; ".join(f"{code}: {label}" for code, label in codes.items())
    known: Schema = {"values": {"properties": values}}
    if told:
        known["failure"] = {"description": f"Declared codes: {told}."}
    return {"if": {"properties": {"probe": {"const": probe}}}, "then": {"properties": known}}


def _value(metric: Metric) -> Schema:
    return {"title": metric.label.en, "description": metric.meaning.en, "x-unit": metric.unit.value}


def _failure() -> Schema:
    return {
        "description": "Why the run could not measure. A failed run is still a report.",
        "type": "object",
        "required": ["code"],
        "properties": {"code": {"type": "string", **NAMES}, "text": {"type": "string", "maxLength": MAX_TEXT_CHARS}},
    }


def _gone() -> Schema:
    return {
        "description": "A range of sequences, both ends included, that will never come.",
        "type": "object",
        "required": ["boot", "from", "to", "why"],
        "properties": {"boot": ID, "from": SEQ, "to": SEQ, "why": {"enum": list(WHY_GONE)}},
    }
