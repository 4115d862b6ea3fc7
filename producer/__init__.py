"""Enqueue jobs for the WorthIt! worker, or any RQ worker, from anywhere: over Upstash's REST API or over TCP.

from worthit_producer import Producer

with Producer.from_environment() as producer:
    job = producer.enqueue("jobs.products.analyze_product", "https://shop.example/lamp", timeout=60)
    verdict = producer.wait(job.id, seconds=8)
"""

from .answers import Answer, Enqueued
from .client import Producer
from .errors import (
    InvalidJob,
    JobFailed,
    Misconfigured,
    NoSuchJob,
    NotFinished,
    ProducerError,
    RateLimited,
    Refused,
    Unreachable,
)
from .payload import Retry
from .reading import JobState

__all__ = [
    "Answer",
    "Enqueued",
    "InvalidJob",
    "JobFailed",
    "JobState",
    "Misconfigured",
    "NoSuchJob",
    "NotFinished",
    "Producer",
    "ProducerError",
    "RateLimited",
    "Refused",
    "Retry",
    "Unreachable",
]
