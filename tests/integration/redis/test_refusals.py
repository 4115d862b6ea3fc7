"""Whichever single command of a script is refused, no job is lost, and the same call completes it.

Redis keeps what a script has written before a command is refused (no right to it, a key of another type). Here every
script is run once for each command that it sends, with that command refused, and once for each command's name; then
again without a refusal. In between each job must stand in some place; afterwards everything must be as if nothing had
been refused. The commands are counted while the script runs, so that a new one cannot be forgotten.

And once more for each of them the worker dies over the refusal: whoever rescues its claims brings each job to one end.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.engine import LETTERS, buried, desk, everything, finished, register, rescuer, retried, script_calls
from tests.support.refusing import refused, was_refused
from worker.engine.claims import Claims
from worker.engine.meta import NO_CHANGE, MetaChange
from worker.engine.records import Claim, Outcome
from worker.engine.serializers import Json
from worker.redis import scripts
from worker.redis.needs import by_scripts
from worker.redis.scripts import Script
from worker.redis.trouble import RedisTrouble

#: Scripts that only read, or whose writes move no job; each with the reason.
MOVES_NO_JOB = {
    "cron_show": "writes what RQ's tools show of the schedule",
    "done": "writes when a chore is next due",
    "edit": "changes the payload of a dead letter",
    "extend": "prolongs a lease",
    "failures": "forgets entries whose job is gone",
    "heartbeat": "prolongs leases",
    "journal": "keeps what steps have returned; the job stays claimed",
    "log": "keeps what a job says; the job stays claimed",
    "lead": "elects a leader",
    "letter_marks": "reads",
    "letters": "reads",
    "register": "writes a worker's record",
    "meta": "writes the meta of a job",
    "pause": "notes that no more jobs of some kind are begun",
    "look": "reads",
    "story": "reads",
    "orphans": "notes whose claims they are",
    "resign": "lets another lead",
    "step": "changes when jobs are due",
    "strays": "reads",
    "tally": "counts what functions do",
    "sweep": "takes ids off the dead-letter queue whose job is no dead letter",
    "waits": "reads",
    "workers": "reads",
    "types": "reads",
}


#: Where jobs of a paused function wait.
ASIDE = "rq:queue:paused:default:tests.support.tasks.add"


class Refusal(Exception):
    """A queue could not be claimed from."""


@dataclass
class Scene:
    """What a script is called for: `act` calls it, and is called again after a refusal."""

    act: Callable[[], Any]
    jobs: list[str]
    keep_nothing: tuple[str, ...] = ()  #: those that are gone when they have ended


def enqueue(redis: redis_py.Redis, *ids: str, queue: str = "default", **options: Any) -> None:
    for job_id in ids:
        Queue(queue, connection=redis).enqueue(tasks.add, 1, 1, job_id=job_id, **options)


def claimed(redis: redis_py.Redis, *ids: str, **options: Any) -> tuple[Claims, list[Claim]]:
    """Return the claims of a worker that has claimed jobs."""
    enqueue(redis, *ids, **options)
    register(redis, "ann")
    ann = desk(redis, "ann", "default")
    claims = ann.settle_and_claim([], len(ids)).claims
    assert [claim.job_id for claim in claims] == list(ids)
    return ann, claims


def settling(ann: Claims, outcomes: list[Outcome], capacity: int = 0) -> Callable[[], Any]:
    """Settle as a consumer does: what may have been written in part is sent again, as such."""
    left = list(outcomes)

    def act() -> None:
        sent = list(left)
        try:
            ann.settle_and_claim(sent, capacity)
        except RedisTrouble:
            for outcome in sent:
                outcome.tries += 1
            raise

    return act


def claiming(ann: Claims) -> Callable[[], Any]:
    """Claim as a consumer does: what comes is held, and after trouble the rest of what was claimed is recovered."""
    held: list[str] = []

    def act() -> None:
        try:
            reply = ann.settle_and_claim([], 8)
        except RedisTrouble:
            ann.recover("", held)
            raise
        held.extend(claim.execution_id for claim in reply.claims)
        if reply.problem:
            raise Refusal(reply.problem)

    return act


def a_claim(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a", "b", "c", ttl=600)
    enqueue(redis, "h", queue="high")
    redis.hset("rq:job:b", "origin", "elsewhere")  # somebody has moved it
    redis.hset("rq:job:c", mapping={"dead_letter": "{}", "attempts": 3})  # rq requeue
    redis.rpush("rq:queue:dead-letter", "c")
    redis.rpush("rq:queue:default", "no-such-job")
    register(redis, "ann")
    ann = desk(redis, "ann", "high", "default")

    act = claiming(ann)
    return Scene(act, ["a", "b", "c", "h"])


def a_claim_of_a_suspect(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a", "s", "b")
    redis.hset("rq:job:s", "suspect", 1)
    register(redis, "ann")
    ann = desk(redis, "ann", "default")

    act = claiming(ann)
    return Scene(act, ["a", "s", "b"])


def a_batch_that_is_settled(redis: redis_py.Redis) -> Scene:
    ann, claims = claimed(redis, "a", "b", "c", "d")
    claims[3].fields[b"attempts"] = b"1"
    redis.hset("rq:job:d", "attempts", 1)
    return Scene(
        settling(
            ann,
            [
                finished(claims[0], value=b"AAAA"),
                finished(claims[1], result_ttl=0),
                finished(claims[2], result_ttl=-1),
                finished(claims[3]),
            ],
        ),
        ["a", "b", "c", "d"],
        keep_nothing=("b",),
    )


def a_claim_past_pauses(redis: redis_py.Redis) -> Scene:
    """One queue is paused, the pause of a function is over, and one of its jobs that waits aside was canceled."""
    enqueue(redis, "a", "b", "c", "d")
    enqueue(redis, "h", queue="high")
    redis.hset("rq:paused", mapping={" high": "0 {}", "tests.support.tasks.add ": "1000000000 {}"})
    redis.sadd("rq:parked", "tests.support.tasks.add default")
    redis.sadd("rq:queues", ASIDE)
    redis.lrem("rq:queue:default", 0, "c")
    redis.lrem("rq:queue:default", 0, "d")
    redis.rpush(ASIDE, "c", "d")
    redis.hset("rq:job:d", "status", "canceled")
    register(redis, "ann")
    ann = desk(redis, "ann", "high", "default")
    return Scene(claiming(ann), ["a", "b", "c", "h"])


def a_parking(redis: redis_py.Redis) -> Scene:
    """Jobs of a paused function were claimed by two workers; the one that came later was faster to put them aside."""
    ann, first = claimed(redis, "a", "b", ttl=600)
    enqueue(redis, "c", "d")
    register(redis, "bob")
    bob = desk(redis, "bob", "default")
    later = bob.settle_and_claim([], 2).claims
    redis.hset("rq:paused", "tests.support.tasks.add ", "0 {}")
    assert bob.park([(claim, "tests.support.tasks.add") for claim in later]) == [1, 1]
    return Scene(lambda: ann.park([(claim, "tests.support.tasks.add") for claim in first]), ["a", "b", "c", "d"])


def then_claim(redis: redis_py.Redis, act: Callable[[], Any]) -> Callable[[], None]:
    """Claim what may go on, wherever it stands now."""
    register(redis, "ann")
    claim = claiming(desk(redis, "ann", "default"))

    def both() -> None:
        act()
        claim()

    return both


def a_resumption(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a", "b")
    redis.rename("rq:queue:default", ASIDE)
    redis.hset("rq:paused", "tests.support.tasks.add default", "0 {}")
    redis.sadd("rq:parked", "tests.support.tasks.add default")
    calls = script_calls(redis)
    call = ("tests.support.tasks.add", "default", 0, "", "run", "note")
    return Scene(then_claim(redis, lambda: calls.call(scripts.RESUME, *call)), ["a", "b"])


def an_end_of_a_pause(redis: redis_py.Redis) -> Scene:
    """Jobs of two functions were put aside; the queue is empty, and only one list can take its place."""
    enqueue(redis, "a", "b", "c")
    redis.lrem("rq:queue:default", 0, "c")
    redis.rename("rq:queue:default", ASIDE)
    redis.rpush("rq:queue:paused:default:tests.other", "c")
    redis.hset("rq:paused", mapping={"tests.support.tasks.add ": "1000000000 {}"})
    redis.sadd("rq:parked", "tests.support.tasks.add default", "tests.other default", "gone default")
    calls = script_calls(redis)
    return Scene(then_claim(redis, lambda: calls.call(scripts.MOVE_DUE, 100, 0, "default")), ["a", "b", "c"])


def a_batch_of_two_queues(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a", "b")
    enqueue(redis, "h", queue="high")
    redis.hset("rq:job:h", mapping={"dependency_ids": '["p"]', "journal": "x y"})
    redis.sadd("rq:job::h:dependencies", "p")
    redis.hset("rq:journal:h", "step:a", "1 1")
    register(redis, "ann")
    ann = desk(redis, "ann", "high", "default")
    claims = ann.settle_and_claim([], 3).claims
    assert {claim.job_id for claim in claims} == {"a", "b", "h"}
    return Scene(settling(ann, [finished(claim) for claim in claims]), ["a", "b", "h"])


def an_outcome(make: Callable[[Claim], Outcome], **options: Any) -> Callable[[redis_py.Redis], Scene]:
    def scene(redis: redis_py.Redis) -> Scene:
        ann, claims = claimed(redis, "a", **options)
        outcome = make(claims[0])
        gone = ("a",) if getattr(outcome, "failure_ttl", 1) == 0 else ()
        return Scene(settling(ann, [outcome]), ["a"], keep_nothing=gone)

    return scene


def with_meta(claim: Claim) -> Outcome:
    """Bury a job whose meta gets the record."""
    outcome = buried(claim)
    outcome.meta = MetaChange(Json(), lambda stored: {**stored, "dead_letter": {}}, claim.fields.get(b"meta", b""))
    return outcome


def a_release(redis: redis_py.Redis) -> Scene:
    ann, claims = claimed(redis, "a", "b", ttl=600)
    interrupted = frozenset({claims[0].execution_id})
    return Scene(lambda: ann.release(claims, interrupted=interrupted), ["a", "b"])


def a_rescue(redis: redis_py.Redis) -> Scene:
    _, claims = claimed(redis, "a", "b")
    redis.delete("rq:worker:ann")
    dead = desk(redis, "ann", "default")
    del claims
    return Scene(lambda: dead.rescue("?"), ["a", "b"])


def a_collection(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a")
    redis.lrem("rq:queue:default", 0, "a")
    redis.hset("rq:job:a", mapping={"status": "failed", "ended_at": "2026-11-25T04:37:30.000000Z", "past": 1})
    redis.zadd("rq:failed:default", {"a": 4e9})
    calls = script_calls(redis)
    return Scene(
        lambda: calls.call(scripts.COLLECT, "a", LETTERS, *NO_CHANGE, "dead_letter", '{"reason": "failed"}'), ["a"]
    )


def scheduled(redis: redis_py.Redis, **options: Any) -> Scene:
    enqueue(redis, "a", "b", **options)
    for job_id in ("a", "b"):
        redis.lrem("rq:queue:default", 0, job_id)
        redis.hset(f"rq:job:{job_id}", "status", "scheduled")
    redis.zadd("rq:scheduled:default", {"a": 1, "b": 2, "gone": 3})
    calls = script_calls(redis)
    return Scene(lambda: calls.call(scripts.MOVE_DUE, 100, 0, "default"), ["a", "b"])


def scheduled_with_a_rate_limit(redis: redis_py.Redis) -> Scene:
    scene = scheduled(redis)
    for job_id in scene.jobs:
        redis.hset(f"rq:job:{job_id}", mapping={"rate_limit_key": "mail", "rate_limit_concurrency": 1})
    return scene


def ready(redis: redis_py.Redis, **options: Any) -> Scene:
    """What the job has waited for has ended."""
    enqueue(redis, "a", **options)
    redis.delete("rq:queue:default")
    redis.hset("rq:job:a", "status", "ready_to_enqueue")
    redis.zadd("rq:ready:default", {"a": 1})
    calls = script_calls(redis)
    return Scene(lambda: calls.call(scripts.READY, "default", "a"), ["a"])


def a_wait_that_is_over(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "p", "a")
    redis.delete("rq:queue:default")
    redis.hset("rq:job:p", mapping={"status": "finished", "ended_at": "2020-01-01T00:00:00.000000Z"})
    redis.zadd("rq:finished:default", {"p": 4e9})
    redis.hset("rq:job:a", "status", "deferred")
    redis.sadd("rq:job::a:dependencies", "p")
    redis.sadd("rq:job:p:dependents", "a")
    redis.zadd("rq:deferred:default", {"a": 1})
    redis.zadd("rq:finished:default", {"old": 1})
    calls = script_calls(redis)
    return Scene(lambda: calls.call(scripts.MAINTAIN, "", 0, 0, 1), ["a", "p"])


def again(status: str, registry: str, **fields: str | int) -> Callable[[redis_py.Redis], Scene]:
    """A person runs a job once more that has ended, or now what is scheduled for later."""

    def scene(redis: redis_py.Redis) -> Scene:
        enqueue(redis, "a", ttl=600)
        if "parked" not in fields:
            redis.delete("rq:queue:default")
        redis.hset("rq:job:a", mapping={"status": status, "ended_at": "2026-11-25T04:37:30.000000Z", **fields})
        redis.zadd(f"rq:{registry}:default", {"a": 4e9})
        calls = script_calls(redis)
        return Scene(lambda: calls.call(scripts.AGAIN, LETTERS, "run-again", "", "", "", "a"), ["a"])

    return scene


def an_emptying(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a", "b", "c")
    redis.hset("rq:job:b", "status", "started")
    calls = script_calls(redis)
    return Scene(lambda: calls.call(scripts.EMPTY, "default", 2), ["c"])


def a_parent_of_many(redis: redis_py.Redis, ttl: str) -> Scene:
    enqueue(redis, "p", "a", "b")
    redis.delete("rq:queue:default")
    redis.hset("rq:job:p", mapping={"status": "finished", "result_ttl": 86400})
    redis.zadd("rq:finished:default", {"p": 4e9})
    for job_id in ("a", "b"):
        redis.hset(f"rq:job:{job_id}", "status", "deferred")
        redis.sadd(f"rq:job::{job_id}:dependencies", "p", "gone")
        redis.sadd("rq:job:p:dependents", job_id)
        redis.zadd("rq:deferred:default", {job_id: 1})
    calls = script_calls(redis)
    call = ("p", "finished", "0", 50, ttl, ttl and "600")
    return Scene(lambda: calls.call(scripts.DEPENDENTS, *call), ["a", "b"] if ttl == "0" else ["a", "b", "p"])


def letter(redis: redis_py.Redis, **more: str) -> None:
    enqueue(redis, "a")
    redis.delete("rq:queue:default")
    fields = {"status": "failed", "ended_at": "2026-11-25T04:37:30.000000Z", "dead_letter": "{}", **more}
    redis.hset("rq:job:a", mapping=fields)  # type: ignore[arg-type]
    redis.zadd("rq:failed:default", {"a": 4e9})
    redis.rpush("rq:queue:dead-letter", "a")


def on_letters(script: str, *args: str | int, **fields: str) -> Callable[[redis_py.Redis], Scene]:
    def scene(redis: redis_py.Redis) -> Scene:
        letter(redis, **fields)
        calls = script_calls(redis)
        arguments = (LETTERS, script, "", "", "", *args)
        return Scene(lambda: calls.call(getattr(scripts, script.upper()), *arguments), ["a"])

    return scene


def an_import(redis: redis_py.Redis) -> Scene:
    calls = script_calls(redis)
    fields = ("data", "x", "status", "failed", "origin", "default")
    result = ("1-1", 2, "type", "2")
    journal = (2, "step:a", "1 1")
    call = (
        LETTERS,
        "restore",
        "",
        "",
        "",
        "a",
        "default",
        60_000,
        1,
        len(fields),
        *fields,
        *result,
        *journal,
        1,
        "x 0",
    )
    return Scene(lambda: calls.call(scripts.RESTORE, *call), [])


def astray(redis: redis_py.Redis) -> Scene:
    enqueue(redis, "a", "b", "c")
    redis.delete("rq:queue:default")
    redis.hset("rq:job:b", mapping={"status": "started", "worker_name": "gone"})
    redis.hset("rq:job:c", "status", "scheduled")
    calls = script_calls(redis)
    token = calls.call(scripts.LEAD, "ann", "reconcile")[0]

    def act() -> None:
        found = calls.call(scripts.STRAYS, "a", "b", "c")
        pairs = [part for job_id, _, _, mark in found for part in (job_id, mark)]
        calls.call(scripts.RETURN_STRAYS, "ann", token, "w0", 60, *pairs)

    return Scene(act, [])  # nowhere is where they are to begin with


def a_firing(redis: redis_py.Redis) -> Scene:
    calls = script_calls(redis)
    token = calls.call(scripts.LEAD, "ann", "cron")[0]
    numbers = iter(range(1, 1000))

    def act() -> None:
        job = ("default", f"run-{next(numbers)}", "tick", 10, 600, "data", "x", "ttl", 60)
        calls.call(scripts.CRON, "ann", token, "tick", "", "5.0|5.0", *job)

    return Scene(act, [])


SCENES: dict[str, tuple[str, Callable[[redis_py.Redis], Scene]]] = {
    "claim": ("CLAIM", a_claim),
    "claim a suspect": ("CLAIM", a_claim_of_a_suspect),
    "claim past pauses": ("CLAIM", a_claim_past_pauses),
    "park": ("PARK", a_parking),
    "resume": ("RESUME", a_resumption),
    "move due, at the end of a pause": ("MOVE_DUE", an_end_of_a_pause),
    "settle": ("SETTLE", a_batch_that_is_settled),
    "settle jobs of two queues": ("SETTLE", a_batch_of_two_queues),
    "retry at once": ("RETRY", an_outcome(lambda claim: retried(claim, attempts=1), ttl=600)),
    "retry in front": ("RETRY", an_outcome(lambda claim: retried(claim, at_front=True, attempts=1))),
    "retry later": ("RETRY", an_outcome(lambda claim: retried(claim, delay=60, attempts=1))),
    "bury": ("BURY", an_outcome(buried)),
    "bury with a record in the meta": ("BURY", an_outcome(with_meta)),
    "bury for ever": ("BURY", an_outcome(lambda claim: buried(claim, failure_ttl=-1))),
    "bury and keep nothing": ("BURY", an_outcome(lambda claim: buried(claim, failure_ttl=0))),
    "release": ("RELEASE", a_release),
    "rescue": ("RESCUE", a_rescue),
    "collect": ("COLLECT", a_collection),
    "move due": ("MOVE_DUE", scheduled),
    "move due, with a ttl": ("MOVE_DUE", lambda redis: scheduled(redis, ttl=600)),
    "move due, with a rate limit": ("MOVE_DUE", scheduled_with_a_rate_limit),
    "ready": ("READY", ready),
    "ready, with a ttl": ("READY", lambda redis: ready(redis, ttl=600)),
    "maintain": ("MAINTAIN", a_wait_that_is_over),
    "enqueue dependents": ("DEPENDENTS", lambda redis: a_parent_of_many(redis, "")),
    "enqueue dependents and let a parent expire": ("DEPENDENTS", lambda redis: a_parent_of_many(redis, "600")),
    "enqueue dependents and delete a parent": ("DEPENDENTS", lambda redis: a_parent_of_many(redis, "0")),
    "replay": ("REPLAY", on_letters("replay", "", 0, "a")),
    "replay elsewhere": ("REPLAY", on_letters("replay", "high", 0, "a", ttl="600")),
    "replay from the beginning": ("REPLAY", on_letters("replay", "", 1, "a", journal="x")),
    "replay with a rate limit": (
        "REPLAY",
        on_letters("replay", "", 0, "a", rate_limit_key="mail", rate_limit_concurrency="1"),
    ),
    "run again": ("AGAIN", again("finished", "finished")),
    "run a stopped job again": ("AGAIN", again("stopped", "failed", rate_limit_key="mail", rate_limit_concurrency=1)),
    "run a canceled job again that is on its queue": ("AGAIN", again("canceled", "canceled", parked="-")),
    "run a scheduled job now": ("AGAIN", again("scheduled", "scheduled")),
    "empty": ("EMPTY", an_emptying),
    "discard": ("DISCARD", on_letters("discard", "a", "")),
    "restore": ("RESTORE", an_import),
    "return strays": ("RETURN_STRAYS", astray),
    "cron": ("CRON", a_firing),
}


def test_every_script_that_moves_a_job_has_a_scene() -> None:
    names = {path.stem for path in Path(scripts.__file__).parent.glob("*.lua") if not path.stem.startswith("_")}
    names -= {"migrate_admit", "migrate_place"}  # they write to another server, and only what is not there
    assert names == {script.lower() for script, _ in SCENES.values()} | set(MOVES_NO_JOB)


def places(redis: redis_py.Redis, job_id: str) -> list[str]:
    """Return where a job stands: on a queue, in a registry, claimed, or waiting for a place of a rate limit."""
    found = []
    for key in map(bytes.decode, redis.scan_iter("rq:*")):
        kind, form = key.split(":")[1], redis.type(key)
        members = redis.zrange(key, 0, -1) if form == b"zset" else redis.lrange(key, 0, -1) if form == b"list" else []
        listed = (
            kind in ("queue", "scheduled", "deferred", "ready", "finished", "failed", "rl")
            and job_id.encode() in members
        )
        if listed or (kind == "wip" and any(member.startswith(f"{job_id}:".encode()) for member in members)):
            found.append(key)
    return found


#: Parts of names and values that differ from run to run: executions, dates, times.
_VARIABLE = re.compile(rb"w[0-9a-f]{31}|w0[0-9a-f]{8}|\d{4}-\d\d-\d\dT[\d:.]+Z|\d{10}(\.\d+)?|run-\d+|\d{13}-\d+")


def shape(redis: redis_py.Redis) -> dict[str, str]:
    """Return all data without what differs from run to run, workers' records and empty streams."""
    read = {}
    for key, value in everything(redis).items():
        if key.startswith(("rq:worker", "rq:leader", "rq:execution", "rq:parked", "rq:resumed")) or not value:
            continue  # a later claim forgets a list of jobs put aside that is empty
        content = value - {ASIDE.encode()} if key == "rq:queues" else value
        if key.startswith("rq:wip"):
            content = sorted(value)  # a call that is repeated may come in the next second
        name = _VARIABLE.sub(b"*", key.encode()).decode()
        read[name] = _VARIABLE.sub(b"*", repr(_sorted(content)).encode()).decode()
    return read


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((name, content) for name, content in value.items() if name not in (b"handbacks", b"started_at"))
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return [(member if isinstance(score, float) else sorted(score.items())) for member, score in value]
    return value


