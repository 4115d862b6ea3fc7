"""Read the payload of a dead letter, through the same checks as the service."""

from __future__ import annotations

from rq.job import Job

from worker.cli.common import settings_or_exit
from worker.dead_letters.queue import DeadLetterQueue
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.keys import Keys
from worker.text import text_of


def read_payload(dead_letters: DeadLetterQueue, job_id: str) -> Job:
    """Return the job with its call; raises `Refused`."""
    settings = settings_or_exit()
    key = Keys(dead_letters.prefix).job(job_id)
    fields: dict[bytes, bytes] = dead_letters.redis.hgetall(key)  # type: ignore[assignment]
    origin = text_of(fields.get(b"origin"))
    payloads = Payloads.of(settings)
    return payloads.restore(Claim(job_id, "", origin, origin, fields), dead_letters.redis)
