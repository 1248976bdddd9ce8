"""METRICS and FAILURES: every probe's declarations joined, by full name. Adding a probe is one line here."""

from __future__ import annotations

import probes.host.metrics as host
import probes.hub.metrics as hub
import probes.lan.metrics as lan
import probes.link.metrics as link
import probes.reach.metrics as reach
from probes.metric import FailureCode, Metric

PROBES = {
    "link": link,
    "lan": lan,
    "reach": reach,
    "hub": hub,
    "host": host,
}

METRICS: dict[str, Metric] = {metric.full_name: metric for probe in PROBES.values() for metric in probe.METRICS}

FAILURES: dict[str, FailureCode] = {
    f"{failure.probe}.{failure.code}": failure for probe in PROBES.values() for failure in probe.FAILURES
}
