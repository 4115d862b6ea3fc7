"""The hooks of job packages: when they are called, with what, and what becomes of one that raises or hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue
from structlog.testing import capture_logs

from tests.support.job_package import NOTING, JobPackage
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.worker import consumer
from worker.consumer import lifecycle
from worker.consumer.lifecycle import LifecycleError


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def work(redis: redis_py.Redis, *packages: JobPackage, **environ: str) -> list[dict[str, Any]]:
    """Let a consumer do what is on its queues; returns its log lines."""
    names = ",".join(package.name for package in packages)
    with capture_logs() as lines:
        consumer(redis, **{"WORKER_JOB_MODULES": names, **environ}).work(burst=True)
    return [dict(line) for line in lines]


def test_hooks_are_called_in_the_order_of_the_packages_and_back(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    text = """
    def consumer_started(consumer): note({0}, "started", consumer.name, *consumer.queues, consumer.threads)
    def consumer_stopping(consumer): note({0}, "stopping", consumer.name)
    def before_job(job): note({0}, "before", job.job_id, job.function.split(".")[-1], job is context.current())
    def after_job(job, error): note({0}, "after", job.job_id, error)
    """
    one = JobPackage(directory, lifecycle=text.format(1))
    two = JobPackage(directory, lifecycle=text.format(2))
    two.journal.symlink_to(one.journal)
    job = queue.enqueue(one.function())
    other = queue.enqueue(two.function("fail"))
    worker = consumer(redis, WORKER_JOB_MODULES=f"{one.name},{two.name}")
    worker.work(burst=True)
    assert one.noted() == [
        f"1 started {worker.name} high default 1",
        f"2 started {worker.name} high default 1",
        f"1 before {job.id} work True",
        f"2 before {job.id} work True",
        f"ran {os.getpid()}",
        f"2 after {job.id} None",
        f"1 after {job.id} None",
        f"1 before {other.id} fail True",
        f"2 before {other.id} fail True",
        f"2 after {other.id} no",
        f"1 after {other.id} no",
        f"2 stopping {worker.name}",
        f"1 stopping {worker.name}",
    ]


def test_what_before_job_raises_fails_the_job_in_its_functions_place(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    outer = JobPackage(directory, lifecycle=NOTING)
    inner = JobPackage(
        directory,
        lifecycle="""
        def before_job(job): raise ConnectionError("no database")
        def after_job(job, error): note("after")
        """,
    )
    job = queue.enqueue(inner.function())
    work(redis, outer, inner)
    assert job.get_status() == "failed"
    assert "ConnectionError: no database" in (text := job.latest_result().exc_string)
    assert "worker/consumer" not in text, "people look for their own frames"
    assert inner.noted() == [], "neither the function nor the hook whose other half has failed"
    assert outer.noted("after") == [f"after {os.getpid()} ConnectionError"]


def test_what_after_job_raises_is_logged_and_the_outcome_stands(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    package = JobPackage(directory, lifecycle="def after_job(job, error): raise SystemExit('no metrics')")
    good, bad = queue.enqueue(package.function()), queue.enqueue(package.function("fail"))
    lines = work(redis, package)
    assert (good.get_status(), bad.get_status()) == ("finished", "failed")
    assert "ValueError: no" in bad.latest_result().exc_string
    failed = [line for line in lines if line["event"] == "lifecycle.hook_failed"]
    assert [(line["hook"], line["error"]) for line in failed] == [
        (f"{package.name}.lifecycle.after_job", "SystemExit: no metrics")
    ] * 2


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_job_hook_that_hangs_is_ended_by_the_jobs_timeout(
    redis: redis_py.Redis, queue: Queue, directory: Path, threads: str
) -> None:
    package = JobPackage(
        directory,
        lifecycle="""
        def nap():
            for _ in range(1000): time.sleep(0.05)
        def before_job(job): job.function.endswith("fail") and nap()
        def after_job(job, error): error or nap()
        """,
    )
    late, done = (
        queue.enqueue(package.function("fail"), job_timeout=1),
        queue.enqueue(package.function(), job_timeout=1),
    )
    lines = work(redis, package, WORKER_THREADS=threads)
    assert late.get_status() == "failed"
    assert "JobTimeoutException" in (text := late.latest_result().exc_string)
    assert "in before_job" in text
    assert done.get_status() == "finished", "it had returned"
    (failed,) = [line for line in lines if line["event"] == "lifecycle.hook_failed"]
    assert "JobTimeoutException" in failed["error"]


def test_a_consumer_that_cannot_start_claims_nothing_and_says_why(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    one = JobPackage(directory, lifecycle=NOTING)
    two = JobPackage(directory, lifecycle="def consumer_started(consumer): raise OSError('no database at db:5432')")
    job = queue.enqueue(one.function())
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(LifecycleError) as raised:
        work(redis, one, two)
    assert f"{two.name}.lifecycle.consumer_started failed (OSError: no database at db:5432)" in str(raised.value)
    assert isinstance(raised.value.__cause__, OSError)
    assert job.get_status() == "queued"
    assert one.noted() == [f"started {os.getpid()}", f"stopping {os.getpid()}"], "what has been opened is closed"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_start_that_hangs_is_ended_and_named(
    redis: redis_py.Redis, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "MOST_SECONDS", 0.3)
    package = JobPackage(directory, lifecycle="def consumer_started(consumer): time.sleep(100)")
    with pytest.raises(LifecycleError, match=r"consumer_started failed \(it had not returned after 0.3 seconds\)"):
        work(redis, package)


def test_an_end_that_hangs_or_raises_is_logged_and_the_others_follow(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    packages = [
        JobPackage(directory, lifecycle=NOTING),
        JobPackage(directory, lifecycle="def consumer_stopping(consumer): time.sleep(100)"),
        JobPackage(directory, lifecycle="def consumer_stopping(consumer): raise ValueError('no')"),
        JobPackage(directory, lifecycle="def consumer_stopping(consumer): raise ValueError('neither')"),
    ]
    job = queue.enqueue(packages[0].function())
    lines = work(redis, *packages, WORKER_SHUTDOWN_GRACE="1")
    assert job.get_status() == "finished"
    told = [line["error"] for line in lines if line["event"] == "lifecycle.hook_failed"]
    assert told[:2] == ["ValueError: neither", "ValueError: no"]
    assert told[2].startswith("it had not returned after ")
    assert len(packages[0].noted("stopping")) == 1


@pytest.mark.parametrize("threads", ["1", "3"])
def test_job_hooks_run_in_the_jobs_thread_and_context(
    redis: redis_py.Redis, queue: Queue, directory: Path, threads: str
) -> None:
    package = JobPackage(
        directory,
        jobs="""
        from contextvars import ContextVar
        tenant = ContextVar("tenant", default="nobody")
        def tell(): note("job", threading.get_ident(), tenant.get())
        """,
        lifecycle="""
        from .jobs import tenant
        def before_job(job):
            note("job", threading.get_ident(), tenant.get())
            tenant.set("ann")
        def after_job(job, error): note("job", threading.get_ident(), tenant.get())
        """,
    )
    for _ in range(2):
        queue.enqueue(package.function("tell"))
        work(redis, package, WORKER_THREADS=threads)
    idents = [line.split()[1] for line in package.noted()]
    assert [line.split()[2] for line in package.noted()] == ["nobody", "ann", "ann"] * 2
    assert len(set(idents[:3])) == 1
    assert (idents[0] == str(threading.get_ident())) is (threads == "1")


def test_coroutine_hooks_run_on_the_jobs_loop_and_what_the_start_leaves_there_goes_on(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    package = JobPackage(
        directory,
        jobs="""
        import asyncio
        loops, answers = [], []
        async def ask():
            loops.append(asyncio.get_running_loop())
            answer = asyncio.get_running_loop().create_future()
            lifecycle.questions.put_nowait(answer)
            note("answer", await asyncio.wait_for(answer, 10))
        from . import lifecycle
        """,
        lifecycle="""
        import asyncio
        async def serve():
            while True: (await questions.get()).set_result(42)
        async def consumer_started(consumer):
            global questions, server, loop
            loop, questions = asyncio.get_running_loop(), asyncio.Queue()
            server = asyncio.create_task(serve())
        async def before_job(job):
            await asyncio.sleep(0)
            note("same", loop is asyncio.get_running_loop())
        async def after_job(job, error): note("same", loop is asyncio.get_running_loop())
        async def consumer_stopping(consumer):
            note("alive", not server.done())
            server.cancel()
        """,
    )
    for _ in range(2):
        queue.enqueue(package.function("ask"))
    work(redis, package)
    assert package.noted() == ["same True", "answer 42", "same True"] * 2 + ["alive True"]


def test_a_coroutine_function_for_the_start_is_refused_where_each_thread_has_its_own_loop(
    redis: redis_py.Redis, directory: Path
) -> None:
    package = JobPackage(directory, lifecycle="async def consumer_started(consumer): pass")
    with pytest.raises(LifecycleError, match="with WORKER_THREADS=2 each thread"):
        work(redis, package, WORKER_THREADS="2")


def test_with_a_process_for_each_job_its_hooks_run_there(redis: redis_py.Redis, queue: Queue, directory: Path) -> None:
    package = JobPackage(directory, lifecycle=NOTING)
    jobs = [queue.enqueue(package.function()) for _ in range(2)]
    work(redis, package, WORKER_ISOLATION="job")
    assert [job.get_status() for job in jobs] == ["finished"] * 2
    words = [line.split() for line in package.noted()]
    assert [word[0] for word in words] == ["started", *["before", "ran", "after"] * 2, "stopping"]
    own = {words[0][1], words[-1][1]}
    assert own == {str(os.getpid())}
    first, second = {word[1] for word in words[1:4]}, {word[1] for word in words[4:7]}
    assert len(first) == len(second) == len(first - second - own) == 1


def test_a_child_that_leaves_the_job_by_return_calls_no_hook(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    package = JobPackage(
        directory,
        jobs="""
        def fork():
            if pid := os.fork(): os.waitpid(pid, 0)
        """,
        lifecycle=NOTING,
    )
    queue.enqueue(package.function("fork"))
    work(redis, package)
    assert package.noted("after") == [f"after {os.getpid()} NoneType"]


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("function", ["recycle", "recycle_and_fail"])
def test_a_job_can_ask_for_a_fresh_process(
    redis: redis_py.Redis, queue: Queue, directory: Path, threads: str, function: str
) -> None:
    package = JobPackage(
        directory,
        jobs="""
        def recycle():
            context.current().recycle()
            note("still", "stopping" if context.current().stopping else "runs")
        def recycle_and_fail():
            recycle()
            raise ValueError("broken connection")
        """,
        lifecycle=NOTING,
    )
    job = queue.enqueue(package.function(function))
    others = [queue.enqueue(package.function(), 0.2) for _ in range(6)]
    lines = work(redis, package, WORKER_THREADS=threads)
    assert job.get_status() == ("finished" if function == "recycle" else "failed")
    assert package.noted("still") == ["still runs"], "it ends first"
    left = [other for other in others if other.get_status() == "queued"]
    assert len(left) >= 3, "what was claimed and has not begun goes back"
    assert all(other.get_status() in ("queued", "finished") for other in others)
    assert queue.job_ids == [other.id for other in left], "in its order"
    assert [line["job_id"] for line in lines if line["event"] == "consumer.recycled"] == [job.id]
    assert len(package.noted("stopping")) == 1


def test_with_a_process_for_each_job_asking_for_one_changes_nothing(
    redis: redis_py.Redis, queue: Queue, directory: Path
) -> None:
    package = JobPackage(directory, jobs="def recycle(): context.current().recycle()")
    jobs = [queue.enqueue(package.function("recycle")) for _ in range(3)]
    lines = work(redis, package, WORKER_ISOLATION="job")
    assert [job.get_status() for job in jobs] == ["finished"] * 3
    assert not [line for line in lines if line["event"] == "consumer.recycled"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def before_job(): pass", "lifecycle.before_job cannot be called with one argument"),
        ("def after_job(job): pass", "lifecycle.after_job cannot be called with the job's context and its error"),
        ("consumer_started = 3", "lifecycle.consumer_started cannot be called"),
        (
            "import no_such_driver",
            "lifecycle cannot be imported (ModuleNotFoundError: No module named 'no_such_driver')",
        ),
    ],
)
def test_hooks_that_cannot_be_used_are_refused_in_words(
    redis: redis_py.Redis, directory: Path, text: str, says: str
) -> None:
    package = JobPackage(directory, lifecycle=text)
    with pytest.raises(LifecycleError) as raised:
        work(redis, package)
    assert says in str(raised.value)


def test_a_package_without_hooks_has_nothing_around_its_jobs(redis: redis_py.Redis, directory: Path) -> None:
    for package in (JobPackage(directory), JobPackage(directory, lifecycle="def consumer_started(consumer): pass")):
        worker = consumer(redis, WORKER_JOB_MODULES=package.name)
        worker.work(burst=True)
        assert worker.runner._hooks is None, "not even a call"


def test_a_module_whose_hooks_are_all_misspelt_is_named(redis: redis_py.Redis, directory: Path) -> None:
    package = JobPackage(directory, lifecycle="def consumer_start(consumer): pass")
    (line,) = [line for line in work(redis, package) if line["event"] == "lifecycle.no_hooks"]
    assert line["module"] == f"{package.name}.lifecycle"


def test_rqs_own_command_line_calls_them_too(server: RedisServer, queue: Queue, tmp_path: Path) -> None:
    package = JobPackage(tmp_path, lifecycle=NOTING)
    job = queue.enqueue(package.function())
    command = [
        Path(sys.executable).parent / "rq",
        "worker",
        "--burst",
        "-u",
        server.url,
        "-w",
        "worker.consumer.Consumer",
    ]
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environ = {**os.environ, **package.environ, "PYTHONPATH": paths}
    done = subprocess.run([*command, "default"], check=False, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert job.get_status() == "finished"
    assert [line.split()[0] for line in package.noted()] == ["started", "before", "ran", "after", "stopping"]
