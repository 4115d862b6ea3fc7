"""Hooks in the real service: a start that fails, ends of every kind, and what modules open when they are imported."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support.job_package import NOTING, JobPackage
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until

#: Counts jobs in a buffer that a consumer writes out when it stops.
BUFFERED = """
count = 0
def after_job(job, error):
    global count
    count += 1
def consumer_stopping(consumer): note("flushed", count, os.getpid())
"""


def flushed(package: JobPackage) -> int:
    return sum(int(line.split()[1]) for line in package.noted("flushed"))


def test_a_start_that_always_fails_ends_the_service_in_words_and_with_backoff(
    server: RedisServer, tmp_path: Path
) -> None:
    package = JobPackage(
        tmp_path,
        lifecycle="""
        def consumer_started(consumer):
            note("try")
            raise OSError("no database at db:5432")
        """,
    )
    with Service(server.url, **package.environ) as service:
        assert service.wait() == 71
        said = service.of("consumer.cannot_serve")
        assert f"{package.name}.lifecycle.consumer_started failed (OSError: no database" in said[0]["error"]
        assert "in consumer_started" in said[0]["exception"]
        assert 5 <= len(package.noted("try")) <= 8
        assert {event["status"] for event in service.of("child.exited", role="consumer")} <= {71, 0}


def test_one_that_fails_while_other_consumers_work_does_not_end_them(
    server: RedisServer, queue: Queue, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    package = JobPackage(
        tmp_path,
        lifecycle=f"""
        def consumer_started(consumer):
            if os.path.exists({str(gate)!r}): raise OSError("no database")
            note("started", os.getpid())
        """,
    )
    with Service(server.url, **package.environ) as service:
        until(lambda: len(package.noted("started")) == 2, service=service)
        gate.touch()
        os.kill(service.children()[0], signal.SIGKILL)
        until(lambda: len(service.of("consumer.cannot_serve")) > 5, 60, service=service)
        job = queue.enqueue(package.function())
        until(lambda: job.get_status() == "finished", service=service)
        gate.unlink()
        until(lambda: len(package.noted("started")) == 3, 60, service=service)
        assert service.terminate() == 0


def order_a_fresh_process(service: Service, queue: Queue, package: JobPackage) -> None:
    queue.enqueue(package.function("recycle"))


def ask_for_one_consumer_less(service: Service, queue: Queue, package: JobPackage) -> None:
    service.signal(signal.SIGTTOU)


def stop(service: Service, queue: Queue, package: JobPackage) -> None:
    service.signal(signal.SIGTERM)


def quiet_and_stop(service: Service, queue: Queue, package: JobPackage) -> None:
    service.signal(signal.SIGTSTP)
    service.wait_for("service.quiet")
    service.signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [order_a_fresh_process, ask_for_one_consumer_less, stop, quiet_and_stop])
def test_buffers_are_flushed_however_a_consumer_ends(
    server: RedisServer, queue: Queue, tmp_path: Path, end: Callable[[Service, Queue, JobPackage], None]
) -> None:
    package = JobPackage(tmp_path, jobs="def recycle(): context.current().recycle()", lifecycle=BUFFERED)
    with Service(server.url, **package.environ) as service:
        jobs = [queue.enqueue(package.function()) for _ in range(20)]
        until(lambda: all(job.get_status() == "finished" for job in jobs), service=service)
        end(service, queue, package)
        until(lambda: package.noted("flushed"), service=service)
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        assert flushed(package) == 20 + (end is order_a_fresh_process)
        assert {event["status"] for event in service.of("child.exited", role="consumer")} == {0}


@pytest.mark.parametrize("threads", ["1", "4"])
def test_buffers_are_flushed_by_consumers_that_are_replaced_after_so_many_jobs(
    server: RedisServer, queue: Queue, tmp_path: Path, threads: str
) -> None:
    package = JobPackage(tmp_path, lifecycle=BUFFERED)
    environ = {"WORKER_PROCESSES": "1", "WORKER_MAX_JOBS": "10", "WORKER_THREADS": threads}
    with Service(server.url, **package.environ, **environ) as service:
        jobs = [queue.enqueue(package.function()) for _ in range(35)]
        until(lambda: all(job.get_status() == "finished" for job in jobs), service=service)
        assert service.terminate() == 0
        assert flushed(package) == 35


def test_a_consumer_whose_job_asks_for_it_is_replaced_at_once_and_without_blame(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, tmp_path: Path
) -> None:
    package = JobPackage(
        tmp_path,
        jobs="""
        def recycle():
            note("recycled", os.getpid())
            context.current().recycle()
        """,
    )
    with Service(server.url, **package.environ, WORKER_PROCESSES="1") as service:
        jobs = [queue.enqueue(package.function("recycle")) for _ in range(12)]
        until(lambda: all(job.get_status() == "finished" for job in jobs), service=service)
        assert len(set(package.noted("recycled"))) == len(package.noted("recycled")) == 12, "a process for each"
        assert {event["status"] for event in service.of("child.exited", role="consumer")} <= {0}
        assert not service.of("job.rescued")
        assert service.terminate() == 0


def test_an_end_that_hangs_is_over_with_the_grace_and_named(server: RedisServer, tmp_path: Path) -> None:
    package = JobPackage(
        tmp_path,
        lifecycle="""
        def consumer_started(consumer): note("started")
        def consumer_stopping(consumer): time.sleep(600)
        """,
    )
    with Service(server.url, **package.environ, WORKER_PROCESSES="1", WORKER_SHUTDOWN_GRACE="2") as service:
        until(lambda: package.noted("started"), service=service)
        assert service.terminate() == 0
        failed = service.wait_for("lifecycle.hook_failed", hook=f"{package.name}.lifecycle.consumer_stopping")
        assert "the grace of the stop was over" in failed["error"] or "had not returned" in failed["error"]
        assert [event["status"] for event in service.of("child.exited", role="consumer")] == [0], "it was not killed"


def test_hooks_that_cannot_be_used_end_the_start_and_the_check_in_the_same_words(
    server: RedisServer, tmp_path: Path
) -> None:
    package = JobPackage(tmp_path, lifecycle="def after_job(job): pass")
    with Service(server.url, **package.environ) as service:
        assert service.wait() == 71
        said = service.of("service.bad_lifecycle")[0]["error"]
        assert f"{package.name}.lifecycle.after_job cannot be called with the job's context and its error" in said
        told = check(service)
    assert told.returncode == 1
    assert said in told.stderr


# -- what is open after the import -------------------------------------------------------------------------------------

OPENING = """
import queue, socket
outbox = queue.Queue()
def export():
    while True: note("exported", outbox.get(), os.getpid())
