"""`python -m worker develop`, which is `make run`: the whole service on a developer's machine, with a demonstration."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Final

import click
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from worker.cli import demonstration, local_service
from worker.cli.common import RedisCommand, connect, settings_or_exit
from worker.cli.demonstration import Demonstration
from worker.cli.enqueue import outcome, steps
from worker.cli.local_service import DATA, ROOT
from worker.settings import Settings

DEFAULT_HEALTH_PORT: Final = 8080
READY_SECONDS: Final = 20.0
#: Ctrl-C, a platform, a terminal that was closed.
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Stop(BaseException):
    """A signal asked us to stop. Not an `Exception`, so that nothing on the way swallows it."""


@click.command(cls=RedisCommand)
def develop() -> None:
    """Run the service with an embedded Redis, and show one job on the first start."""
    os.chdir(ROOT)
    for number in _STOPPING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup means it
            signal.signal(number, _stop)
    code = 0
    try:
        with ExitStack() as stack:
            code = _develop(stack)
    except _Stop:
        click.echo("\nStopped.")
    sys.exit(code)


def _develop(stack: ExitStack) -> int:
    embedded = not os.environ.get("REDIS_URL")
    if embedded:
        os.environ["REDIS_URL"] = stack.enter_context(local_service.embedded_redis())
    local = local_service.is_local(os.environ["REDIS_URL"])
    os.environ.setdefault("WORKER_PROCESSES", "2")
    if local:
        os.environ.setdefault("WORKER_ALLOW_PRIVATE_ADDRESSES", "true")  # what is shown is on this machine
    os.environ.setdefault("HEALTH_HOST", "127.0.0.1")
    _choose_health_port()
    _open_console()
    settings = settings_or_exit()
    pages: dict[str, str] = {}
    if settings.health_port and settings.console_is_open:
        opened = "open to everybody on this machine" if settings.monitor_open else "log in as operator or viewer"
        pages["the console"] = f"http://127.0.0.1:{settings.health_port}{settings.monitor_prefix}/"
        click.echo(f"The console: {pages['the console']} ({opened})")
    service = stack.enter_context(local_service.service(dict(os.environ)))
    if settings.health_port and not _ready(settings.health_port, service):
        click.echo("The service is not ready yet; its log says why.", err=True)
    if service.poll() is None:
        shown = demonstration.load(stack, os.environ["REDIS_URL"], settings.worker_queues[0], local=local)
        if not local:
            click.echo("REDIS_URL is on another machine, so no sample job is enqueued there.")
        elif shown:
            _demonstrate(settings, shown)
        _print_next_steps(settings, shown, pages, embedded=embedded)
    return service.wait()


def _open_console() -> None:
    """Open the console, unless something else opens it already; only to this machine."""
    ways = ("MONITOR_OPEN", "MONITOR_PASSWORD", "MONITOR_VIEW_PASSWORD", "MONITOR_PROXY_HEADER")
    if os.environ["HEALTH_HOST"] == "127.0.0.1" and not any(os.environ.get(way) for way in ways):
        os.environ["MONITOR_OPEN"] = "true"


def _choose_health_port() -> None:
    if os.environ.get("HEALTH_PORT") or os.environ.get("PORT"):
        return
    port = local_service.free_port(DEFAULT_HEALTH_PORT)
    if port != DEFAULT_HEALTH_PORT:
        click.echo(f"Port {DEFAULT_HEALTH_PORT} is taken, so the health endpoint uses {port}.")
    os.environ["HEALTH_PORT"] = str(port)


def _ready(port: int, service: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and service.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
            return True
        time.sleep(0.05)
    return False


def _demonstrate(settings: Settings, shown: Demonstration) -> None:
    """Run the first sample job, once in each checkout."""
    done = DATA / "demonstrated"
    if done.exists():
        return
    queue = Queue(settings.worker_queues[0], connection=connect(settings), serializer="json")
    first = shown.first
    click.echo(f"\nA first job: {first.function}({', '.join(map(repr, first.arguments))})")
    try:
        job = _tell(queue.enqueue(first.function, *first.arguments))
    except NoSuchJobError:
        click.echo("The job is gone: somebody deleted it.", err=True)
        return
    if job.get_status(refresh=False) == JobStatus.FINISHED:
        click.echo("\n".join(shown.tell(job.return_value())))
        DATA.mkdir(exist_ok=True)
        done.touch()
    else:
        click.echo(outcome(job), err=True)


def _tell(job: Job) -> Job:
    """Print a job's progress as lines, because the service's log stands between them; returns it when it has ended."""
    last = ""
    for percent, text in steps(job):
        told = text if percent is None else f"{percent:3.0f} % {text}"
        if told != last:
            click.echo(f"  {told}")
        last = told
    return job


def _print_next_steps(
    settings: Settings, shown: Demonstration | None, pages: Mapping[str, str], *, embedded: bool
) -> None:
    url = os.environ["REDIS_URL"] if embedded else "$REDIS_URL"
    python = os.path.relpath(sys.executable, ROOT) if sys.executable.startswith(str(ROOT)) else sys.executable
    bin_folder = os.path.dirname(python)
    for note in shown.notes if shown else ():
        click.echo(f"\n{note}")
    click.echo("\nThe service runs; Ctrl-C stops it. Look at it in a browser, and try in another terminal:")
    for name, address in {**pages, **(shown.pages if shown else {})}.items():
        click.echo(f"  {name:17} {address}")
    if embedded:
        click.echo(f"  export REDIS_URL={url}")
    if settings.health_port:
        click.echo(f"  curl http://127.0.0.1:{settings.health_port}/healthz")
    for sample in shown.more if shown else ():
        click.echo(f"  {python} -m worker {sample.command}")
    click.echo(f"  {python} -m worker status")
    click.echo(f"  {python} -m worker dead list")
    click.echo(f"  {bin_folder}/rq info -u {url}")
    click.echo(f"  {bin_folder}/rq requeue -u {url} --queue {settings.worker_queues[0]} --all\n")


def _stop(_number: int, _frame: FrameType | None) -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    raise _Stop
