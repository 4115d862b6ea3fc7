"""The table of `docs/isolation.md`: made by jobs of the real service, one column for each way of running jobs.

`python -m tests.support.isolation_page` renews it; `tests/integration/docs/test_isolation_page.py` compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rq import Queue
from rq.job import Job

from tests.support import changes
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.trouble_page import put

PAGE: Final = ROOT / "docs" / "isolation.md"
NO, YES, BESIDE, IMPOSSIBLE = "no", "**yes**", "beside others", "–"
#: The columns: title, and what is set for it.
MODES: Final[dict[str, Mapping[str, str]]] = {
    "`process`": {"WORKER_THREADS": "1"},
    "`process`, threads": {"WORKER_THREADS": "3"},
    "`job`": {"WORKER_ISOLATION": "job"},
}


def table(server: RedisServer) -> str:
    """Let jobs change each thing in each mode, and say what the next job finds."""
    columns = {title: column(server, environ) for title, environ in MODES.items()}
    lines = ["| what a job changes | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name, change in changes.TABLE.items():
        lines.append(f"| {change.words} | " + " | ".join(found[name] for found in columns.values()) + " |")
    return "\n".join(lines)


def column(server: RedisServer, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what reaches the next job in one mode, for each change: while nothing runs beside them, and while it does.

    One service sees them all: what stays of one must not change what the next ones show.
    """
    server.flush()
    threads = environ.get("WORKER_THREADS", "1") != "1"
    with _service(server, environ) as service, server.client() as client:
        queue = Queue("default", connection=client)
        first = _run(queue, service, changes.look_at_all).return_value()
        return {name: _reaches_the_next(queue, service, name, first[name], threads=threads) for name in changes.TABLE}


def _reaches_the_next(queue: Queue, service: Service, name: str, before: Any, *, threads: bool) -> str:
    if _run(queue, service, changes.change, name).get_status() == "failed":
        return IMPOSSIBLE
    if any(seen != before for seen in _look(queue, service, name, 3 if threads else 1)):
        return YES
    if not threads:
        return NO
    with _neighbour(queue, service):
        _run(queue, service, changes.change, name)
        differs = any(seen != before for seen in _look(queue, service, name, 2))
    return BESIDE if differs else NO


def _look(queue: Queue, service: Service, name: str, threads: int) -> list[Any]:
    """Return what the next job finds, in each of so many threads."""
    if threads == 1:
        return [_run(queue, service, changes.look, name).return_value()]
    jobs = [queue.enqueue(changes.look_in_each_thread, name, threads) for _ in range(threads)]
    until(lambda: all(job.get_status() == "finished" for job in jobs), service=service)
    return [job.return_value() for job in jobs]


def _run(queue: Queue, service: Service, function: Any, *arguments: Any) -> Job:
    job = queue.enqueue(function, *arguments)
    until(lambda: job.get_status() in ("finished", "failed"), service=service)
    return job


@contextmanager
def _neighbour(queue: Queue, service: Service) -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        gate = Path(folder) / "gate"
        job = queue.enqueue(changes.wait_for, str(gate))
        until(lambda: job.get_status() == "started", service=service)
        yield
        gate.touch()
        until(lambda: job.get_status() == "finished", service=service)


def _service(server: RedisServer, environ: Mapping[str, str]) -> Service:
    return Service(
        server.url,
        WORKER_QUEUES="default",
        WORKER_PROCESSES="1",
        WORKER_JOB_MODULES="tests.support.changes",
        SENTRY_DSN="http://public@127.0.0.1:9/1",
        **environ,
    )


def write() -> None:
    """Renew the table."""
    with RedisServer() as server:
        PAGE.write_text(put(PAGE.read_text(), "table", table(server)))


if __name__ == "__main__":
    write()
