"""Step `rq`, shown as Queues: what is in the queues, and what is stuck? Changes nothing."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import NoPermissionError

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Status
from worker.diagnosis.steps.auth import denied
from worker.fleet import reading
from worker.keys import Keys
from worker.text import counted

#: How many jobs are sampled for their time to live; each costs two commands.
_SAMPLE: Final = 500
#: Warn when the job at the head of a queue with consumers has waited longer, seconds.
_LONG_WAIT: Final = 300.0
#: Seconds that a scheduled job may be late: a dispatcher moves it within its interval (15 s on Upstash).
_OVERDUE: Final = 60
_START: Final = "Start a worker with that queue in WORKER_QUEUES."
_MANY_LETTERS: Final = 1000
_ENDED: Final = (b"finished", b"failed", b"stopped", b"canceled")


def check_queues(case: Case) -> Found:
    """Read queues, workers and registries as `python -m worker status` does, and look for what is stuck."""
    found = Found("", halt=False)
    try:
        seen = reading.read(case.redis, case.keys, case.queues, case.letters_queue)
        names = [queue.name for queue in seen.queues]
        stuck, overdue = _late(case, names)
        forever, looked = _without_ttl(case)
    except NoPermissionError as error:
        found.says = "may not be read by this user"
        found.findings.append(denied(error))
        return found
    waiting, failed = sum(queue.waiting for queue in seen.queues), sum(queue.failed for queue in seen.queues)
    waits = [queue.next_waits for queue in seen.queues if queue.next_waits is not None]
    found.facts = {
        "queues": {
            queue.name: {"waiting": queue.waiting, "running": queue.running, "next_waits_seconds": queue.next_waits}
            for queue in seen.queues
        },
        "consumers": len(seen.consumers),
        "waiting": waiting,
        "oldest_waits_seconds": max(waits, default=None),
        "failed": failed,
        "dead_letters": seen.dead_letters,
        "stuck_started": stuck,
        "scheduled_overdue": overdue,
        "jobs_without_ttl": forever,
        "jobs_looked_at": looked,
    }
    workers = len(seen.consumers)
    found.says = (
        f"{counted(len(names), 'queue')} · {waiting:,} waiting · {workers} workers alive · "
        f"{failed:,} failed · {seen.dead_letters:,} dead letters"
    )
    for sentence in seen.attention():
        found.add(Status.WARNING, sentence, _START if "no consumer" in sentence else "", "attention")
    _judge(found, stuck, overdue, forever, looked)
    late = [queue for queue in seen.queues if queue.consumers and (queue.next_waits or 0) > _LONG_WAIT]
    for queue in late:
        found.add(
            Status.WARNING,
            f"The oldest job on {queue.name!r} has waited for {queue.next_waits:,.0f} s.",
            "Add consumers (WORKER_PROCESSES, WORKER_THREADS, instances), or see what the running ones do.",
            "long_wait",
        )
    return found


def _judge(found: Found, stuck: int, overdue: int, forever: int, looked: int) -> None:
    if stuck:
        found.add(
            Status.WARNING,
            f"The claims of {counted(stuck, 'started job')} have run out: the workers died and no other took over.",
            "A running instance of this worker takes them over within a minute; for RQ's own workers, run `rq info`.",
            "stuck_started",
        )
    if overdue:
        found.add(
            Status.WARNING,
            f"{counted(overdue, 'scheduled job is', 'scheduled jobs are')} overdue by more than a minute.",
            "No scheduler moves them: start a worker for that queue, with WORKER_SCHEDULER_INTERVAL above 0.",
            "scheduled_overdue",
        )
    if forever:
        found.add(
            Status.WARNING,
            f"{forever} of {looked} sampled jobs have ended and are kept for ever.",
            "Producers set result_ttl or failure_ttl to -1, or somebody ended jobs by hand: such jobs fill the memory.",
            "no_ttl",
        )
    if found.facts["dead_letters"] > _MANY_LETTERS:
        found.add(
            Status.WARNING,
            f"{found.facts['dead_letters']:,} dead letters take memory.",
            "Look at them: python -m worker dead list.",
            "many_dead_letters",
        )


def _late(case: Case, names: list[str]) -> tuple[int, int]:
    """Count claims whose lease has ended and scheduled jobs that are overdue, up to 1000 a queue."""
    now = int(case.redis.time()[0])
    with case.redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.zrangebyscore(case.keys.registry("wip", name), "-inf", now, start=0, num=1000)
            pipe.zrangebyscore(case.keys.registry("scheduled", name), "-inf", now - _OVERDUE, start=0, num=1000)
        replies: list[Any] = pipe.execute()
    return sum(map(len, replies[::2])), sum(map(len, replies[1::2]))


def _without_ttl(case: Case) -> tuple[int, int]:
    """Count the jobs of a sample that have ended and never expire; returns (count, size of the sample)."""
    pattern = Keys(_escaped(case.keys.prefix)).job("*")
    keys: list[Any] = []
    cursor = 0
    while len(keys) < _SAMPLE and case.left > case.patience / 2:
        cursor, batch = case.redis.scan(cursor, match=pattern, count=_SAMPLE, _type="hash")
        keys += batch
        if not cursor:
            break
    keys = keys[:_SAMPLE]
    with case.redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.ttl(key)
            pipe.hget(key, "status")
        replies: list[Any] = pipe.execute() if keys else []
    pairs = zip(replies[::2], replies[1::2], strict=True)
    return sum(ttl == -1 and status in _ENDED for ttl, status in pairs), len(keys)


def _escaped(prefix: str) -> str:
    """Make a prefix match itself in a glob."""
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in prefix)
