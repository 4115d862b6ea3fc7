"""Jobs, members, messages and pickles that no producer should write, and somebody does.

`plant` writes a seeded mixture of them into Redis: single odd fields on good jobs, several at once, members of queues
and registries that name nothing, keys of the wrong type of single jobs, orders to workers that are none. `KILLERS` end
or block the process that reads them.
"""

from __future__ import annotations

import collections
import fractions
import json
import pickle
import random
import zlib
from typing import Any

import redis as redis_py

ADD = "tests.support.tasks.add"
QUEUE = "rq:queue:default"

#: Values of a field that is wanted as a number, a date, a name, JSON.
ODD: list[bytes] = [
    *(b"", b"many", b"-1", b"0", b"1.5", b"nan", b"inf", b"1e400", b"0x10", b"9" * 18, b"9" * 19, b"9" * 5000),
    *(b"1000000000000", b"-" + b"9" * 5000, "٣".encode(), b"\xff\xfe\x00", b"\x00", b" 1 ", b"1\n", b"True", b"null"),
    *(
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"[]",
        b"{}",
        b'{"a": 1}',
        b"[1, 2",
        b"[1" + b"0" * 400 + b"]",
        b'["x"]',
        b"[NaN]",
    ),
    *(b"2026-13-45T99:99:99Z", b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59.999999Z", b"2026-11-25", b"yesterday"),
    *(b"x" * 300_000, b"\x1b[2J\x1b]0;x\x07", b"rq:job:x", b"a:b:c", b"default", b"started", b"finished", b"no-status"),
    *(pickle.dumps({"a": 1}), zlib.compress(b"x"), b"\x80\x05.", b"os.system", b"a" + b".a" * 1000),
]
#: Fields of a job's hash: RQ's, then ours.
FIELDS = [
    "status",
    "created_at",
    "enqueued_at",
    "started_at",
    "ended_at",
    "last_heartbeat",
    "origin",
    "description",
    "data",
    "timeout",
    "ttl",
    "result_ttl",
    "failure_ttl",
    "retries_left",
    "retry_intervals",
    "number_of_retries",
    "enqueue_at_front_on_retry",
    "enqueue_at_front",
    "repeats_left",
    "repeat_intervals",
    "meta",
    "dependency_id",
    "dependency_ids",
    "allow_dependency_failures",
    "success_callback_name",
    "success_callback_timeout",
    "failure_callback_name",
    "failure_callback_timeout",
    "stopped_callback_name",
    "stopped_callback_timeout",
    "webhooks",
    "worker_name",
    "group_id",
    "result",
    "exc_info",
    "rate_limit_key",
    "rate_limit_concurrency",
    "attempts",
    "handbacks",
    "crashes",
    "unknown",
    "past",
    "dead_letter",
    "last_error",
    "first_failed_at",
    "suspect",
    "call",
    "buried_at",
    "serializer_name",
]
#: Keys that belong to one job.
KEYS_OF_A_JOB = ("rq:job:{}:dependents", "rq:job::{}:dependencies", "rq:executions:{}", "rq:results:{}")


class _Calls:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def nested_key() -> bytes:
    """A dict whose key is a tuple in a tuple, 1,000,000 deep: its hash overflows the stack of C."""
    deep = pickle.EMPTY_TUPLE + pickle.TUPLE1 * 1_000_000
    name = pickle.SHORT_BINUNICODE + bytes([len(ADD)]) + ADD.encode()
    arguments = pickle.EMPTY_TUPLE + pickle.EMPTY_DICT + deep + pickle.NONE + pickle.SETITEM
    return pickle.PROTO + b"\x04" + pickle.MARK + name + pickle.NONE + arguments + pickle.TUPLE + pickle.STOP


#: Payloads that end or block whoever reads them.
def much_from_little(size: int) -> bytes:
    """zlib of a JSON list with `size` blanks in it (whole MiB), from one block that is repeated: it takes no time."""
    block = 2**20
    squeezer = zlib.compressobj(9)
    opening = squeezer.compress(b"[") + squeezer.flush(zlib.Z_FULL_FLUSH)
    blanks = squeezer.compress(b" " * block) + squeezer.flush(zlib.Z_FULL_FLUSH)  # a full flush: no block needs another
    closing = squeezer.compress(b"]") + squeezer.flush()
    low = 1 + ord("[")  # the checksum, Adler-32 (RFC 1950), of all of it
    high = low + size * low + ord(" ") * size * (size + 1) // 2
    low += ord(" ") * size + ord("]")
    checksum = (high + low) % 65521 << 16 | low % 65521
    return opening + blanks * (size // block) + closing[:-4] + checksum.to_bytes(4, "big")


KILLERS: dict[str, bytes] = {
    "a tuple nested as a key": zlib.compress(nested_key()),
    "an endless deque": pickle.dumps((ADD, None, (_Calls(collections.deque, range(10**13), 0), 1), {})),
    "an endless power of ten": pickle.dumps((ADD, None, (_Calls(fractions.Fraction, "1e2000000000"), 1), {})),
    "a thousand times its size": much_from_little(2**30),
    "a name of two million dots": json.dumps(["a" + ".a" * 2_000_000, None, [], {}]).encode(),
    "a name of the job package with two million dots": json.dumps(["tests" + ".a" * 2_000_000, None, [], {}]).encode(),
}

#: Those that end or block a process; the others are refused.
DEADLY = frozenset({"a tuple nested as a key", "an endless deque", "an endless power of ten"})


def good_fields(number: int, *, as_pickle: bool) -> dict[str, bytes]:
    """The hash of an ordinary job: add(number, 1)."""
    call = (ADD, None, (number, 1), {})
    data = pickle.dumps(call) if as_pickle else json.dumps(call).encode()
    return {"status": b"queued", "origin": b"default", "created_at": b"2026-11-25T04:37:30.000000Z", "data": data}


def plant(redis: redis_py.Redis, count: int, seed: int) -> None:
    """Put `count` odd things beside whatever else is there; the same for the same seed."""
    random_ = random.Random(seed)
    for number in range(count):
        _ODD_THINGS[number % len(_ODD_THINGS)](redis, random_, f"odd-{seed}-{number}")


def _one_odd_field(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    fields = good_fields(1, as_pickle=random_.random() < 0.5) | {random_.choice(FIELDS): random_.choice(ODD)}
    _enqueue(redis, job_id, fields)


def _several_odd_fields(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    odd = {random_.choice(FIELDS): random_.choice(ODD) for _ in range(random_.randint(2, 12))}
    _enqueue(redis, job_id, good_fields(1, as_pickle=False) | odd)


def _mutated_payload(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    fields = good_fields(1, as_pickle=random_.random() < 0.7)
    data = bytearray(zlib.compress(fields["data"]) if random_.random() < 0.3 else fields["data"])
    for _ in range(random_.randint(1, 4)):
        data[random_.randrange(len(data))] = random_.randrange(256)
    _enqueue(redis, job_id, fields | {"data": bytes(data)})


def _member_without_a_job(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    member = random_.choice(
        [job_id.encode(), b"\xff\xfe" + job_id.encode(), b"", b"a:b:" + job_id.encode(), b"x" * 5000]
    )
    kind = random_.choice(["queue", "wip", "finished", "failed", "scheduled", "deferred", "canceled"])
    if kind == "queue":
        redis.rpush(QUEUE, member)
    else:
        redis.zadd(f"rq:{kind}:default", {member: random_.choice([0, 1, 2e9, float("inf"), -5])})


def _half_a_claim(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    """A running job of a worker that nobody knows, or of one that is alive, as its hash says."""
    odd = {random_.choice(FIELDS): random_.choice(ODD) for _ in range(random_.randint(0, 3))}
    fields = good_fields(1, as_pickle=False) | {"status": b"started", "worker_name": b"gone"} | odd
    redis.hset(f"rq:job:{job_id}", mapping=fields)  # type: ignore[arg-type]
    execution = random_.choice([b"run", b"\xff\xfe", b"", b"a:b"])
    redis.zadd("rq:wip:default", {job_id.encode() + b":" + execution: random_.choice([0, 1])})


def _wrong_type(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    key = random_.choice(KEYS_OF_A_JOB).format(job_id)
    random_.choice([lambda: redis.set(key, "x"), lambda: redis.rpush(key, "x"), lambda: redis.hset(key, "x", "y")])()
    _enqueue(redis, job_id, good_fields(1, as_pickle=False))


def _job_of_another_type(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    key = f"rq:job:{job_id}"
    random_.choice([lambda: redis.set(key, "x"), lambda: redis.rpush(key, "x"), lambda: redis.zadd(key, {"x": 1})])()
    redis.rpush(QUEUE, job_id)


def _no_order(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    orders = [
        b"[" * 100_000,
        b"\xff",
        b"null",
        b'{"command": [1]}',
        b'{"command": "stop-job", "job_id": {"a": 1}}',
        b"5",
    ]
    orders += [
        json.dumps({"command": "stop-job", "job_id": "x" * 100_000}).encode(),
        b'{"command": "shutdown' + b"x" * 99,
    ]
    workers: set[bytes] = redis.smembers("rq:workers")  # type: ignore[assignment]
    for worker in sorted(workers):
        redis.publish(b"rq:pubsub:" + worker.removeprefix(b"rq:worker:"), random_.choice(orders))


def _record_of_a_worker(redis: redis_py.Redis, random_: random.Random, job_id: str) -> None:
    name = random_.choice([job_id.encode(), b"\xff\xfe" + job_id.encode()])
    fields = ("state", "queues", "birth", "last_heartbeat", "successful_job_count", "total_working_time", "current_job")
    redis.hset(b"rq:worker:" + name, mapping={random_.choice(fields): random_.choice(ODD) for _ in range(3)})
    redis.sadd(random_.choice(["rq:workers", "rq:workers:default"]), b"rq:worker:" + name)
    redis.sadd(b"rq:worker:" + name + b":executions", random_.choice([b"\xff:\xfe", b"x", b"odd:run"]))


_ODD_THINGS = (
    *(_one_odd_field, _one_odd_field, _several_odd_fields, _mutated_payload, _member_without_a_job, _one_odd_field),
    *(_half_a_claim, _wrong_type, _job_of_another_type, _no_order, _record_of_a_worker, _several_odd_fields),
)


def _enqueue(redis: redis_py.Redis, job_id: str, fields: dict[str, bytes]) -> None:
    redis.hset(f"rq:job:{job_id}", mapping=fields)  # type: ignore[arg-type]
    redis.rpush(QUEUE, job_id)
