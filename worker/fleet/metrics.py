"""The fleet as Prometheus metrics: Render does not scrape a background worker, so the monitor reports all of them.

Every series of a fixed set is always present, zeros included.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.fleet.autoscaler import Autoscaler
from worker.fleet.decision import Reason
from worker.fleet.monitor import Monitor
from worker.fleet.state import Fleet
from worker.health.exposition import expose, gauge
from worker.process.slot import RedisState

#: Metric → (attribute of a queue, help text).
_QUEUE = {
    "worker_fleet_waiting_jobs": ("waiting", "Jobs on the queue."),
    "worker_fleet_running_jobs": ("running", "Jobs that a worker has claimed."),
    "worker_fleet_scheduled_jobs": ("scheduled", "Jobs that are scheduled, retries among them."),
    "worker_fleet_deferred_jobs": ("deferred", "Jobs that wait for other jobs."),
    "worker_fleet_failed_jobs": ("failed", "Jobs in the queue's failed registry."),
    "worker_fleet_oldest_wait_seconds": (
        "next_waits",
        "How long the job has waited that waits longest; 0 = none waits.",
    ),
    "worker_fleet_queue_paused": ("paused", "1 while nothing is claimed from the queue because of `pause`."),
    "worker_fleet_queue_consumers": ("consumers", "Living consumers that read the queue."),
}


class FleetCollector(Collector):
    """Turns what the monitor saw last into metric families."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        monitor, now = self._monitor, monotonic()
        view = monitor.view
        yield InfoMetricFamily("worker_build", "What is deployed.", {"release": monitor.settings.release or ""})
        yield gauge("worker_monitor_uptime_seconds", "Seconds since the monitor started.", now - monitor.started_at)
        connected = view.redis is RedisState.CONNECTED
        yield gauge("worker_monitor_redis_connected", "1 while the monitor can read Redis.", connected)
        if view.fleet is not None:
            yield gauge("worker_fleet_age_seconds", "How old these figures of the fleet are.", now - view.seen_at)
            yield from _fleet(view.fleet)
        if monitor.autoscaler is not None:
            yield from _autoscaler(monitor.autoscaler)


def exposition(monitor: Monitor, accept: str, *, named: bool) -> tuple[str, bytes]:
    """Return the content type and the text of a scrape whose ``Accept`` header is `accept`; see `expose`."""
    return expose(FleetCollector(monitor), accept, named=named)


def _fleet(fleet: Fleet) -> Iterator[Metric]:
    yield gauge("worker_fleet_consumers", "Living consumers.", len(fleet.consumers))
    busy = sum(1 for consumer in fleet.consumers if consumer.jobs)
    yield gauge("worker_fleet_busy_consumers", "Consumers that have claimed jobs.", busy)
    yield gauge("worker_fleet_dead_letters", "Jobs that failed for good and wait for a person.", fleet.dead_letters)
    yield gauge("worker_fleet_suspended", "1 while `rq suspend` holds.", fleet.suspended)
    yield gauge("worker_fleet_pauses", "Pauses that hold, of queues, functions or everything.", len(fleet.pauses))
    aside = sum(pause.parked for pause in fleet.pauses)
    yield gauge("worker_fleet_paused_jobs", "Jobs of paused functions that were put aside.", aside)
    stranded = sum(fleet.stranded.values())
    yield gauge("worker_fleet_stranded_jobs", "Claims of workers that are gone, before their rescue.", stranded)
    for name, (attribute, text) in _QUEUE.items():
        family = GaugeMetricFamily(name, text, labels=["queue"])
        for queue in fleet.queues:
            family.add_metric([queue.name], getattr(queue, attribute) or 0)
        yield family


def _autoscaler(scaler: Autoscaler) -> Iterator[Metric]:
    yield gauge("worker_autoscaler_leads", "1 on the monitor that scales.", scaler.leads)
    yield gauge("worker_autoscaler_dry_run", "1 while it only logs what it would do.", scaler.dry_run)
    if scaler.decision is not None:
        yield gauge("worker_autoscaler_instances", "Instances that Render reported.", scaler.decision.instances)
        yield gauge(
            "worker_autoscaler_wanted_instances", "Instances that the last decision wants.", scaler.decision.wanted
        )
    decisions = CounterMetricFamily("worker_autoscaler_decisions", "Decisions by their reason.", labels=["reason"])
    for reason in Reason:
        decisions.add_metric([reason], scaler.decided[reason])
    changes = CounterMetricFamily("worker_autoscaler_changes", "Changes, dry ones included.", labels=["direction"])
    for direction in ("out", "in"):
        changes.add_metric([direction], scaler.changes[direction])
    yield from (decisions, changes)
    errors = CounterMetricFamily("worker_autoscaler_api_errors", "Calls of Render's API that failed after retries.")
    errors.add_metric([], scaler.api_errors)
    yield errors
