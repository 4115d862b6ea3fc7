"""The producers of both languages write the same, to the byte, and refuse the same."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from typing import Any

import pytest
import redis as redis_py

from producer import InvalidJob, NoSuchJob, Producer
from tests.support import node, producer_cases, tasks
from tests.support.node import needs_node
from tests.support.producers import over_rest, over_tcp, rest_environment
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer
from tests.support.waiting import eventually
from tests.support.worker import work

pytestmark = needs_node
FUNCTION = producer_cases.FUNCTION


def compared(stub: RestStub, redis: redis_py.Redis, jobs: list[dict[str, Any]]) -> tuple[Any, Any]:
    """What each language's producer has written, and answered, for the same jobs."""
    redis.flushall()
    with over_rest(stub) as producer:
        answered = producer.enqueue_many(producer_cases.in_python(jobs))
    by_python = producer_cases.held(redis), [(one.created, one.status) for one in answered]
    redis.flushall()
    (answer,) = node.calls(rest_environment(stub), ["enqueueMany", jobs])
    assert "value" in answer, answer
    return by_python, (producer_cases.held(redis), [(one["created"], one["status"]) for one in answer["value"]])


def differences(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, Any]:
    return {key: (one.get(key), other.get(key)) for key in {*one, *other} if one.get(key) != other.get(key)}


def test_every_case_of_the_table_is_written_the_same(stub: RestStub, redis: redis_py.Redis) -> None:
    jobs = producer_cases.in_javascript()
    (held, answered), by_javascript = compared(stub, redis, jobs)
    assert differences(by_javascript[0], held) == {}
    assert by_javascript[1] == answered
    assert all(created for created, _ in answered)
    assert {status for _, status in answered} == {"queued", "scheduled", "deferred", "rate_limited"}
    assert len([key for key in held if key.startswith("rq:job:")]) >= len(jobs)


def test_one_by_one_they_write_what_they_write_together(stub: RestStub, redis: redis_py.Redis) -> None:
    jobs = producer_cases.in_javascript()
    (together, _), _ = compared(stub, redis, jobs)
    redis.flushall()
    with over_rest(stub) as producer:
        for call in producer_cases.in_python(jobs):
            producer.enqueue(call.function, *call.args, **call.options)
    one_by_one = producer_cases.held(redis)
    # Together, jobs that wait for a place under a rate limit come after the others.
    queue = "rq:queue:default"
    assert sorted(json.loads(one_by_one.pop(queue)[0])[0]) == sorted(json.loads(together.pop(queue)[0])[0])
    assert differences(one_by_one, together) == {}


#: Of every kind that JSON or a terminal might treat in a way of its own.
CHARACTERS = "abcXYZ 0123456789_.-/:;,'\"\\\n\t\x00\x1f\x7f\x85\u2028\u2029äß€ÿ中ق\u200d\ufeff\uffff😀👩\U0010ffff"


def words(dice: random.Random, most: int = 90) -> str:
    return "".join(dice.choices(CHARACTERS, k=dice.randint(0, most)))


def number(dice: random.Random) -> float:
    """Not 1.0, which JavaScript does not have beside 1, and of any size below 2^53."""
    value = dice.choice([1, -1]) * dice.random() * 10.0 ** dice.randint(-320, 15)
    return value if value and not value.is_integer() else 0.1


def value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randint(0, 7 if depth < 4 else 5)
    if kind == 6:
        return [value(dice, depth + 1) for _ in range(dice.randint(0, 4))]
    if kind == 7:
        return record(dice, depth + 1)
    plain = (
        None,
        dice.random() < 0.5,
        dice.randint(-(2**53) + 1, 2**53 - 1),
        dice.randint(-9, 9),
        number(dice),
        words(dice),
    )
    return plain[kind]


def record(dice: random.Random, depth: int = 1) -> dict[str, Any]:
    """With keys that JavaScript does not move to the front, as it does with "7"."""
    return {f"k{words(dice, 9)}": value(dice, depth) for _ in range(dice.randint(0, 4))}


def options(dice: random.Random) -> dict[str, Any]:
    every: dict[str, Any] = {
        "kwargs": record(dice),
        "queue": dice.choice(["default", "high", "größe"]),
        "timeout": dice.randint(1, 86400),
        "resultTtl": dice.randint(-1, 10**6),
        "ttl": 100 * dice.randint(10, 10**4),  # times are compared to 100 s
        "meta": record(dice),
        "description": words(dice, 1500),
        "retry": dice.choice([dice.randint(1, 9), {"max": 3, "interval": [dice.randint(0, 99), 0]}]),
        "atFront": dice.random() < 0.5,
        "delay": 100 * dice.randint(0, 90) + dice.choice([0, 0.25, 1e-9]),
        "group": dice.choice("ab"),
        "idempotencyKey": words(dice) + str(dice.random()),
    }
    return {name: value for name, value in every.items() if dice.random() < 0.4}


