"""Stop a running job by its id, without reading its payload.

RQ's `send_stop_job_command` does the same, but builds the whole job first: whoever calls it, who may hold the secrets,
would unpickle what any producer wrote. Here two plain fields are read.
"""

from __future__ import annotations

import json
import time
from typing import Final

from redis import Redis

from worker.keys import Keys
from worker.redis.client import Client
from worker.text import text_of

#: How often the order is given: a worker that does not listen at that moment, because it reconnects, misses it.
REPEAT_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1


def stopped(redis: Redis, keys: Keys, job_id: str, wait: float) -> tuple[bool, str]:
    """Order the job's worker to stop it, and wait; returns whether the job has ended, and a sentence."""
    redis = Client.over(redis)
    until, ordered_at, heard = time.monotonic() + wait, float("-inf"), 0
    while True:
        status, worker = map(text_of, redis.hmget(keys.job(job_id), "status", "worker_name"))
        if status != "started":
            return _ended(job_id, status, ordered=ordered_at > 0)
        if time.monotonic() - ordered_at >= REPEAT_SECONDS:
            ordered_at = time.monotonic()
            heard = redis.publish(keys.channel(worker), json.dumps({"command": "stop-job", "job_id": job_id}))
        if time.monotonic() >= until:
            return False, _goes_on(job_id, worker, heard=bool(heard))
        time.sleep(_LOOK_SECONDS)


def _goes_on(job_id: str, worker: str, *, heard: bool) -> str:
    if heard:
        return f"The job {job_id} still runs on the worker {worker}, which was told to stop it."
    gone = f"it may be gone, and then another takes the job {job_id} over within a minute"
    return f"The worker {worker} does not listen: {gone}. Try again."


def _ended(job_id: str, status: str, *, ordered: bool) -> tuple[bool, str]:
    if ordered:
        return bool(status), f"The job {job_id} {status or 'is gone: it was deleted meanwhile'}."
    if not status:
        return False, f"There is no job {job_id}: it was never enqueued, was deleted, or its result has expired."
    return False, f"The job {job_id} does not run: it is {status}. Nothing was done."
