"""The command line of the service tester."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from time import monotonic
from typing import Final

import click

from tools.services.health import check_health
from tools.services.outcome import Outcome, Request
from tools.services.redis import check_redis
from tools.services.render import check_render
from tools.services.sentry import check_sentry
from tools.services.upstash import check_upstash
from tools.services.worker import check_worker
from worker.cli.terminal import print_table
from worker.diagnosis.report import Status
from worker.diagnosis.start import TIMEOUT_SECONDS
from worker.settings.load import load_dotenv
from worker.text import one_line

#: Every service, in the order of the table.
TESTS: Final[dict[str, Callable[[Request], Outcome]]] = {
    "redis": check_redis,
    "upstash": check_upstash,
    "worker": check_worker,
    "health": check_health,
    "sentry": check_sentry,
    "render": check_render,
}
_MARKS: Final = {Status.OK: "✓", Status.WARNING: "!", Status.FAILED: "✗", Status.SKIPPED: "–"}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--redis", is_flag=True, help="REDIS_URL: the whole diagnosis in one row.")
@click.option("--upstash", is_flag=True, help="UPSTASH_REDIS_REST_URL and _TOKEN: PING, write, read, delete.")
@click.option("--worker", is_flag=True, help="Enqueue a job that does nothing and wait for its result.")
@click.option(
    "--health",
    "health_url",
    metavar="URL",
    is_flag=False,
    flag_value="",
    help="A running service's URL; RENDER_EXTERNAL_URL without one.",
)
@click.option("--sentry", is_flag=True, help="SENTRY_DSN: send a test event.")
@click.option("--render", is_flag=True, help="RENDER_API_KEY, RENDER_SERVICE_ID: key, service, instances.")
@click.option("--all", "everything", is_flag=True, help="All of them; services that are not configured are skipped.")
@click.option("--queue", help="The queue of --worker; the first of WORKER_QUEUES by default.")
@click.option("--wait", default=15.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds --worker waits.")
@click.option(
    "--timeout",
    default=TIMEOUT_SECONDS,
    show_default=True,
    type=click.FloatRange(min=0.1, max=300),
    help="Seconds that one request, or step, may take.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def main(
    context: click.Context,
    redis: bool,
    upstash: bool,
    worker: bool,
    health_url: str | None,
    sentry: bool,
    render: bool,
    everything: bool,
    queue: str | None,
    wait: float,
    timeout: float,
    as_json: bool,
) -> None:
    """Test the services around the worker that the environment (or .env) names.

    Exit codes: 0 when none failed, 1 when one did, 2 for a wrong command line.
    """
    asked = {
        "redis": redis,
        "upstash": upstash,
        "worker": worker,
        "health": health_url is not None,
        "sentry": sentry,
        "render": render,
    }
    if not everything and not any(asked.values()):
        click.echo(context.get_help())
        context.exit(2)
    load_dotenv()
    request = Request(os.environ, timeout, queue, wait, health_url or "")
    outcomes = []
    for name, test in TESTS.items():
        if everything or asked[name]:
            began = monotonic()
            outcomes.append((test(request), monotonic() - began))
    if as_json:
        _as_json(outcomes)
    else:
        _as_table(outcomes)
    sys.exit(int(any(outcome.status is Status.FAILED for outcome, _ in outcomes)))


def _as_json(outcomes: list[tuple[Outcome, float]]) -> None:
    rows = [{**asdict(outcome), "seconds": round(seconds, 3)} for outcome, seconds in outcomes]
    click.echo(json.dumps({"schema_version": 1, "services": rows}, indent=2))


def _as_table(outcomes: list[tuple[Outcome, float]]) -> None:
    rows = [
        (f"{_MARKS[outcome.status]} {outcome.service}", outcome.status.value, f"{seconds:.2f} s", outcome.says)
        for outcome, seconds in outcomes
    ]
    print_table(("service", "result", "took", "what was seen"), rows)
    for outcome, _ in outcomes:
        if outcome.fix:
            click.echo(one_line(f"→ {outcome.service}: {outcome.fix}"))
