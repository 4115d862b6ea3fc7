"""Read the fleet from Redis; nothing is changed there.

RQ's own registries clean up while they count (`registry.count` fails other people's jobs, `Worker.all` forgets
workers), so these are plain reads of the keys that RQ and we write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from redis import Redis

from worker.fleet import pauses
from worker.fleet.pauses import Pause
from worker.fleet.state import ConsumerState, Fleet, QueueState
from worker.journal import described, standing_of
from worker.keys import PARKED_QUEUE, Keys
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.retry import ISOLATIONS
from worker.text import count_of, moment_of, text_of

_WORKER_FIELDS: Final = (
    *("state", "queues", "hostname", "pid", "last_heartbeat", "successful_job_count", "failed_job_count"),
    *("memory_mb", "release", "version", "isolation", "threads"),
)
#: What is read of a claimed job, and of the one at the head of a queue.
_JOB_FIELDS: Final = ("started_at", "handbacks", "past", "dead_letter", "journal", "created_at")
#: Workers of one call: half a millisecond of the server's time.
_CHUNK: Final = 50
#: Queues, and workers, that are looked at: whoever can enqueue can make any number of queues.
MOST_NAMES: Final = 500
#: Registries of a queue, by what their jobs are: all sorted sets.
_REGISTRIES: Final = {"running": "wip", "scheduled": "scheduled", "deferred": "deferred", "failed": "failed"}


def read(redis: Redis, keys: Keys, queues: Iterable[str], letters_queue: str) -> Fleet:
    """Read the fleet, all records of fifty workers by one command.

    `queues` are shown even when nothing was ever put on them.
    Of more than `MOST_NAMES` queues or workers, so many are read, `queues` among them.
    """
    known, workers, count, letters, suspended, (seconds, micros) = _ask(
        redis,
        lambda pipe: (
            pipe.sscan(keys.queues, count=2 * MOST_NAMES),
            pipe.sscan(keys.all_workers, count=2 * MOST_NAMES),
            pipe.scard(keys.queues),
            pipe.llen(keys.queue(letters_queue)),
            pipe.exists(keys.suspended),
            pipe.time(),
        ),
    )
    now = int(seconds) + int(micros) / 1e6
    consumers, stranded, claimed = _consumers(redis, keys, _names(workers[1], keys.worker(""))[:MOST_NAMES], now)
    names = dict.fromkeys([*queues, *_names(known[1], keys.queue(""))[:MOST_NAMES]])
    names.pop(letters_queue, None)
    held, aside = pauses.read(redis, keys, now)
    for function, queue in aside:
        names.pop(f"{PARKED_QUEUE}{queue}:{function}", None)
    states, heads = _queues(redis, keys, list(names), consumers, now)
    states = tuple(_with_pauses(state, held, aside) for state in states)
    running = {job: claimed[job] for consumer in consumers for job in consumer.jobs}
    handed_back, standing = _about_jobs({**running, **_jobs(redis, keys, [head for head in heads if head])})
    unread = max(0, count - len(names) - 1) if count > MOST_NAMES else 0
    return Fleet(
        bool(suspended),
        states,
        consumers,
        stranded,
        letters_queue,
        letters,
        handed_back,
        unread,
        standing,
        held,
        now,
    )


def readers(redis: Redis, keys: Keys, queue: str) -> int:
    """Count the living workers that read a queue."""
    workers: set[bytes] = redis.smembers(keys.workers(queue))  # type: ignore[assignment]
    return int(redis.exists(*workers)) if workers else 0


def _consumers(
    redis: Redis, keys: Keys, names: list[str], now: float
) -> tuple[tuple[ConsumerState, ...], dict[str, int], dict[str, list[bytes]]]:
    """Return the living consumers, how many claims each dead one holds, and `_JOB_FIELDS` of all claimed jobs."""
    calls = ScriptCalls(redis, keys.prefix)
    wanted = ",".join(_WORKER_FIELDS), ",".join(_JOB_FIELDS)
    commands = [
        calls.command(scripts.WORKERS, (), "", *wanted, *names[at : at + _CHUNK]) for at in range(0, len(names), _CHUNK)
    ]
    replies = [row for rows in (calls.run(commands) if commands else ()) for row in rows]
    living, stranded, claimed = [], {}, {}
    for name, (fields, *claims) in zip(names, replies, strict=True):
        held = {text_of(execution).rpartition(":")[0]: about for execution, *about in claims}
        jobs = sorted(held)
        claimed.update(held)
        state, queues, host, pid, heard, succeeded, failed, memory, release, rq, isolation, threads = map(
            text_of, fields
        )
        ages = [age for about in held.values() if (age := _since(text_of(about[0]), now)) is not None]
        if not queues:
            if jobs:
                stranded[name] = len(jobs)
            continue
        living.append(
            ConsumerState(
                name,
                state,
                tuple(queues.split(",")),
                host,
                count_of(pid) or None,
                _since(heard, now),
                tuple(jobs),
                count_of(succeeded),
                count_of(failed),
                name.rpartition(".")[0] if memory else "",
                max(ages, default=None),
                count_of(memory) or None,
                release,
                rq,
                isolation if isolation in ISOLATIONS else "",
                count_of(threads),
            )
        )
    return tuple(living), stranded, claimed


def _queues(
    redis: Redis, keys: Keys, names: list[str], consumers: tuple[ConsumerState, ...], now: float
) -> tuple[tuple[QueueState, ...], list[str]]:
    """Return the queues, and the job at the head of each ("" = none)."""
    replies = _ask(
        redis,
        lambda pipe: [(*(pipe.zcard(keys.registry(kind, name)) for kind in _REGISTRIES.values()),) for name in names],
    )
    width = len(_REGISTRIES)
    rows = [replies[at : at + width] for at in range(0, len(replies), width)]
    waits: list[Any] = ScriptCalls(redis, keys.prefix).call(scripts.WAITS, *names)
    heads = [text_of(head) for _, head, _ in waits]
    states = tuple(
        QueueState(
            name,
            length,
            **dict(zip(_REGISTRIES, row, strict=True)),
            next_waits=_since(text_of(moment), now),
            consumers=sum(name in consumer.queues for consumer in consumers),
        )
        for name, row, (length, _, moment) in zip(names, rows, waits, strict=True)
    )
    return states, heads


def _with_pauses(state: QueueState, held: Sequence[Pause], aside: Mapping[tuple[str, str], int]) -> QueueState:
    """Return a queue as pauses leave it."""
    go_on = sum(
        count
        for (function, queue), count in aside.items()
        if queue == state.name and not any(one.function in ("", function) and one.queue in ("", queue) for one in held)
    )
    paused = pauses.closed(held, state.name)
    return replace(state, waiting=state.waiting + go_on, paused=paused) if go_on or paused else state


def _jobs(redis: Redis, keys: Keys, jobs: list[str]) -> dict[str, list[bytes]]:
    replies = _ask(redis, lambda pipe: [pipe.hmget(keys.job(job), *_JOB_FIELDS) for job in jobs])
    return dict(zip(jobs, replies, strict=True))


def _about_jobs(jobs: Mapping[str, Sequence[bytes]]) -> tuple[dict[str, int], dict[str, str]]:
    """Count the stops that interrupted the present run of each job, and say where those with steps stand."""
    handed_back, standing = {}, {}
    for job, (_, times, past, letter, stands, created_at) in jobs.items():
        if count_of(times) and not (past or letter):
            handed_back[job] = count_of(times)
        if where := described(standing_of({b"journal": stands or b"", b"created_at": created_at or b""})):
            standing[job] = where
    return handed_back, standing


def _names(members: Iterable[bytes], start: str) -> list[str]:
    """Return what stands behind `start` in each key, sorted."""
    return sorted(text_of(key).removeprefix(start) for key in members)


def _ask(redis: Redis, commands: Callable[[Any], object]) -> list[Any]:
    """Send what `commands` puts on a pipeline in one round trip."""
    with redis.pipeline(transaction=False) as pipe:
        commands(pipe)
        replies: list[Any] = pipe.execute()
        return replies


def _since(moment: str, now: float) -> float | None:
    """Return the seconds from one of RQ's dates to `now`, the server's time; the date may come from another clock."""
    at = moment_of(moment)
    return None if at is None else max(0.0, now - at)