@pytest.mark.parametrize("title", SCENES)
def test_a_refusal_anywhere_loses_nothing_and_the_next_call_completes_it(
    title: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make = SCENES[title]
    whole: Script = getattr(scripts, name)
    redis.script_load(whole.text)
    make(redis).act()
    wanted = shape(redis)

    def try_with(variant: Script, how: str) -> bool:
        """Refuse, look, call again; returns whether anything was refused."""
        redis.flushdb()
        scene = make(redis)
        redis.script_load(variant.text)
        told = False
        with monkeypatch.context() as patch:
            patch.setattr(scripts, name, variant)
            patch.setitem(scripts.BY_SHA, variant.sha, variant)
            try:
                scene.act()
            except (RedisTrouble, Refusal):
                told = True
        if not was_refused(redis):
            return False
        for job_id in scene.jobs:
            assert places(redis, job_id) or not redis.exists(f"rq:job:{job_id}"), f"{how}: {job_id} is nowhere"
        if told:  # else it was one of those that may be refused: all that matters is done
            scene.act()
        assert shape(redis) == wanted, how
        return True

    refusals = sum(try_with(refused(whole, name=command), f"each {command}") for command in by_scripts([whole]))
    assert refusals > 3
    number = 1
    while try_with(refused(whole, number=number), f"command {number}"):
        number += 1
    assert number > 4


#: The scenes of a worker with claims, which others rescue when it dies.
OF_WORKERS = [title for title, (name, _) in SCENES.items() if getattr(scripts, name) in scripts.OF_CLAIMS]
ENDED = (b"finished", b"failed")


@pytest.mark.parametrize("title", OF_WORKERS)
def test_a_worker_that_dies_over_a_refusal_leaves_no_job_that_is_lost_or_ends_twice(
    title: str, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, make = SCENES[title]
    whole: Script = getattr(scripts, name)

    def try_with(variant: Script, how: str) -> bool:
        redis.flushdb()
        scene = make(redis)
        redis.script_load(variant.text)
        with monkeypatch.context() as patch, contextlib.suppress(RedisTrouble, Refusal):
            patch.setattr(scripts, name, variant)
            patch.setitem(scripts.BY_SHA, variant.sha, variant)
            scene.act()
        if not was_refused(redis):
            return False
        before = statuses(redis, scene)
        redis.delete("rq:worker:ann")
        while rescuer(redis, "high", "default", "elsewhere").rescue_orphans():
            pass
        for job_id, status in statuses(redis, scene).items():
            assert status == before[job_id] or before[job_id] not in ENDED, (
                f"{how}: {job_id} had ended, and is {status}"
            )
            found = places(redis, job_id)
            if status == b"queued":
                found = [place for place in found if place != "rq:queue:dead-letter"]  # until it is claimed
                assert redis.xlen(f"rq:results:{job_id}") == 0, f"{how}: {job_id} has a result and will run"
                left, given = redis.ttl(f"rq:job:{job_id}"), int(redis.hget(f"rq:job:{job_id}", "ttl") or -1)
                assert left == -1 or given - 60 < left <= given, how
            assert len(found) == (2 if status == b"failed" else 1), f"{how}: {found}"
        run_what_is_left(redis)
        for job_id, status in statuses(redis, scene).items():
            assert status in ENDED, f"{how}: {job_id} is {status}"
            assert redis.xlen(f"rq:results:{job_id}") == 1, f"{how}: {job_id}"
            assert len(places(redis, job_id)) == (2 if status == b"failed" else 1), f"{how}: {places(redis, job_id)}"
            assert not redis.hexists(f"rq:job:{job_id}", "journal"), how
        return True

    for command in by_scripts([whole]):
        try_with(refused(whole, name=command), f"each {command}")
    number = 1
    while try_with(refused(whole, number=number), f"command {number}"):
        number += 1
    assert number > 4


def statuses(redis: redis_py.Redis, scene: Scene) -> dict[str, bytes | None]:
    """Return the status of each job that is not gone as it should be."""
    found = {job_id: redis.hget(f"rq:job:{job_id}", "status") for job_id in scene.jobs}
    return {job_id: status for job_id, status in found.items() if status or job_id not in scene.keep_nothing}


def run_what_is_left(redis: redis_py.Redis) -> None:
    """Let another worker run all that waits, now, later or for the end of a pause."""
    redis.delete("rq:paused")
    for job_id in redis.zrange("rq:scheduled:default", 0, -1):
        redis.zadd("rq:scheduled:default", {job_id: 1})
    script_calls(redis).call(scripts.MOVE_DUE, 100, 0, "default")
    register(redis, "bob")
    bob = desk(redis, "bob", "high", "default", "elsewhere")
    while claims := bob.settle_and_claim([], 8).claims:
        bob.settle_and_claim([finished(claim) for claim in claims], 0)
