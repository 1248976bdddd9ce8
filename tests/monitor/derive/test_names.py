"""Names outside are derived, one to one, and in base units."""

import re

import pytest

from monitor.derive.names import BASE_UNITS, influx_name, prometheus_name
from probes.catalog import METRICS
from probes.metric import Unit


@pytest.mark.parametrize(
    ("wire", "outside", "value", "base"),
    [
        ("link.rtt_p50_ms", "diemcau_link_rtt_p50_seconds", 3.21, 0.00321),
        ("link.loss_up_ratio", "diemcau_link_loss_up_ratio", 0.042, 0.042),
        ("link.worst_200ms_up_ratio", "diemcau_link_worst_200ms_up_ratio", 0.1, 0.1),
        ("link.capacity_up_mbps", "diemcau_link_capacity_up_bits_per_second", 9.5, 9_500_000),
        ("call.rate_up_kbps", "diemcau_call_rate_up_bits_per_second", 300, 300_000),
        ("link.rate_pps", "diemcau_link_rate_packets_per_second", 10, 10),
        ("link.loss_runs_up_count", "diemcau_link_loss_runs_up", 4, 4),
        ("host.spool_age_s", "diemcau_host_spool_age_seconds", 12, 12),
        ("link.mos_estimate", "diemcau_link_mos_estimate", 4.3, 4.3),
        ("sound.noise_dbfs", "diemcau_sound_noise_dbfs", -61.5, -61.5),
        ("reach.up", "diemcau_reach_up", 1, 1),
    ],
)
def test_a_prometheus_name_ends_in_its_base_unit(wire: str, outside: str, value: float, base: float) -> None:
    name = prometheus_name(wire)
    assert name.name == outside
    assert name.value(value) == base


def test_a_metric_nobody_declared_is_named_the_same_way() -> None:
    assert prometheus_name("radio.fade_ms").name == "diemcau_radio_fade_seconds"


def test_no_two_metrics_share_a_name_outside() -> None:
    outside = [prometheus_name(name).name for name in METRICS]
    assert len(set(outside)) == len(outside)


def test_every_name_is_one_prometheus_takes_and_keeps_for_gauges() -> None:
    for name in METRICS:
        outside = prometheus_name(name).name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", outside)
        assert not outside.endswith(("_total", "_count", "_sum", "_bucket", "_info")), outside


def test_a_unit_that_is_no_base_unit_never_reaches_prometheus() -> None:
    scaled = {suffix for suffix, unit in BASE_UNITS.items() if (unit.times, unit.over) != (1, 1)}
    for name in METRICS:
        assert prometheus_name(name).name.rpartition("_")[2] not in scaled


def test_a_name_says_the_unit_that_was_declared() -> None:
    spelled = {Unit.MS: "ms", Unit.RATIO: "ratio", Unit.BYTES: "bytes", Unit.MBPS: "mbps", Unit.KBPS: "kbps"}
    for metric in METRICS.values():
        suffix = metric.name.rpartition("_")[2]
        if metric.unit in spelled:
            assert suffix == spelled[metric.unit], metric.full_name
        else:
            assert suffix not in spelled.values(), metric.full_name


def test_influx_keeps_the_names_of_the_wire() -> None:
    assert influx_name("link.rtt_p50_ms") == ("link", "rtt_p50_ms")
