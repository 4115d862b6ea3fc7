"""What the two /metrics pages share: an instance's and the monitor's."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


def expose(collector: Collector, accept: str) -> tuple[str, bytes]:
    """Return the content type and the text of a scrape whose ``Accept`` header is `accept`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge with a single series."""
    return GaugeMetricFamily(name, help_text, value=value)
