"""The centre's own figures, by prometheus-client, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.centre import Centre


class _Own(Collector):
    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    def collect(self) -> Iterator[Metric]:
        centre = self._centre
        counts = centre.collector.counts
        for name, meaning, value in (
            ("batches", "POSTs taken.", counts.batches),
            ("reports_stored", "Reports that became durable.", counts.stored),
            ("reports_known", "Reports that were there already.", counts.known),
            ("reports_refused", "Reports refused alone.", counts.refused),
            ("ranges_gone", "Ranges that devices gave up.", counts.gone),
            ("unknown_keys", "Keys on the wire that this program does not know.", counts.ignored_keys),
            ("wrong_clocks", "Reports from an impossible time.", counts.wrong_clocks),
            ("values_left_out", "Undeclared metrics beyond what one device may bring.", counts.left_out_values),
            ("streams_left_out", "Reports of streams beyond what one site may have.", centre.live.too_many_streams),
            ("listeners_dropped", "Pages let go because they were behind.", centre.events.dropped_listeners),
        ):
            yield CounterMetricFamily(f"diemcau_centre_{name}", meaning, value)
        for name, meaning, level in (
            ("listeners", "Open pages.", centre.events.listening),
            ("waiting_reports", "Reports that wait for the disk.", centre.store.waiting_reports),
            ("store_ok", "1 while the store takes reports.", int(centre.store.fault() is None)),
            ("last_entry", "Runs stored since the beginning.", centre.live.entry),
            ("clock_rate", "Seconds of the centre's clock in a real second.", centre.clock.rate),
        ):
            yield GaugeMetricFamily(f"diemcau_centre_{name}", meaning, level)


def own_metrics(centre: Centre) -> bytes:
    """The text of the centre's own figures."""
    registry = CollectorRegistry()
    registry.register(_Own(centre))
    return generate_latest(registry)
