"""`python -m worker monitor`: the fleet's health over HTTP, the console, and the autoscaler."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX

from worker import logs, queue, sentry
from worker.cli.common import settings_or_exit
from worker.cli.console import console_of
from worker.exits import Exit
from worker.fleet import autoscaler, verdict
from worker.fleet.autoscaler import Autoscaler
from worker.fleet.monitor import Monitor
from worker.fleet.render_api import RenderApi
from worker.health import server
from worker.health.server import HealthPortError, Pages
from worker.keys import Keys
from worker.process import signals
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.console.app import Console

log = logs.get_logger()


@click.command()
def monitor() -> None:
    """Watch the whole fleet: the console, /healthz, /readyz, /livez and /metrics; scale it (AUTOSCALE_SERVICE)."""
    settings = settings_or_exit()
    logs.configure(settings.log_level, settings.log_format)
    sys.exit(run(settings))


def run(settings: Settings) -> Exit:
    """Serve until a signal asks for a stop."""
    child = signals.Child(alone=True)
    sentry.init(settings, "monitor")
    try:
        listener = server.listen(settings.health_host, settings.health_port or 8080)
    except HealthPortError as error:
        log.critical("health.cannot_listen", error=str(error))
        return Exit.HEALTH_PORT
    redis = queue.build_client(settings, client_name=f"{settings.instance}.monitor")
    watching = Monitor(settings, redis, make_autoscaler(settings, redis))
    watching.start()
    log.info("monitor.started", queues=list(settings.worker_queues), autoscales=watching.autoscaler is not None)
    console = console_of(settings, watching)
    server.serve(pages(watching, console), listener, lambda: child.stopping or watching.crashed)
    if console is not None:
        console.close()
    watching.stop()
    sentry.flush(1.0)
    log.info("monitor.stopped")
    signals.ignore()
    return Exit.CRASHED if watching.crashed else Exit.OK


def make_autoscaler(settings: Settings, redis: Redis) -> Autoscaler | None:
    """Return the autoscaler if a service and a key are given."""
    if settings.autoscale_service is None:
        return None
    if settings.render_api_key is None:
        log.warning("autoscaler.off", sentence="AUTOSCALE_SERVICE is set and RENDER_API_KEY is not.")
        return None
    keys, api = Keys(RQ_KEY_PREFIX), RenderApi(settings.render_api_key, settings.render_api_url)
    policy = autoscaler.of_settings(settings)
    return Autoscaler(redis, keys, api, settings.autoscale_service, policy, dry_run=settings.autoscale_dry_run)


def pages(watching: Monitor, console: Console | None = None) -> Pages:
    """Return the pages of the HTTP endpoint."""
    queues, max_wait = watching.settings.worker_queues, watching.settings.monitor_max_wait
    return Pages(
        {
            "/livez": lambda: verdict.live(watching.view, time.monotonic()),
            "/readyz": lambda: verdict.ready(watching.view, time.monotonic(), queues, max_wait),
            "/healthz": lambda: verdict.healthy(watching.view, time.monotonic(), queues, max_wait),
        },
        lambda: facts(watching),
        lambda accept, named: metrics(watching, accept, named=named),
        watching.settings.metrics_token,
        console,
    )


def facts(watching: Monitor) -> dict[str, object]:
    """Return what every body shows besides the verdict: only numbers, because the pages are public."""
    seen, scaler = watching.view.fleet, watching.autoscaler
    shown: dict[str, object] = {"redis": watching.view.redis.name.lower()}
    if seen is not None:
        shown["consumers"] = len(seen.consumers)
        shown["dead_letters"] = seen.dead_letters
        shown["queues"] = {
            one.name: {
                "waiting": one.waiting,
                "running": one.running,
                "oldest_wait_seconds": round(one.next_waits or 0.0, 1),
                "consumers": one.consumers,
            }
            for one in seen.queues
            if one.name in watching.settings.worker_queues
        }
    if scaler is not None and scaler.decision is not None:
        last = scaler.decision
        shown["autoscaler"] = {
            "instances": last.instances,
            "wanted": last.wanted,
            "reason": last.reason,
            "sentence": last.sentence,
            "dry_run": scaler.dry_run,
        }
    return shown


def metrics(watching: Monitor, accept: str, *, named: bool) -> tuple[str, bytes]:
    """Return the text of a scrape."""
    from worker.fleet import metrics as fleet_metrics

    return fleet_metrics.exposition(watching, accept, named=named)
