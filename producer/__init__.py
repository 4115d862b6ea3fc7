"""Enqueue jobs for this worker, or any RQ worker, from anywhere: over Upstash's REST API or over TCP.

from worthit_producer import Producer

with Producer.from_environment() as producer:
    job = producer.enqueue("jobs.invoices.send_invoice", 7, timeout=60)
    verdict = producer.wait(job.id, seconds=8)
"""

from .answers import Answer, Enqueued
from .client import Producer
from .errors import (
    InvalidJob,
    JobFailed,
    KeyReused,
    Misconfigured,
    NoSuchJob,
    NotFinished,
    ProducerError,
    RateLimited,
    Refused,
    Unreachable,
)
from .options import Call, Debounce, Options, RateLimit, Retry, Throttle
from .reading import JobState, LogLine

__all__ = [
    "Answer",
    "Call",
    "Debounce",
    "Enqueued",
    "InvalidJob",
    "JobFailed",
    "JobState",
    "KeyReused",
    "LogLine",
    "Misconfigured",
    "NoSuchJob",
    "NotFinished",
    "Options",
    "Producer",
    "ProducerError",
    "RateLimit",
    "RateLimited",
    "Refused",
    "Retry",
    "Throttle",
    "Unreachable",
]
