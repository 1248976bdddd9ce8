"""What a metric is called outside: Prometheus and Influx names, derived from the wire's name alone.

Prometheus wants base units and the unit last in the name (prometheus.io/docs/practices/naming); Influx keeps the wire's
own names. Because only the name is read, a metric that nobody declared is called the same way.
"""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "diemcau"


class BaseUnit(NamedTuple):
    """How a suffix of the wire ends in Prometheus, and how a value gets there: `value * times / over`."""

    suffix: str
    times: int = 1
    over: int = 1


BASE_UNITS: dict[str, BaseUnit] = {
    "ms": BaseUnit("seconds", over=1000),
    "s": BaseUnit("seconds"),
    "ratio": BaseUnit("ratio"),
    "bytes": BaseUnit("bytes"),
    "packets": BaseUnit("packets"),
    "reports": BaseUnit("reports"),
    "kbps": BaseUnit("bits_per_second", times=1_000),
    "mbps": BaseUnit("bits_per_second", times=1_000_000),
    "pps": BaseUnit("packets_per_second"),
    "px": BaseUnit("pixels"),
    "hz": BaseUnit("hertz"),
    "k": BaseUnit("kelvin"),
    "c": BaseUnit("celsius"),
    "v": BaseUnit("volts"),
    "db": BaseUnit("decibels"),
    # A histogram's own series end in _count, so a gauge may not (OpenMetrics 1.0, section "Histogram").
    "count": BaseUnit(""),
}
"""Suffix of the wire name to base unit; a name that ends in none of these (dbfs, dbm, mos_estimate) stays as it is."""


class PrometheusName(NamedTuple):
    """A metric's Prometheus name, and the way from the wire's unit to the base unit."""

    name: str
    times: int = 1
    over: int = 1

    def value(self, wire: float) -> float:
        """The wire's value in the base unit. Multiplied, then divided, so that 3.21 ms reads 0.00321 s."""
        return wire * self.times / self.over


def prometheus_name(full_name: str) -> PrometheusName:
    """`link.rtt_p50_ms` → `diemcau_link_rtt_p50_seconds`, a thousandth of the value."""
    probe, _, name = full_name.partition(".")
    stem, _, suffix = name.rpartition("_")
    unit = BASE_UNITS.get(suffix)
    if not stem or unit is None:
        return PrometheusName("_".join((PREFIX, probe, name)))
    words = (PREFIX, probe, stem, unit.suffix) if unit.suffix else (PREFIX, probe, stem)
    return PrometheusName("_".join(words), unit.times, unit.over)


class InfluxName(NamedTuple):
    """Where a metric stands in Influx: the measurement is its probe, the field its name on the wire."""

    measurement: str
    field: str


def influx_name(full_name: str) -> InfluxName:
    """`link.rtt_p50_ms` → measurement `link`, field `rtt_p50_ms`."""
    probe, _, name = full_name.partition(".")
    return InfluxName(probe, name)