exporter = threading.Thread(target=export, name="exporter", daemon=True)
exporter.start()
connection = socket.create_connection(("127.0.0.1", {port}))
def use(): outbox.put(connection.getsockname()[1])
"""


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def check(service: Service) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", "check"]
    return subprocess.run(command, check=False, cwd=ROOT, env=service.environ, capture_output=True, text=True)


def test_modules_that_open_connections_are_imported_by_each_consumer_and_named(
    server: RedisServer, queue: Queue, tmp_path: Path, listening: int
) -> None:
    package = JobPackage(
        tmp_path, jobs="from . import client\ndef use(): client.use()", client=OPENING.format(port=listening)
    )
    with Service(server.url, **package.environ) as service:
        named = service.wait_for("service.opened_by_import")
        assert named["module"] == f"{package.name}.client", "not the one that imports it"
        assert set(named["opened"]) == {"the thread 'exporter'", f"a TCP connection to 127.0.0.1:{listening}"}
        assert "consumer_started" in named["fix"]
        jobs = [queue.enqueue(package.function("use")) for _ in range(50)]
        until(lambda: all(job.get_status() == "finished" for job in jobs), service=service)
        until(lambda: len(package.noted("exported")) == 50, service=service)
        ports = dict(line.split()[:0:-1] for line in package.noted("exported"))
        assert len(ports) == len(set(ports.values())), "each consumer has a connection of its own"
        told = check(service)
        assert told.returncode == 0, told.stderr
        assert f"! {package.name}.client opens the thread 'exporter' and a TCP connection to" in told.stdout
        assert "consumer_started" in told.stdout
        assert service.terminate() == 0
    assert len(service.of("service.opened_by_import")) == 1


def test_with_preload_true_they_are_only_named(server: RedisServer, tmp_path: Path, listening: int) -> None:
    package = JobPackage(tmp_path, client=OPENING.format(port=listening) + '\nnote("imported", os.getpid())')
    with Service(server.url, **package.environ, WORKER_PRELOAD="true") as service:
        assert "All consumers share it" in service.wait_for("service.opened_by_import")["effect"]
        service.wait_for("child.spawned", role="dispatcher")
        assert package.noted("imported") == [f"imported {service.pid}"]
        assert service.terminate() == 0


def test_a_stop_that_comes_while_modules_are_imported_is_not_lost_by_the_second_start(
    server: RedisServer, tmp_path: Path, listening: int
) -> None:
    package = JobPackage(tmp_path, client=OPENING.format(port=listening) + '\nnote("imported")\ntime.sleep(1)')
    with Service(server.url, **package.environ) as service:
        until(lambda: package.noted("imported"), service=service)
        assert service.terminate() == 0


def test_without_preload_a_module_that_cannot_be_imported_is_a_failed_boot_in_words(
    server: RedisServer, tmp_path: Path
) -> None:
    package = JobPackage(tmp_path, broken="import no_such_driver")
    with Service(server.url, **package.environ, WORKER_PRELOAD="false") as service:
        assert service.wait() == 71
        said = service.of("consumer.cannot_serve")[0]["error"]
        assert f"the module {package.name}.broken cannot be imported" in said
        told = check(service)
    assert told.returncode == 1
    assert said in told.stderr


def test_without_preload_consumers_import_for_themselves_and_the_schedule_is_read(
    server: RedisServer, queue: Queue, tmp_path: Path
) -> None:
    package = JobPackage(
        tmp_path,
        jobs='note("imported", os.getpid())',
        lifecycle=NOTING,
        schedule="from rq import cron\nfrom . import jobs\ncron.register(jobs.work, 'default', interval=1)",
    )
    with Service(server.url, **package.environ, WORKER_PRELOAD="false") as service:
        until(lambda: package.noted("ran"), service=service)
        pids = {int(line.split()[1]) for line in package.noted("imported")}
        assert pids == {*service.children(), *service.children("dispatcher")}, "not the supervisor"
        assert service.terminate() == 0


def test_a_schedule_that_cannot_be_used_ends_a_service_without_preload_too(server: RedisServer, tmp_path: Path) -> None:
    package = JobPackage(
        tmp_path,
        schedule="from rq import cron\nfrom . import jobs\ncron.register(jobs.work, 'default', cron='61 * * * *')",
    )
    with Service(server.url, **package.environ, WORKER_PRELOAD="false") as service:
        assert service.wait() == 71
        assert "MINUTE HOUR DAY MONTH WEEKDAY" in service.of("service.bad_schedule")[0]["error"]


@pytest.mark.parametrize("preload", ["auto", "false"])
def test_a_memory_limit_below_what_a_consumer_needs_is_refused_in_words(
    server: RedisServer, tmp_path: Path, preload: str
) -> None:
    package = JobPackage(
        tmp_path,
        lifecycle="""
        def consumer_started(consumer):
            global model
            model = b"x" * 80_000_000
        """,
    )
    with Service(server.url, **package.environ, WORKER_MAX_MEMORY_MB="110", WORKER_PRELOAD=preload) as service:
        assert service.wait() == 78
        said = service.of("consumer.cannot_serve")[0]["error"]
        assert "WORKER_MAX_MEMORY_MB is 110, and a consumer needs " in said
        assert "Set it to " in said
