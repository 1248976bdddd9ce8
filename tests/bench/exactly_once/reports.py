"""Reports that carry their own proof: a number no other report has, and a sum over all that they say."""

from __future__ import annotations

import zlib
from random import Random

import msgspec

from probes.link.metrics import METRICS
from probes.report import Report

FIGURES = tuple(metric.name for metric in METRICS)[:30]
STRANGE = "told_by_nobody"
"""A metric that no declaration knows: the centre keeps it elsewhere, and must keep it as well."""
PROBES = ("link", "link", "link", "unheard_of")
MINUTES = 20_000


def make(number: str, at: int, random: Random, each_its_own: bool) -> Report:
    """A report named `number`. `each_its_own`: of a source of its own, so that it is the first of its minute there and
    a spool without room cannot thin it, only drop it."""
    values = {name: random.uniform(-1e6, 1e6) for name in (*random.sample(FIGURES, 20), STRANGE)}
    target = f"t{random.randrange(MINUTES)}" if each_its_own else "hp"
    report = Report(random.choice(PROBES), at, random.randrange(20_000), target=target, line="main", values=values)
    return msgspec.structs.replace(report, labels={"number": number, "sum": sum_of(report)})


def sum_of(report: Report) -> str:
    """CRC-32 over what the report says, identity and labels left out."""
    said = [report.probe, report.at, report.took_ms, report.target, report.line, sorted(report.values.items())]
    return f"{zlib.crc32(msgspec.json.encode(said)):08x}"
