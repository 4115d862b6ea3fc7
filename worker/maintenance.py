"""Keep RQ's registries in order, as its own workers do every ten minutes: a chore of the leader or of a lone consumer.

Entries that have expired are dropped: without that the registry of finished jobs grows for ever. Jobs that wait for
others, or for a slot of a rate limit, go on if whoever should have told them died before it had. Claims are not looked
at here: those of dead workers are rescued (``rescue.py``). Everything is safe to do twice, so the lead saves work and
guards nothing; who has seen a worker die does it once more, when what was left untold can be told from what is about
to be.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from redis import Redis
from redis.exceptions import RedisError
from rq.group import Group
from rq.rate_limit import RateLimitRegistry

from worker import logs, scripts
from worker.script_calls import ScriptCalls

if TYPE_CHECKING:
    from worker.leader import Lead

log = logs.get_logger()

#: Between two passes: RQ's `maintenance_interval`.
PASS_SECONDS: Final = 600.0
#: The same where the scheduler is off, because every command costs.
THRIFTY_SECONDS: Final = 3600.0
#: From a death, or an outage, to a look at what it left: more than a minute (``scripts/maintain.lua``).
AFTER_SECONDS: Final = 70.0
#: Rate limits, or groups, that one step looks at; RQ's code needs some commands for each.
STEP: Final = 5


class Maintenance:
    """See the module; a pass is taken in steps, so that the dispatcher's other chores are not kept waiting."""

    name = "maintenance"

    def __init__(self, calls: ScriptCalls, every: float) -> None:
        self._calls = calls
        self._every = every
        self._pass: Iterator[None] | None = None

    def run(self, lead: Lead) -> float:  # noqa: ARG002 — nothing here needs the fence
        """Take the next step of a pass, the first one of a new pass if there is none."""
        self._pass = self._pass or steps(self._calls)
        if next(self._pass, _OVER) is not _OVER:
            return 0.0
        self._pass = None
        return self._every * random.uniform(0.9, 1.1)


class Aftermath:
    """The same, done by this instance alone: soon after it started, after Redis came back, and after a worker died.

    `deaths` counts the workers that this instance has seen go, one way or the other.
    """

    def __init__(self, calls: ScriptCalls, deaths: Callable[[], int]) -> None:
        self._calls = calls
        self._deaths = deaths
        self._seen = deaths()
        self._due = monotonic() + AFTER_SECONDS
        self._again = False
        self._pass: Iterator[None] | None = None

    @property
    def due(self) -> float:
        """When to look next (monotonic)."""
        if (deaths := self._deaths()) != self._seen:
            self._seen = deaths
            self._again = self._due < math.inf  # that look may come too soon for this one
            self._due = min(self._due, monotonic() + AFTER_SECONDS)
        return self._due

    def run(self) -> None:
        """Take the next step of a pass."""
        self._pass = self._pass or steps(self._calls)
        if next(self._pass, _OVER) is not _OVER:
            return
        self._pass = None
        self._due = monotonic() + AFTER_SECONDS if self._again else math.inf
        self._again = False


_OVER: Final = object()


def steps(calls: ScriptCalls) -> Iterator[None]:
    """Take one pass; raises redis-py's errors."""
    queue, rank, more = "", 0, True
    while more:
        reply: Any = calls.call(scripts.MAINTAIN, queue, rank)
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
