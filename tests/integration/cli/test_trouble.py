"""Commands end in words, whatever Redis, strangers' texts and the person at the keyboard do."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis as redis_py
from rich.console import Console
from rq import Queue

from tests.support import processes, tasks
from tests.support.commands import run
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.worker import consumer
from worker.cli.enqueue import follow

HOSTILE = "[/red] [bold]x[/bold] \x1b[31m \x1b]0;title\x07 end"
ADD = "tests.support.tasks.add"


@pytest.fixture
def limited(server: RedisServer) -> Iterator[str]:
    """The URL of a user who may connect and little else."""
    with server.user("limited", "~*", "+ping", "+hello", "+client", "+select", "+time") as url:
        yield url


@contextmanager
def waiting(url: str) -> Iterator[subprocess.Popen[str]]:
    """`enqueue --wait` on a queue that nobody reads yet."""
    environ = {"PATH": os.environ["PATH"], "WORKER_JOB_MODULES": "tests.support.tasks", "REDIS_URL": url}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "enqueue", ADD, "1", "2", "--wait", "--job-id", "slow"],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=processes.belong_to_the_tests,
    )
    try:
        assert process.stderr is not None
        assert "No consumer reads the queue 'default' yet" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("command", "denied"),
    [
        (("status",), "SSCAN"),
        (("dead", "list"), "LLEN"),
        (("dead", "replay", "x"), "EVALSHA"),
        (("enqueue", ADD, "1", "2"), "MULTI"),
    ],
)
def test_a_refusal_after_connecting_is_explained(limited: str, command: tuple[str, ...], denied: str) -> None:
    told = run(*command, url=limited)
    assert told.returncode == 75, told.stderr
    assert f"no permission for {denied}" in told.stderr
    assert "Traceback" not in told.stderr
    assert "hunter2" not in told.stderr + told.stdout


def test_check_names_every_command_that_is_refused(limited: str) -> None:
    told = run("check", url=limited)
    assert told.returncode == 75
    assert "Redis: The Redis user may not run a command that the worker needs; refused: " in told.stderr
    assert "hunter2" not in told.stderr + told.stdout


def test_check_does_not_need_info(server: RedisServer, redis: redis_py.Redis) -> None:
    redis.execute_command("ACL", "SETUSER", "no-info", "on", ">pw", "~*", "&*", "+@all", "-info")
    told = run("check", url=server.url.replace("redis://", "redis://no-info:pw@"))
    redis.execute_command("ACL", "DELUSER", "no-info")
    assert told.returncode == 0, told.stdout


def test_check_does_not_let_a_server_pass_that_deletes_jobs(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory", "100mb")
        admin.config_set("maxmemory-policy", "allkeys-lru")
    told = run("check", url=own_server.url)
    assert told.returncode == 1
    assert "The eviction policy is allkeys-lru" in told.stderr


def test_a_wait_survives_an_outage(own_server: RedisServer) -> None:
    with waiting(own_server.url) as process:
        own_server.kill()
        own_server.restart(keep_data=True)
        with own_server.client() as redis:
            consumer(redis).work(burst=True)
        told, errors = process.communicate(timeout=60)
    assert (process.returncode, told.strip()) == (0, "3"), errors


def test_ctrl_c_ends_the_wait_and_not_the_job(server: RedisServer, redis: redis_py.Redis) -> None:
    with waiting(server.url) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the job slow goes on" in errors
    assert redis.lrange("rq:queue:default", 0, -1) == [b"slow"]


def test_a_job_id_in_use_is_not_overwritten(server: RedisServer, redis: redis_py.Redis) -> None:
    assert run("enqueue", ADD, "1", "2", "--job-id", "mine", url=server.url).returncode == 0
    before = redis.hgetall("rq:job:mine")
    told = run("enqueue", ADD, "3", "4", "--job-id", "mine", url=server.url)
    assert told.returncode == 2
    assert "There is a job mine already" in told.stderr
    assert redis.hgetall("rq:job:mine") == before
    assert redis.llen("rq:queue:default") == 1


def test_nothing_is_enqueued_among_the_dead_letters(server: RedisServer, redis: redis_py.Redis) -> None:
    told = run("enqueue", ADD, "1", "2", "--queue", "dead-letter", url=server.url)
    assert told.returncode == 2
    assert "no consumer reads it" in told.stderr
    assert redis.dbsize() == 0


def test_a_strangers_text_cannot_write_to_the_terminal(server: RedisServer, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.boom, HOSTILE)
    consumer(redis).work(burst=True)
    for command in (("list",), ("show", job.id)):
        told = run("dead", *command, url=server.url)
        assert told.returncode == 0, told.stderr
        assert "[/red] [bold]x[/bold] \\x1b[31m \\x1b]0;title\\x07 end" in told.stdout
        assert "\x1b" not in told.stdout
    row = next(row for row in run("dead", "list", url=server.url).stdout.splitlines() if job.id in row)
    assert "tests.support.tasks.boom" in row, "one letter, one line"


def test_progress_is_shown_as_it_was_told(redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis, serializer="json").enqueue(tasks.add, 1, 2)
    job.meta["progress"] = {"percent": 40, "message": HOSTILE}
    job.save_meta()
    consumer(redis).work(burst=True)
    screen = io.StringIO()
    assert follow(job, Console(file=screen, force_terminal=True, width=200)).get_status() == "finished"
    assert "[/red] [bold]x[/bold] \\x1b[31m" in screen.getvalue()