@pytest.mark.parametrize("seed", range(3))
def test_any_other_call_is_written_the_same(stub: RestStub, redis: redis_py.Redis, seed: int) -> None:
    dice = random.Random(seed)
    jobs = [
        {"function": FUNCTION, "args": [value(dice) for _ in range(3)], "jobId": f"job-{number}", **options(dice)}
        for number in range(200)
    ]
    by_python, by_javascript = compared(stub, redis, jobs)
    assert differences(by_javascript[0], by_python[0]) == {}
    assert by_javascript[1] == by_python[1]


#: What cannot be a job: arguments and options, with "__nan__" and "__half__" (a lone surrogate) as Node reads them.
BAD: list[tuple[list[Any], dict[str, Any]]] = [
    (["__nan__"], {}),
    ([{"a": ["__half__"]}], {}),
    (["x" * 1_000_001], {}),
    ([], {"kwargs": {"a": "__nan__"}}),
    ([], {"meta": {"a": "__half__"}}),
    ([], {"description": "__half__"}),
    ([], {"timeout": 0}),
    ([], {"timeout": "60"}),
    ([], {"resultTtl": 1.5}),
    ([], {"retry": 0}),
    ([], {"retry": {"max": 1, "interval": [-1]}}),
    ([], {"queue": "a b"}),
    ([], {"queue": "dead-letter"}),
    ([], {"jobId": "a:b"}),
    ([], {"jobId": "a", "unique": "b"}),
    ([], {"unique": ""}),
    ([], {"callbackUrl": "me.example"}),
    ([], {"delay": -1}),
    ([], {"delay": "__nan__"}),
    ([], {"delay": 1, "at": 2}),
    ([], {"at": -1}),
    ([], {"at": "tomorrow"}),
    ([], {"dependsOn": []}),
    ([], {"dependsOn": ["a", "a"]}),
    ([], {"dependsOn": "a b"}),
    ([], {"dependsOn": 7}),
    ([], {"jobId": "a", "dependsOn": "a"}),
    ([], {"dependsOn": "a", "delay": 1}),
    ([], {"dependsOn": "a", "allowFailure": 1}),
    ([], {"group": "a b"}),
    ([], {"rateLimit": {"key": "", "concurrency": 1}}),
    ([], {"rateLimit": {"key": "a", "concurrency": 0}}),
    ([], {"throttle": {"key": "", "seconds": 5}}),
    ([], {"throttle": {"key": "a", "seconds": 0.5}}),
    ([], {"throttle": {"key": "a", "seconds": 5}, "jobId": "b"}),
    ([], {"debounce": {"key": "a", "seconds": 0}}),
    ([], {"debounce": {"key": "a", "seconds": 5, "maxWait": -1}}),
    ([], {"debounce": {"key": "a", "seconds": 5}, "delay": 1}),
    ([], {"debounce": {"key": "a", "seconds": 5}, "callbackUrl": "https://me.example/"}),
    ([], {"idempotencyKey": ""}),
    ([], {"idempotencyKey": "a", "idempotencyTtl": 0}),
    ([], {"idempotencyKey": "a", "unique": "b"}),
    ([], {"traceparent": "00-0-0-00"}),
    ([], {"traceparent": "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}),
    ([], {"tracestate": "a=1"}),
    ([], {"atFront": "yes"}),
]


def odd(value: Any) -> Any:
    """Put in what JSON could not carry to Node."""
    if isinstance(value, list):
        return [odd(item) for item in value]
    if isinstance(value, dict):
        return {odd(key): odd(item) for key, item in value.items()}
    return {"__nan__": math.nan, "__half__": "\ud800"}.get(value, value) if isinstance(value, str) else value


def test_both_refuse_the_same_before_anything_is_sent(stub: RestStub, redis: redis_py.Redis) -> None:
    rows = [{"function": FUNCTION, "args": args, **options} for args, options in BAD]
    with over_rest(stub) as producer:
        for row in rows:
            with pytest.raises(InvalidJob):
                producer.enqueue_many(producer_cases.in_python([odd(row)]))
    answers = node.calls(rest_environment(stub), *(["enqueueMany", [row]] for row in rows))
    assert [(row, answer.get("code")) for row, answer in zip(rows, answers, strict=True)] == [
        (row, "invalid_job") for row in rows
    ]
    assert stub.requests == 0
    assert redis.keys() == []


@pytest.mark.parametrize(
    ("jobs", "said"),
    [
        ([], "1 to 1000 jobs"),
        ([{"jobId": f"a{n}"} for n in range(1001)], "1 to 1000 jobs; these are 1001"),
        ([{"jobId": "a"}, {"jobId": "a"}], "same id or key"),
        ([{"throttle": {"key": "a", "seconds": 5}}] * 2, "same id or key"),
        ([{"dependsOn": "b"}, {"jobId": "b"}], "depends on a later one"),
        ([{"dependsOn": [f"a{n}" for n in range(100)]}] * 11, "at most 1000 dependencies"),
        ([{"args": ["x" * 999_000]}] * 9, "a request takes at most"),
    ],
)
def test_what_one_request_cannot_carry_is_refused_by_both(
    stub: RestStub, jobs: list[dict[str, Any]], said: str
) -> None:
    rows = [{"function": FUNCTION, "args": [], **job} for job in jobs]
    with over_rest(stub) as producer, pytest.raises(InvalidJob, match=said):
        producer.enqueue_many(producer_cases.in_python(rows))
    (answer,) = node.calls(rest_environment(stub), ["enqueueMany", rows])
    assert answer["code"] == "invalid_job"
    assert said in answer["message"]
    assert stub.requests == 0


def test_a_whole_number_that_javascript_would_round_is_said(stub: RestStub, redis: redis_py.Redis) -> None:
    beyond = 2**53 + 1
    with over_rest(stub) as producer:
        for number, job_id in ((beyond, "beyond"), (beyond - 2, "safe")):
            producer.enqueue("tests.support.tasks.parse", str(number), job_id=job_id)
        assert read_by(producer, redis) == beyond
    answers = node.calls(
        rest_environment(stub), ["enqueue", FUNCTION, [beyond]], ["result", "beyond"], ["result", "safe"]
    )
    assert [answer.get("code") for answer in answers] == ["invalid_job", "refused", None]
    assert "2^53" in answers[0]["message"]
    assert "holds the whole number 9007199254740993, which JavaScript would round" in answers[1]["message"]
    assert answers[2]["value"] == beyond - 2


#: Lists as they may stand beside a job, and which of their lines a reader makes out.
LOGS: list[tuple[list[str], list[tuple[float, int, int | None, str]]]] = [
    ([], []),
    (["<created_at> 0"], []),
    (
        ["<created_at> 7", "1700000000.250 1 - a  b", "1700000001.000 2 40 ", "1700000002.000 12 100 ä\n😀"],
        [(1700000000.25, 1, None, "a  b"), (1700000001.0, 2, 40, ""), (1700000002.0, 12, 100, "ä\n😀")],
    ),
    (["<created_at> 0", "somebody's", "1 x - a", "5 1 - mine"], [(5.0, 1, None, "mine")]),
    (["2020-01-01T00:00:00.000000Z 0", "5 1 - of an earlier job of this id"], []),
]


def test_both_read_the_same_log_over_rest_and_tcp_while_the_job_runs_and_after(
    stub: RestStub, server: RedisServer, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_by_all(*job_ids: str) -> list[list[tuple[float, int, int | None, str]]]:
        answers = node.calls(rest_environment(stub), *(["log", {"id": job_id}] for job_id in job_ids))
        with over_rest(stub) as by_rest, over_tcp(server) as by_tcp:
            found = [by_rest.log(job_id) for job_id in job_ids]
            assert [by_tcp.log(job_id) for job_id in job_ids] == found
        assert [answer["value"] for answer in answers] == [list(map(dataclasses.asdict, lines)) for lines in found]
        return [list(map(dataclasses.astuple, lines)) for lines in found]

    seen: list[Any] = []
    monkeypatch.setattr(
        tasks, "observer", lambda _: eventually(lambda: redis.exists("rq:log:one")) and seen.extend(read_by_all("one"))
    )
    with over_rest(stub) as producer:
        producer.enqueue("tests.support.tasks.say", "begun", "größer", job_id="one")
        with pytest.raises(NoSuchJob):
            producer.log("none")
    assert node.calls(rest_environment(stub), ["log", "none"])[0]["code"] == "no_such_job"
    work(redis)
    assert [row[1:] for row in seen[0]] == [(1, None, "begun"), (1, 50, "half"), (1, None, "größer")]
    created_at = "2026-12-01T10:00:00.000000Z"
    for number, (entries, _) in enumerate(LOGS):
        redis.hset(f"rq:job:{number}", "created_at", created_at)
        for entry in entries:
            redis.rpush(f"rq:log:{number}", entry.replace("<created_at>", created_at))
    rows = read_by_all("one", *map(str, range(len(LOGS))))
    assert rows == [*seen, *(lines for _, lines in LOGS)]


def read_by(producer: Producer, redis: redis_py.Redis) -> Any:
    work(redis)
    return producer.result("beyond")
