"""The total-queue checker: every accepted job is finished or a dead letter, in one place, and none is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import redis as redis_py

PREFIX = "rq"
#: The key of the one rate limit that is looked at.
RATE_LIMIT = "storm"


@dataclass
class Places:
    """Where the accepted jobs are."""

    finished: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    under_way: set[str] = field(default_factory=set)  #: queued, claimed or waiting: the storm is not over for them
    missing: set[str] = field(default_factory=set)  #: nowhere: lost
    wrong: dict[str, str] = field(default_factory=dict)  #: in two places, or where its status does not say

    @property
    def settled(self) -> bool:
        """Whether every job has come to an end."""
        return not (self.under_way or self.missing or self.wrong)


def places(redis: redis_py.Redis, accepted: Iterable[str], queues: Sequence[str]) -> Places:
    """Look for every accepted job everywhere, in one transaction, so that nothing moves meanwhile."""
    ids = list(accepted)
    with redis.pipeline(transaction=True) as pipeline:
        for queue in queues:
            pipeline.lrange(f"{PREFIX}:queue:{queue}", 0, -1)
            pipeline.zrange(f"{PREFIX}:wip:{queue}", 0, -1)
            pipeline.zrange(f"{PREFIX}:scheduled:{queue}", 0, -1)
            pipeline.zrange(f"{PREFIX}:finished:{queue}", 0, -1)
            pipeline.zrange(f"{PREFIX}:failed:{queue}", 0, -1)
            pipeline.zrange(f"{PREFIX}:deferred:{queue}", 0, -1)
            pipeline.zrange(f"{PREFIX}:ready:{queue}", 0, -1)
        pipeline.zrange(f"{PREFIX}:rl:{RATE_LIMIT}:rate_limited", 0, -1)
        pipeline.lrange(f"{PREFIX}:queue:dead-letter", 0, -1)
        for job_id in ids:
            pipeline.hget(f"{PREFIX}:job:{job_id}", "status")
        replies = pipeline.execute()
    kinds = [*("queued", "started", "scheduled", "finished", "failed", "deferred", "ready_to_enqueue")] * len(queues)
    kinds.append("rate_limited")
    found: dict[str, Counter[str]] = {job_id: Counter() for job_id in ids}
    for kind, members in zip(kinds, replies, strict=False):
        for member in members:
            job_id = member.decode().partition(":")[0]
            if job_id in found:
                found[job_id][kind] += 1
    letters = Counter(member.decode() for member in replies[len(kinds)])
    result = Places()
    for job_id, status in zip(ids, replies[len(kinds) + 1 :], strict=True):
        where, letter = found[job_id], letters[job_id]
        said = status.decode() if status else "no hash"
        if where.total() == 0 and letter == 0:
            result.missing.add(job_id)
        elif where.total() != 1 or where[said] != 1 or letter != where["failed"]:
            result.wrong[job_id] = f"status {said}, found {dict(where)}, letters {letter}"
        elif said == "finished":
            result.finished.add(job_id)
        elif said == "failed":
            result.dead.add(job_id)
        else:
            result.under_way.add(job_id)
    return result
