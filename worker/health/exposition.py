"""What the two /metrics pages share: an instance's and the monitor's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

#: Labels whose values name what the public need not know, and what stands there instead.
_PRIVATE: Final = {"queue": "*", "release": ""}


def expose(collector: Collector, accept: str, *, named: bool) -> tuple[str, bytes]:
    """Return the content type and the text of a scrape whose ``Accept`` header is `accept`.

    Unless `named`, queues and the release are not told: the series of all queues are one, whose queue is ``*``.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector if named else _Anonymous(collector))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError, IndexError):  # strangers send headers that are none, and it trips over them
        encode, content_type = choose_encoder("")
    return content_type, encode(registry)


class _Anonymous(Collector):
    """The same families without private names: their series are added up; of times the longest is told."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        for family in self._collector.collect():
            together = max if family.name.endswith("_seconds") else sum
            values: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
            for sample in family.samples:
                labels = {name: _PRIVATE.get(name, value) for name, value in sample.labels.items()}
                values.setdefault((sample.name, tuple(labels.items())), []).append(sample.value)
            family.samples = [
                Sample(name, dict(labels), together(several)) for (name, labels), several in values.items()
            ]
            yield family


def gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge with a single series."""
    return GaugeMetricFamily(name, help_text, value=value)
