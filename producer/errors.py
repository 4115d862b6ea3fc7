"""What can go wrong in a producer, in words. No message holds a URL, a token or an argument's value.

::

    ProducerError
    ├── InvalidJob       the call would make a job that no worker can run; nothing was sent (also a ValueError)
    ├── Misconfigured    the environment names no Redis, or a bad one; nothing was sent (also a ValueError)
    ├── Unreachable      Redis did not answer within the deadline; whether the call took effect is not known
    ├── Refused          Redis answered, and what it said will not change by asking again
    ├── KeyReused        the idempotency key belongs to a call with other arguments; nothing was enqueued
    ├── RateLimited      the caller asks too often; `retry_after` seconds are left
    ├── NoSuchJob        there is no job of that id (any more)
    ├── NotFinished      the job has not ended
    └── JobFailed        the job ended without a result; `reason` and the message say why
"""

from __future__ import annotations


class ProducerError(Exception):
    """Something went wrong in a producer; the message is a sentence for people."""


class InvalidJob(ProducerError, ValueError):
    """The call would make a job that no worker can run; nothing was sent."""


class Misconfigured(ProducerError, ValueError):
    """The environment names no Redis, or a bad one; nothing was sent."""


class Unreachable(ProducerError):
    """Redis did not answer within the deadline.

    `job_id` is the job's when one was to be enqueued: enqueue it again under that id, and it runs once.
    """

    def __init__(self, sentence: str, job_id: str | None = None) -> None:
        super().__init__(sentence)
        self.job_id = job_id


class Refused(ProducerError):
    """Redis answered, and what it said will not change by asking again."""


class KeyReused(ProducerError):
    """The idempotency key of the job at `index` of the call was used with other arguments; nothing was enqueued."""

    def __init__(self, index: int) -> None:
        super().__init__(
            "This idempotency key was used before with another function or other arguments, so no job was enqueued. "
            "Take a new key for a new job, and the old one only to send the same call again."
        )
        self.index = index


class RateLimited(ProducerError):
    """The caller asks too often; `retry_after` seconds are left of this window."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests. Try again in {retry_after} seconds.")
        self.retry_after = retry_after


class NoSuchJob(ProducerError):
    """There is no job of that id: it was never enqueued, was deleted, or its result has expired."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}: it was never enqueued, was deleted, or its result has expired.")


class NotFinished(ProducerError):
    """The job has not ended; `status` is where it is."""

    def __init__(self, job_id: str, status: str) -> None:
        super().__init__(f"The job {job_id} has not ended yet; it is {status}.")
        self.status = status


class JobFailed(ProducerError):
    """The job ended without a result: `status` is failed, stopped or canceled, `reason` the worker's word for why."""

    def __init__(self, job_id: str, status: str, reason: str, message: str) -> None:
        super().__init__(f"The job {job_id} {status if status != 'stopped' else 'was stopped'}: {message}")
        self.status = status
        self.reason = reason
