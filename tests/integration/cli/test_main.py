"""The command line as a person uses it, against a real server and the real service."""

from __future__ import annotations

import json

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.commands import rq, run
from tests.support.server import free_port
from tests.support.service import Service, until
from tests.support.worker import consumer


def test_help_names_every_command() -> None:
    told = run("--help", url=None)
    assert told.returncode == 0
    for command in ("run", "check", "dead", "develop", "enqueue", "status", "stop"):
        assert f"\n  {command} " in told.stdout


def test_check_is_content_with_a_good_environment(url: str) -> None:
    told = run("check", url=url)
    assert told.returncode == 0, told.stderr
    assert "✓ Redis    ok" in told.stdout
    assert "→ Redis works for the worker" in told.stdout


def test_check_lists_what_is_wrong_and_has_an_exit_code_for_each_kind() -> None:
    bad = run("check", url="http://x", WORKER_THREADS="0")
    assert bad.returncode == 78
    assert "REDIS_URL" in bad.stderr
    assert "WORKER_THREADS" in bad.stderr
    away = run("check", "--timeout", "1", url=f"redis://:hunter2@127.0.0.1:{free_port()}")
    assert away.returncode == 75
    assert "refuses the connection" in away.stderr
    for told in (bad, away):
        assert "Traceback" not in told.stderr
        assert "hunter2" not in told.stderr


def test_enqueue_waits_and_prints_the_result(url: str) -> None:
    with Service(url):
        told = run("enqueue", "tests.support.tasks.add", "1", "2", "--wait", url=url)
        assert (told.returncode, told.stdout.strip()) == (0, "3")
        failed = run("enqueue", "tests.support.tasks.boom", "no price", "--wait", "--queue", "high", url=url)
        assert failed.returncode == 1
        assert "no price" in failed.stderr


def test_enqueue_without_waiting_prints_the_id_and_takes_keyword_arguments(url: str, redis: redis_py.Redis) -> None:
    told = run("enqueue", "tests.support.tasks.add", "--kwargs", '{"left": 1, "right": 2}', "--job-id", "a-1", url=url)
    assert told.stdout.strip() == "a-1"
    consumer(redis).work(burst=True)
    assert Queue("default", connection=redis, serializer="json").fetch_job("a-1").return_value() == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("os.getcwd",), "WORKER_JOB_MODULES"),
        (("tests.support.tasks.add", "--kwargs", "[1]"), "JSON object"),
        (("tests.support.tasks.add", "--job-id", "no spaces please"), "Job ID"),
    ],
)
def test_enqueue_refuses_what_no_worker_would_run(url: str, arguments: tuple[str, ...], words: str) -> None:
    told = run("enqueue", *arguments, url=url)
    assert told.returncode == 2
    assert words in told.stderr
    assert "Traceback" not in told.stderr


def test_dead_letters_are_listed_shown_and_replayed(url: str, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    jobs = [queue.enqueue(tasks.boom, f"number {number}") for number in range(3)]
    consumer(redis).work(burst=True)

    listed = run("dead", "list", url=url)
    assert all(job.id in listed.stdout for job in jobs)
    assert "ValueError number 2" in listed.stdout
    lines = [json.loads(line) for line in run("dead", "list", "--json", "--limit", "2", url=url).stdout.splitlines()]
    assert [line["id"] for line in lines] == [jobs[2].id, jobs[1].id], "newest first"

    shown = run("dead", "show", jobs[0].id, url=url)
    assert "Traceback" in shown.stdout
    assert "number 0" in shown.stdout

    once = run("dead", "replay", jobs[0].id, url=url)
    assert (once.returncode, once.stdout.strip()) == (0, "1 replayed.")
    again = run("dead", "replay", jobs[0].id, url=url)
    assert again.returncode == 1
    assert "no dead letter any more" in again.stderr
    assert queue.job_ids == [jobs[0].id], "twice asked, once replayed"

    assert run("dead", "replay", "--all", url=url).stdout.strip() == "2 replayed."
    assert redis.llen("rq:queue:dead-letter") == 0
    assert sorted(queue.job_ids) == sorted(job.id for job in jobs)
    assert run("dead", "list", url=url).stdout.strip() == "No dead letters."


def test_rq_sees_dead_letters_and_requeues_them(url: str, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.boom)
    consumer(redis).work(burst=True)
    told = rq("info", url=url).stdout
    assert "dead-letter" in told
    rq("requeue", "--queue", "default", "--all", url=url)
    assert job.get_status() == "queued"
    consumer(redis).work(burst=True)
    assert redis.lrange("rq:queue:dead-letter", 0, -1) == [job.id.encode()], "it failed again and is there once"


def test_show_says_when_there_is_no_such_job(url: str) -> None:
    told = run("dead", "show", "nobody", url=url)
    assert told.returncode == 1
    assert "no job nobody" in told.stderr


def test_rq_suspends_and_resumes_the_service(url: str, redis: redis_py.Redis) -> None:
    with Service(url) as service:
        service.wait_for("child.spawned", role="consumer")
        rq("suspend", url=url)
        job = Queue("default", connection=redis).enqueue(tasks.add, 1, 2)
        until(
            lambda: (
                [state for key in redis.smembers("rq:workers") if (state := redis.hget(key, "state"))]
                == [b"suspended"] * 2
            ),
            service=service,
        )
        assert job.get_status() == "queued"
        rq("resume", url=url)
        until(lambda: job.return_value() == 3, service=service)
