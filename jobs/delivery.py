"""Tell whoever asked for a job, by a signed callback, that it has ended and what came of it.

A producer that is given a `callback_url` enqueues `deliver` beside its job, as one of RQ's dependents: RQ holds it back
until the job has ended, well or not, however that came about. It reads the outcome at once, because results expire, and
enqueues `jobs.notifications.notify` with it: an ordinary job, tried again for as long as its policy says and
dead-lettered when the receiver is never there. The body is ``{"job_id", "status", "result", "error"}``: the status is
"finished", "failed", "stopped" or "canceled", and the error null or ``{"reason", "message"}``.
"""

from __future__ import annotations

import hashlib
from typing import Any

from producer import JobFailed, JobState, NoSuchJob, NotFinished, Refused, Unreachable
from worker import context
from worker.retry import PermanentError, RetryLater, RetryPolicy, with_policy


@with_policy(RetryPolicy(max_attempts=8, base=2.0, cap=60.0, retry_on=(RetryLater,)))
def deliver(url: str, job_id: str) -> str:
    """Enqueue the notification of how `job_id` ended for `url`; returns the id of the job that sends it.

    Raises `RetryLater` while Redis is in trouble, and `PermanentError` when the outcome is gone or cannot be sent.
    """
    job = context.current()
    producer = job.producer()
    try:
        body = outcome(producer.status(job_id))
        notified = hashlib.sha256(job.job_id.encode()).hexdigest()[:32]  # a repeated run enqueues no second one
        sent = producer.enqueue(
            "jobs.notifications.notify",
            url,
            body,
            queue=job.queue,
            job_id=f"notify-{notified}",
            timeout=60,
            description=f"tell of the end of {job_id}",
        )
    except Unreachable as error:
        raise RetryLater(str(error)) from error
    except NotFinished as error:  # it was put back on its queue by hand
        raise RetryLater(str(error), after=30.0) from error
    except (NoSuchJob, Refused, ValueError) as error:
        raise PermanentError(str(error)) from error
    return sent.id


def outcome(state: JobState) -> dict[str, Any]:
    """Return the callback's body; raises `NotFinished`, and `Refused` when the result is not JSON."""
    try:
        result, error = state.result(), None
    except JobFailed as failure:
        result, error = None, {"reason": failure.reason, "message": state.error}
    return {"job_id": state.id, "status": state.status, "result": result, "error": error}
