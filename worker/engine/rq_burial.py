"""Bury a job that others depend on: its dependents, its webhooks, the jobs that wait for a place of its rate limit.

The script that buries leaves such a job alone unless it is forced to; what RQ does for the others once a failure is
written is done here.
"""

from __future__ import annotations

import zlib
from base64 import b64decode
from dataclasses import replace

from rq.job import Job, JobStatus
from rq.rate_limit import release_slot

from worker import logs
from worker.engine import rq_private
from worker.engine.claims import Claims
from worker.engine.dependents import ParentQueue
from worker.engine.errands import Errands
from worker.engine.records import Buried
from worker.engine.serializers import Json
from worker.text import name_of

log = logs.get_logger()


def bury(claims: Claims, outcome: Buried, job: Job | None, errands: Errands | None) -> None:
    """Bury it, then do what RQ does for the others; `job` is None when its hash cannot be read.

    What may take long is left to `errands`, if there are any.
    """
    claim = outcome.claim
    if claims.settle_and_claim([replace(outcome, forced=True)], 0).fenced:
        log.warning("job.outcome_dropped", job_id=claim.job_id, outcome="buried")
        return
    if job is None:
        job = rq_private.new_job(claim.job_id, claims.redis, Json())
        job.origin = claim.origin
        job.rate_limit_key = name_of(claim.fields.get(b"rate_limit_key", b"")) or None
        job.rate_limit_concurrency = 1 if job.rate_limit_key else None  # any: the registry knows the number
    rq_private.set_status(job, JobStatus.FAILED)
    job.ended_at = claims.clock.today()
    text = zlib.decompress(b64decode(outcome.exc_string)).decode()
    job.send_webhooks(JobStatus.FAILED, exc_string=text)
    queue = ParentQueue(claim.origin, connection=claims.redis, serializer=job.serializer)
    queue.errands = errands
    queue.enqueue_dependents(job)
    release_slot(job)
