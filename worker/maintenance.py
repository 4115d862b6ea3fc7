"""Keep RQ's registries in order, as its own workers do every ten minutes: a chore of the dispatcher or a lone consumer.

Entries that have expired are dropped: without that the registry of finished jobs grows for ever. Jobs that wait for
others, or for a slot of a rate limit, go on if whoever should have told them died before it had. Claims are not looked
at here: those of dead workers are rescued (``rescue.py``). Everything is safe to do twice, so no lead guards it; one
instance's regular pass spares the others theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError
from rq.group import Group
from rq.rate_limit import RateLimitRegistry

from worker import logs, scripts
from worker.script_calls import ScriptCalls

log = logs.get_logger()

#: Between two passes where jobs end: RQ's `maintenance_interval`.
PASS_SECONDS: Final = 600.0
#: The same where none does, because every command costs: some jobs are kept for long, and expire then.
IDLE_SECONDS: Final = 3600.0
#: For so long after one pass no other instance takes a regular one.
SPARE_SECONDS: Final = 540
#: From a death, or an outage, to a look at what it left: more than a minute (``scripts/maintain.lua``).
AFTER_SECONDS: Final = 70.0
#: Rate limits, or groups, that one step looks at; RQ's code needs some commands for each.
STEP: Final = 5


class Maintenance:
    """The chore of one instance; see the module. A pass is taken in steps, so that other chores are not kept waiting.

    It comes soon after the start, after Redis came back and after a worker died, and where jobs end every ten minutes.
    `deaths` counts the workers that this instance has seen go, one way or the other, `ended` the jobs that ended here.
    """

    def __init__(self, calls: ScriptCalls, deaths: Callable[[], int], ended: Callable[[], int]) -> None:
        self._calls = calls
        self._deaths = deaths
        self._ended = ended
        self._deaths_seen, self._ended_seen = deaths(), ended()
        self._began = monotonic()
        self._due = math.inf
        #: When something that calls for a pass can be seen: the first of such moments that is to come, and the last.
        self._called = self._called_last = self._began + AFTER_SECONDS
        self._pass: Iterator[None] | None = None

    @property
    def due(self) -> float:
        """When to take the next pass, or the next step (monotonic)."""
        if (deaths := self._deaths()) != self._deaths_seen:
            self._deaths_seen = deaths
            self._called_last = monotonic() + AFTER_SECONDS
            self._called = min(self._called, self._called_last)
        if self._pass is not None:
            return self._due
        busy = self._ended() != self._ended_seen
        return min(self._due, self._called, self._began + PASS_SECONDS if busy else math.inf)

    def run(self) -> None:
        """Take the next step of a pass, the first one of a new pass if there is none."""
        if self._pass is None:
            self._began = self._due = monotonic()
            self._ended_seen = self._ended()
            self._pass = steps(self._calls, called_for=self._called <= self._began, spare=SPARE_SECONDS)
            if self._called <= self._began:
                self._called = self._called_last if self._called_last > self._began else math.inf
        if next(self._pass, _OVER) is _OVER:
            self._pass = None
            self._due = monotonic() + IDLE_SECONDS


_OVER: Final = object()


def steps(calls: ScriptCalls, *, called_for: bool = False, spare: int = 0) -> Iterator[None]:
    """Take one pass, unless that is spared us and nothing has happened that calls for it; raises redis-py's errors.

    `spare`: for so many seconds others need not do it.
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
    """Do STEP pieces of work between two pauses."""
    for done, _ in enumerate(work, 1):
        if done % STEP == 0:
            yield


def _rate_limits(redis: Redis) -> Iterator[None]:
    """Free slots that nobody holds any more and give them to who waits, rate limit by rate limit."""
    for registry in RateLimitRegistry.all(redis):
        try:
            registry.cleanup()
        except RedisError:
            raise
        except Exception:  # a limit that is no number, say: the others must not wait for it
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
