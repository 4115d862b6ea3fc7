"""What every scraper gets, whatever its Accept header says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.health.exposition import expose


class Two(Collector):
    def collect(self) -> Iterator[Metric]:
        waits = GaugeMetricFamily("waits_seconds", "Waits.", labels=["queue"])
        jobs = CounterMetricFamily("jobs", "Jobs.", labels=["queue", "reason"])
        for queue, wait in (("high", 2.0), ("low", 5.0)):
            waits.add_metric([queue], wait)
            jobs.add_metric([queue, "failed"], 1)
        yield from (waits, jobs)


@pytest.mark.parametrize(
    "accept",
    [
        *("", "*/*", "application/openmetrics-text; version=abc", "application/openmetrics-text; version="),
        *("a;b;c=;;", "text/plain; version=1.0.0; escaping=", "\xff\xfe", ",;=" * 2000),
        "application/openmetrics-text; version=9999999999999999.0.0; escaping=nothing-known",
    ],
)
def test_an_odd_accept_header_gets_an_answer(accept: str) -> None:
    content_type, text = expose(Two(), accept, named=True)
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))
    assert b'jobs_total{queue="high",reason="failed"} 1.0' in text


def test_names_are_withheld_and_figures_are_not() -> None:
    text = expose(Two(), "", named=False)[1].decode()
    assert 'jobs_total{queue="*",reason="failed"} 2.0' in text
    assert 'waits_seconds{queue="*"} 5.0' in text, "of times the longest"
    assert "high" not in text
