"""A producer whose answers get lost: each job is there once, and every call ends within its deadline."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import redis as redis_py

from producer import Producer, Refused, Unreachable
from tests.support import rest_faults
from tests.support.producers import over_rest, over_tcp
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer, free_port
from tests.support.waiting import SLACK_SECONDS
from tests.support.worker import consumer

JOURNAL = "tests.support.tasks.journal"
#: How much longer than its deadline a call may take before it counts as hung: a loaded machine, no more.
SLACK = SLACK_SECONDS


def test_a_thousand_enqueues_with_a_fifth_of_the_answers_lost_make_a_thousand_jobs(
    stub: RestStub, redis: redis_py.Redis, tmp_path: Path
) -> None:
    dice = random.Random(9)
    lost = []

    def lose_some(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
        if dice.random() < 0.2:
            lost.append(1)
            rest_faults.drop_answer(handler, run)
        else:
            run()

    stub.fault = lose_some
    path = str(tmp_path / "journal")
    with over_rest(stub) as producer, ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda n: producer.enqueue(JOURNAL, path, str(n), job_id=f"job-{n}"), range(1000)))
    assert len(lost) > 100
    assert stub.requests == 1000 + len(lost)
    ids = [job_id.decode() for job_id in redis.lrange("rq:queue:default", 0, -1)]
    assert sorted(ids) == sorted(job.id for job in jobs)
    consumer(redis).work(burst=True)
    ran = Counter(line.split()[0] for line in Path(path).read_text().splitlines())
    assert ran == Counter({f"job-{n}": 1 for n in range(1000)})


def test_a_rerun_whose_answer_is_lost_runs_once_although_it_has_ended_meanwhile(
    stub: RestStub, redis: redis_py.Redis
) -> None:
    def end_it_before_the_answer_is_lost(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
        rest_faults.drop_answer(handler, run)
        runs.append(redis.lpop("rq:queue:default"))
        # By a clock that is behind the producer's, so that only the call's own token tells the run from an old one.
        redis.hset("rq:job:one", mapping={"status": "finished", "ended_at": "2026-01-01T00:00:00.000000Z"})

    runs: list[object] = []
    with over_rest(stub) as producer:
        producer.enqueue("tests.support.tasks.add", 1, 1, job_id="one")
        consumer(redis).work(burst=True)
        stub.faults.append(end_it_before_the_answer_is_lost)
        again = producer.enqueue("tests.support.tasks.add", 1, 1, job_id="one", rerun_after=0)
    assert runs == [b"one"]
    assert (again.created, again.status) == (False, "finished")
    assert redis.llen("rq:queue:default") == 0


@pytest.mark.parametrize(
    "fault",
    [rest_faults.drop_answer, rest_faults.refuse, rest_faults.BAD_GATEWAY, rest_faults.THROTTLED, rest_faults.BROKEN],
)
def test_passing_trouble_is_waited_out(stub: RestStub, redis: redis_py.Redis, fault: rest_faults.Fault) -> None:
    stub.faults.extend([fault, fault])
    with over_rest(stub) as producer:
        job = producer.enqueue("tests.support.tasks.add", 1, 1)
    assert stub.requests == 3
    assert redis.lrange("rq:queue:default", 0, -1) == [job.id.encode()]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (rest_faults.refuse, "The connection to Redis's REST API broke"),
        (rest_faults.dripping(0.1), "did not answer in time"),
        (rest_faults.delayed(4), "did not answer in time"),
        (rest_faults.BAD_GATEWAY, "in trouble \\(HTTP status 502\\)"),
    ],
)
def test_trouble_that_lasts_ends_at_the_deadline_and_names_the_job(
    stub: RestStub, fault: rest_faults.Fault, said: str
) -> None:
    stub.fault = fault
    with over_rest(stub, seconds=4.0) as producer:
        producer._transport.try_seconds = 2.0
        begin = time.monotonic()
        with pytest.raises(Unreachable, match=said) as caught:
            producer.enqueue("tests.support.tasks.add", 1, 1, job_id="mine")
        assert time.monotonic() - begin < 4.0 + SLACK
    assert caught.value.job_id == "mine"
    assert "enqueue it again with that job_id" in str(caught.value)
    assert "stub-token" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (rest_faults.answering(401, {"error": "WRONGPASS invalid or missing auth token"}), "refuses the credentials"),
        (rest_faults.answering(401, "Unauthorized", "text/plain"), "is not Redis's REST API"),
        (rest_faults.answering(404, "<html>no such site</html>", "text/html"), "is not Redis's REST API"),
        (rest_faults.answering(400, {"error": "ERR max requests limit exceeded. Limit: 500000"}), "quota of commands"),
        (rest_faults.answering(400, {"error": "ERR DB capacity quota exceeded"}), "Redis is full"),
        (rest_faults.answering(400, {"error": "NOPERM this user has no permissions"}), "read-only token"),
        (rest_faults.answering(200, ["what"]), "form that it should not have"),
        (rest_faults.answering(200, {"result": "x", "error": "ERR odd"}), "answered an error: ERR odd"),
    ],
)
def test_trouble_that_will_not_pass_is_told_at_once(stub: RestStub, answer: rest_faults.Fault, said: str) -> None:
    stub.fault = answer
    with over_rest(stub) as producer, pytest.raises(Refused, match=said):
        producer.enqueue("tests.support.tasks.add", 1, 1)
    assert stub.requests == 1


def test_nobody_listening_ends_in_words() -> None:
    environ = {"UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{free_port()}", "UPSTASH_REDIS_REST_TOKEN": "t"}
    with (
        Producer.from_environment(environ, seconds=0.5) as producer,
        pytest.raises(Unreachable, match="cannot be reached"),
    ):
        producer.enqueue("tests.support.tasks.add", 1, 1)


def test_over_tcp_a_server_that_is_restarted_is_waited_for(own_server: RedisServer) -> None:
    with over_tcp(own_server) as producer, ThreadPoolExecutor(1) as pool:
        producer.enqueue("tests.support.tasks.add", 1, 1, job_id="one")
        own_server.kill()
        second = pool.submit(producer.enqueue, "tests.support.tasks.add", 1, 1, job_id="two")
        own_server.restart(keep_data=True)
        assert second.result(timeout=60).id == "two"
    with own_server.client() as redis:
        assert redis.lrange("rq:queue:default", 0, -1) == [b"one", b"two"]


def test_over_tcp_a_frozen_server_does_not_hang_the_caller(own_server: RedisServer) -> None:
    with over_tcp(own_server, seconds=1.0) as producer:
        producer._transport._redis.connection_pool.connection_kwargs["socket_timeout"] = 0.5  # type: ignore[attr-defined]
        own_server.freeze()
        begin = time.monotonic()
        try:
            with pytest.raises(Unreachable, match="did not answer in time"):
                producer.enqueue("tests.support.tasks.add", 1, 1)
            assert time.monotonic() - begin < 1.0 + SLACK
        finally:
            own_server.thaw()


def test_over_tcp_a_wrong_password_is_told_at_once() -> None:
    with RedisServer(password="right") as server:
        environ = {"REDIS_URL": server.url.replace("right", "wrong-secret")}
        with Producer.from_environment(environ) as producer, pytest.raises(Refused, match="password") as caught:
            producer.enqueue("tests.support.tasks.add", 1, 1)
    assert "secret" not in str(caught.value)
