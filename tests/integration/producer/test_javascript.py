"""The JavaScript producer against a real server, with RQ's worker and ours at the other end."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import redis as redis_py

from tests.support import node, rest_faults
from tests.support.node import needs_node
from tests.support.producers import rest_environment, work_by_rq
from tests.support.rest_stub import RestStub
from tests.support.worker import consumer, work

pytestmark = needs_node
ADD = "tests.support.tasks.add"


@pytest.fixture
def calls(stub: RestStub) -> Callable[..., list[dict[str, Any]]]:
    return lambda *rows, **options: node.calls(rest_environment(stub), *rows, **options)


@pytest.mark.parametrize("work", [work_by_rq, work])
def test_a_worker_runs_the_job_and_it_reads_the_result(
    calls: Callable[..., list[dict[str, Any]]], redis: redis_py.Redis, work: Callable[[redis_py.Redis], None]
) -> None:
    answers = calls(
        ["enqueue", "tests.support.tasks.parse", ['{"größe": [1, null, "😀"]}'], {"jobId": "one"}],
        ["enqueue", ADD, [1], {"jobId": "two", "kwargs": {"right": 2}}],
        ["result", "two"],
        ["wait", "two", 200],
        ["status", "nothing"],
    )
    assert [answer.get("code") for answer in answers] == [None, None, "not_finished", "not_finished", "no_such_job"]
    work(redis)
    one, two, state = calls(["result", "one"], ["wait", "two", 5000], ["status", "two"])
    assert (one["value"], two["value"]) == ({"größe": [1, None, "😀"]}, 3)
    assert (state["value"]["status"], state["value"]["ended"], state["value"]["percent"]) == ("finished", True, 100)


def test_failures_cancels_and_reruns(calls: Callable[..., list[dict[str, Any]]], redis: redis_py.Redis) -> None:
    calls(["enqueue", "tests.support.tasks.give_up", [], {"unique": "lamp"}], ["enqueue", ADD, [1, 1], {"jobId": "c"}])
    shared, canceled = calls(["enqueue", "tests.support.tasks.give_up", [], {"unique": "lamp"}], ["cancel", "c"])
    assert (shared["value"]["created"], canceled["value"]) == (False, "canceled")
    consumer(redis).work(burst=True)
    job_id = shared["value"]["id"]
    failed, kept, again = calls(
        ["result", job_id],
        ["enqueue", "tests.support.tasks.give_up", [], {"unique": "lamp", "rerunAfter": 60}],
        ["enqueue", "tests.support.tasks.give_up", [], {"unique": "lamp", "rerunAfter": 0}],
    )
    assert (failed["code"], failed["status"], failed["reason"]) == ("job_failed", "failed", "permanent")
    assert kept["value"] == {"id": job_id, "created": False, "status": "failed"}
    assert again["value"] == {"id": job_id, "created": True, "status": "queued"}
    assert redis.lrange("rq:queue:default", 0, -1) == [job_id.encode()]


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (rest_faults.refuse, "unreachable", "connection broke"),
        (rest_faults.delayed(3), "unreachable", "did not answer in time"),
        (rest_faults.dripping(0.1), "unreachable", "did not answer in time"),
        (rest_faults.BAD_GATEWAY, "unreachable", "HTTP status 502"),
        (rest_faults.THROTTLED, "unreachable", "HTTP status 429"),
        (rest_faults.answering(401, {"error": "WRONGPASS x"}), "refused", "refuses the credentials"),
        (rest_faults.answering(404, "<html>", "text/html"), "refused", "is not Redis's REST API"),
        (rest_faults.answering(200, ["x"]), "refused", "form that it should not have"),
    ],
)
def test_trouble_ends_in_words_within_the_deadline(
    stub: RestStub, fault: rest_faults.Fault, code: str, said: str
) -> None:
    stub.fault = fault
    environ = {**rest_environment(stub), "TEST_TIMEOUT_MS": "900"}
    begin = time.monotonic()
    (answer,) = node.calls(environ, ["enqueue", ADD, [1, 1], {"jobId": "mine"}])
    assert time.monotonic() - begin < 60  # it did not hang; Node's own start included
    # Its last try is told, which may have had a twentieth of a second left: too little on a busy machine.
    for _ in range(10):
        if said in answer["message"] or "in time" not in answer["message"]:
            break
        (answer,) = node.calls(environ, ["enqueue", ADD, [1, 1], {"jobId": "mine"}])
    assert (answer["name"], answer["code"]) == ("ProducerError", code)
    assert said in answer["message"]
    assert answer.get("jobId") == ("mine" if code == "unreachable" else None)
    assert "stub-token" not in json.dumps(answer)


def test_a_thousand_enqueues_with_a_fifth_of_the_answers_lost_make_a_thousand_jobs(
    stub: RestStub, calls: Callable[..., list[dict[str, Any]]], redis: redis_py.Redis
) -> None:
    dice = random.Random(20)
    lost = []

    def lose_some(handler: BaseHTTPRequestHandler, run: Callable[[], None]) -> None:
        if dice.random() < 0.2:
            lost.append(1)
            rest_faults.drop_answer(handler, run)
        else:
            run()

    stub.fault = lose_some
    answers = calls(*(["enqueue", ADD, [n, n], {"jobId": f"job-{n}"}] for n in range(1000)), together=8)
    assert sorted(answer["value"]["id"] for answer in answers) == sorted(f"job-{n}" for n in range(1000))
    assert len(lost) > 100
    assert stub.requests == 1000 + len(lost)
    ids = redis.lrange("rq:queue:default", 0, -1)
    assert sorted(ids) == sorted(f"job-{n}".encode() for n in range(1000))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_result_with_what_json_does_not_have_is_null_from_us_and_refused_in_words_from_rq(
    calls: Callable[..., list[dict[str, Any]]], redis: redis_py.Redis, number: str
) -> None:
    name = "tests.support.tasks.as_number"
    calls(["enqueue", name, [number], {"jobId": "ours"}])
    work(redis)
    calls(["enqueue", name, [number], {"jobId": "theirs"}])
    work_by_rq(redis)
    redis.set("rq:cache:lamp", f'{{"price": {json.dumps(float(number))}}}', ex=900)
    ask = ["ask", ADD, [1], {"unique": "lamp", "cacheKey": "lamp", "freshness": 60}]
    ours, theirs, cached = calls(["result", "ours"], ["result", "theirs"], ask)
    assert ours == {"value": None}
    shown = json.dumps(float(number))
    assert theirs["message"].startswith(f"The result of job theirs holds {shown}, which JSON does not have: a plain RQ")
    assert cached["message"] == f"What is cached there holds {shown}, which JSON does not have."


def test_a_result_that_cannot_be_read_is_called_what_it_is(
    calls: Callable[..., list[dict[str, Any]]], redis: redis_py.Redis
) -> None:
    calls(["enqueue", ADD, [1, 1], {"jobId": "one"}])
    work(redis)
    said = []
    for stored in ("%%%", "ew==", "/w==", "gASV"):  # no base64, "{", no UTF-8, the beginning of a pickle
        redis.xadd("rq:results:one", {"type": 1, "return_value": stored})
        said.append(calls(["result", "one"])[0]["message"].removeprefix("The result of job one "))
    assert said[0] == "is damaged: it is not base64, as RQ writes it."
    assert said[1].startswith("is not JSON: ")
    assert said[2].startswith("is not JSON: ")
    assert "pickle" in said[3]
    assert not any("pickle" in sentence for sentence in said[:3])


def test_progress_is_read_beside_numbers_that_json_does_not_have(
    calls: Callable[..., list[dict[str, Any]]], redis: redis_py.Redis
) -> None:
    calls(["enqueue", ADD, [1, 1], {"jobId": "one"}])
    redis.hset("rq:job:one", "meta", '{"ratio": NaN, "progress": {"percent": 40, "message": "\\"NaN\\" of -Infinity"}}')
    state = calls(["status", "one"])[0]["value"]
    assert (state["percent"], state["message"]) == (40, '"NaN" of -Infinity')


@pytest.mark.parametrize("number", ["__nan__", -1, "5"])
def test_waits_and_limits_are_numbers_that_redis_and_clocks_know(
    calls: Callable[..., list[dict[str, Any]]], number: Any
) -> None:
    ask = {"unique": "lamp", "cacheKey": "lamp", "freshness": 60}
    answers = calls(
        ["ask", ADD, [], {**ask, "freshness": number}],
        ["ask", ADD, [], {**ask, "limit": {"who": "me", "calls": number, "seconds": 60}}],
        ["ask", ADD, [], {**ask, "limit": {"who": "me", "calls": 1, "seconds": number}}],
        ["enqueue", ADD, [], {"jobId": "one", "rerunAfter": number}],
        ["wait", "one", "__nan__"],
    )
    assert [answer["code"] for answer in answers] == ["invalid_job"] * 5
    assert "freshness must be a number from 0 to 2147483647" in answers[0]["message"]
