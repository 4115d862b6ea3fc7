"""How long one call of each script blocks the server, at the sizes that the product allows.

    python -m bench.blocking               # 100,000 dead letters, 64 × 200 claims, 100,000 parents: two minutes
    python -m bench.blocking --small       # a hundredth of that

Every case fills a server of its own, does one thing as the service or an operator does it, and reads SLOWLOG: the
longest call of each script, in milliseconds of the server's time. The goal is 5 ms. How many commands scripts call
depends on no other program on the machine: that is what a test bounds (tests/integration/redis/test_blocking.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.client import Pipeline

from bench import machine
from tests.support.server import RedisServer
from worker.dead_letters.changes import Changes
from worker.dead_letters.queue import DeadLetterQueue
from worker.dispatcher.scheduled_jobs import move_due
from worker.dispatcher.strays import all_strays
from worker.engine.claims import Claims
from worker.engine.leases import LEASE_SECONDS, heartbeat, orphans
from worker.engine.registries import steps
from worker.redis import scripts
from worker.redis.calls import ScriptCalls

PREFIX: Final = "rq"
LETTERS: Final = "dead-letter"
DATE: Final = "2026-11-25T04:37:30.000000Z"
GOAL_MS: Final = 5.0


@dataclass(frozen=True)
class Sizes:
    """What the cases are filled with."""

    letters: int = 100_000
    workers: int = 64
    claims: int = 200  #: of each worker
    scheduled: int = 10_000
    parents: int = 100_000
    queued: int = 100_000

    def small(self) -> Sizes:
        """Return a hundredth of it, with the same number of claims in a worker's hands."""
        return Sizes(self.letters // 100, 4, self.claims, self.scheduled // 10, self.parents // 100, self.queued // 100)


@dataclass(frozen=True)
class Row:
    """The longest call of one script in one case."""

    case: str
    script: str
    calls: int
    longest_ms: float
    commands: int  #: that scripts have called, on average for each call of a script of this case


def job_id(number: int) -> str:
    """Return an id as long as RQ's."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def in_pages(redis: Redis, count: int, write: Callable[[Pipeline, int], object]) -> None:
    """Call `write` for each number, many in one round trip."""
    for first in range(0, count, 1000):
        with redis.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + 1000, count)):
                write(pipeline, number)
            pipeline.execute()


def put_job(pipeline: Pipeline, number: int, **fields: str) -> None:
    """Write a job's hash."""
    told = {"created_at": DATE, "enqueued_at": DATE, "origin": "default", "description": "a.b()", "data": "x" * 80}
    pipeline.hset(f"rq:job:{job_id(number)}", mapping={**told, **fields})


def fill_letters(redis: Redis, count: int) -> None:
    """Bury so many jobs."""
    record = '{"reason": "exception", "queue": "default", "moment": 1764000000.0, "attempts": 1}'

    def letter(pipeline: Pipeline, number: int) -> None:
        put_job(pipeline, number, status="failed", ended_at=DATE, dead_letter=record)
        pipeline.rpush(f"rq:queue:{LETTERS}", job_id(number))
        pipeline.zadd("rq:failed:default", {job_id(number): 2_000_000_000 + number})

    in_pages(redis, count, letter)


def fill_queue(redis: Redis, count: int, first: int = 0) -> None:
    """Enqueue so many jobs."""

    def queued(pipeline: Pipeline, number: int) -> None:
        put_job(pipeline, first + number, status="queued")
        pipeline.rpush("rq:queue:default", job_id(first + number))

    in_pages(redis, count, queued)
    redis.sadd("rq:queues", "rq:queue:default")


def claims_of(redis: Redis, name: str) -> Claims:
    """Return the claims of a registered worker."""
    redis.sadd("rq:workers", f"rq:worker:{name}")
    redis.hset(f"rq:worker:{name}", "birth", DATE)
    return Claims(redis, PREFIX, name, ["default"], LETTERS)


def requeued_letters(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Claim a batch of jobs that `rq requeue` has put back: it leaves their ids among the dead letters."""
    fill_letters(redis, sizes.letters)
    again = [job_id(number) for number in range(sizes.letters // 2, sizes.letters // 2 + 16)]
    for identity in again:
        redis.hset(f"rq:job:{identity}", "status", "queued")
        redis.zrem("rq:failed:default", identity)
        redis.rpush("rq:queue:default", identity)
    claims = claims_of(redis, "ann")
    return lambda: claims.settle_and_claim((), 16)


def change_of_newest(act: Callable[[Changes, Sequence[Any]], object]) -> Callable[[Redis, Sizes], Callable[[], object]]:
    """Change a batch of the newest letters."""

    def fill(redis: Redis, sizes: Sizes) -> Callable[[], object]:
        fill_letters(redis, sizes.letters)
        dead_letters = DeadLetterQueue(redis, PREFIX, LETTERS)
        newest = dead_letters.page(sizes.letters - 100, sizes.letters - 1).letters
        return lambda: act(Changes(dead_letters, "bench"), newest)

    return fill


def middle_letters(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Discard letters from the middle of the queue, as a filter picks them."""
    fill_letters(redis, sizes.letters)
    dead_letters = DeadLetterQueue(redis, PREFIX, LETTERS)
    chosen = dead_letters.page(sizes.letters // 2, sizes.letters // 2 + 99).letters
    return lambda: Changes(dead_letters, "bench").discard(chosen)


def held_claims(redis: Redis, sizes: Sizes) -> list[str]:
    """Let every worker claim all that it may; returns their names."""
    fill_queue(redis, sizes.workers * sizes.claims)
    names = [f"worker-{number}" for number in range(sizes.workers)]
    for name in names:
        claims_of(redis, name).settle_and_claim((), sizes.claims)
    return names


def heartbeats(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Keep all claims of an instance alive, of which none has had a heartbeat for five minutes."""
    names = held_claims(redis, sizes)
    records = [*redis.scan_iter("rq:execution:*", count=1000)]
    in_pages(redis, len(records), lambda pipeline, number: pipeline.expire(records[number], LEASE_SECONDS - 300))
    return lambda: heartbeat(ScriptCalls(redis, PREFIX), names)


def look_for_orphans(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Look through all claims for those of dead workers."""
    held_claims(redis, sizes)
    return lambda: orphans(ScriptCalls(redis, PREFIX), ["default"])


def schedule(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Move jobs that all are due at once."""

    def put_off(pipeline: Pipeline, number: int) -> None:
        put_job(pipeline, number, status="scheduled")
        pipeline.zadd("rq:scheduled:default", {job_id(number): 1 + number})

    in_pages(redis, sizes.scheduled, put_off)
    calls = ScriptCalls(redis, PREFIX)

    def move() -> None:
        while move_due(calls, ["default"])[0]:
            pass

    return move


def many_parents(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Maintain registries beside a job that waits for very many others, all of which have ended."""

    def parent(pipeline: Pipeline, number: int) -> None:
        put_job(pipeline, number, status="finished", ended_at=DATE)
        pipeline.sadd(f"rq:job::{job_id(10**9)}:dependencies", job_id(number))

    in_pages(redis, sizes.parents, parent)
    with redis.pipeline() as pipeline:
        put_job(pipeline, 10**9, status="deferred")
        pipeline.zadd("rq:deferred:default", {job_id(10**9): 1})
        pipeline.sadd("rq:queues", "rq:queue:default")
        pipeline.execute()
    calls = ScriptCalls(redis, PREFIX)
    return lambda: list(steps(calls, called_for=True))


def strays(redis: Redis, sizes: Sizes) -> Callable[[], object]:
    """Look for jobs in no list beside a long queue: a page of jobs older than its head."""
    fill_queue(redis, sizes.queued)
    redis.hset(f"rq:job:{job_id(0)}", "enqueued_at", "2026-11-26T00:00:00.000000Z")
    calls = ScriptCalls(redis, PREFIX)
    return lambda: list(all_strays(calls))


CASES: Final[dict[str, Callable[[Redis, Sizes], Callable[[], object]]]] = {
    "claim of requeued jobs": requeued_letters,
    "discard of the newest letters": change_of_newest(lambda changes, letters: changes.discard(letters)),
    "replay of the newest letters": change_of_newest(lambda changes, letters: changes.replay(letters)),
    "discard from the middle": middle_letters,
    "heartbeats": heartbeats,
    "orphans": look_for_orphans,
    "schedule": schedule,
    "maintenance, many parents": many_parents,
    "strays": strays,
}


def measure(case: str, sizes: Sizes) -> list[Row]:
    """Do one case on a server of its own."""
    with RedisServer() as server, server.client() as redis:
        act = CASES[case](redis, sizes)
        for script in scripts.ALL:
            redis.script_load(script.text)
        redis.config_set("slowlog-max-len", 100_000)
        redis.config_set("slowlog-log-slower-than", 0)
        redis.slowlog_reset()
        redis.config_resetstat()
        act()
        called = {name: int(facts["calls"]) for name, facts in redis.info("commandstats").items()}
        entries: list[dict[str, Any]] = redis.slowlog_get(100_000)
    names = {
        script.sha.encode(): script.name for script in vars(scripts).values() if isinstance(script, scripts.Script)
    }
    found: dict[str, list[float]] = {}
    for entry in entries:
        words = entry["command"].split()
        if words[0].upper() == b"EVALSHA":
            found.setdefault(names.get(words[1], "?"), []).append(entry["duration"] / 1000)
    ours = called.pop("cmdstat_evalsha", 1)
    return [Row(case, name, len(times), max(times), sum(called.values()) // ours) for name, times in found.items()]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="fill a hundredth")
    parser.add_argument("--only", default="", help="cases whose name has this")
    wanted = parser.parse_args(argv)
    sizes = Sizes().small() if wanted.small else Sizes()
    about = machine.describe()
    print(f"{about['date']}, {about['server']}, load {about['load']}\n")
    print("| case | script | calls | longest, ms | commands a call |\n|---|---|---:|---:|---:|", flush=True)
    for case in CASES:
        if wanted.only in case:
            for row in measure(case, sizes):
                print(
                    f"| {row.case} | `{row.script}` | {row.calls:,} | {row.longest_ms:.1f} | {row.commands:,} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
