"""Keep RQ's registries in order, as its own workers do every ten minutes: a chore of the dispatcher or a lone consumer.

Expired entries are dropped; otherwise the registry of finished jobs would grow for ever. Jobs that wait for other jobs,
or for a place under a rate limit, are enqueued if the worker that should have done so died before. Claims of dead
workers are another matter (``rescue.py``). Every step is idempotent, so no leader is needed. A regular pass by one
instance lets the others skip theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from redis import Redis
from rq.group import Group
from rq.rate_limit import RateLimitRegistry

from worker import logs
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: Rate limits, or groups, that one step looks at; RQ's code needs some commands for each.
STEP: Final = 5


def steps(calls: ScriptCalls, *, called_for: bool = False, spare: int = 0) -> Iterator[None]:
    """Take one pass; raises `RedisTrouble`.

    It is skipped if another instance has taken one and this one is not `called_for` by an event. For `spare` seconds
    other instances then skip theirs.
    """
    queue, rank, more = "", 0, True
    while more:
        reply: Any = calls.call(scripts.MAINTAIN, queue, rank, spare, int(called_for))
        for job_id, status, origin in ([part.decode(errors="replace") for part in row] for row in reply[3:]):
            log.error("job.put_back", job_id=job_id, queue=origin, status=status, why="what it waited for was over")
        queue, rank, more = reply[0], reply[1], bool(reply[0])
        if more or reply[2]:
            yield
    if reply[2]:
        yield from _in_steps(_rate_limits(calls.redis))
        yield from _in_steps(_groups(calls.redis))


def _in_steps(work: Iterator[None]) -> Iterator[None]:
    """Pause after every STEP pieces of work."""
    for done, _ in enumerate(work, 1):
        if done % STEP == 0:
            yield


def _rate_limits(redis: Redis) -> Iterator[None]:
    """Free places that no job holds any more and give them to jobs that wait, rate limit by rate limit."""
    for registry in RateLimitRegistry.all(redis):
        try:
            registry.cleanup()
        except RedisTrouble:
            raise
        except Exception:  # such as a limit that is no number: the others must not wait for it
            log.exception("maintenance.rate_limit_failed", rate_limit=registry.key)
        yield


def _groups(redis: Redis) -> Iterator[None]:
    """Drop jobs that are gone from groups, and groups that are empty, group by group."""
    names: Any = redis.smembers(Group.REDIS_GROUP_KEY)
    for name in names:
        group = Group(redis, name.decode(errors="replace"))
        group.cleanup()
        if not redis.exists(group.key):
            redis.srem(Group.REDIS_GROUP_KEY, name)
        yield
