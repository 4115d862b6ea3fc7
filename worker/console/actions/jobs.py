"""What people do to one job: run it again, cancel it, stop it. Each raises `ActionRefused` with a sentence."""

from __future__ import annotations

from redis import Redis

from worker.console.actions import ActionRefused
from worker.dead_letters.changes import Changes, note
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import DeadLetterQueue
from worker.engine import stopping
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.keys import Keys
from worker.redis import scripts
from worker.redis.client import Client, translating
from worker.settings import Settings
from worker.text import counted, text_of

#: Jobs of these statuses wait for something, and can be canceled.
_WAIT = ("queued", "scheduled", "deferred", "rate_limited", "ready_to_enqueue")


def run_again(redis: Redis, keys: Keys, settings: Settings, job_id: str, *, who: str) -> str:
    """Put a job that has ended back on its queue, or one that is scheduled for later; returns a sentence."""
    letters = DeadLetterQueue(Client.over(redis), keys.prefix, settings.dead_letter_queue)
    changes = Changes(letters, who, f"job {job_id}")
    status = _status(redis, keys, job_id)
    if status == "failed":
        if not changes.replay([DeadLetter(job_id)])[0]:
            raise ActionRefused(f"The job {job_id} has not failed any more: somebody else was faster.")
        return f"The job {job_id} is on its queue again, with all of its attempts."
    told = letters.call(scripts.AGAIN, "run-again", who, changes.run, "", job_id.encode(errors="surrogateescape"))
    if told == 1:
        when = "goes to its queue now" if status == "scheduled" else "is on its queue again, with all of its attempts"
        return f"The job {job_id} {when}."
    raise ActionRefused(_why_not(job_id, text_of(told) if told else ""))


def cancel(redis: Redis, keys: Keys, settings: Settings, job_id: str, *, who: str) -> str:
    """Cancel a job that waits, as RQ does; returns a sentence."""
    client = Client.over(redis)
    status = _status(client, keys, job_id)
    if status == "canceled":
        return f"The job {job_id} was canceled before."
    if status == "started":
        raise ActionRefused(f"The job {job_id} runs: stop it instead.")
    if status not in _WAIT:
        raise ActionRefused(_why_not(job_id, status))
    key = keys.job(job_id).encode(errors="surrogateescape")
    fields = client.hgetall(key)
    origin = text_of(fields.get(b"origin"))
    job = Payloads.of(settings).unread(Claim(job_id, "", origin, origin, fields), client)  # type: ignore[arg-type]
    if job is None:
        raise ActionRefused(
            f"The record of the job {job_id} cannot be read, so it will become a dead letter by itself."
        )
    with translating():
        job.cancel()
    note(client, keys, action="cancel", who=who, job_ids=[job_id], about=f"job {job_id}")
    waiting = client.scard(keys.dependents(job_id).encode(errors="surrogateescape"))
    left = (
        f" {counted(waiting, 'job that depends on it goes', 'jobs that depend on it go')} on waiting."
        if waiting
        else ""
    )
    return f"The job {job_id} is canceled: it will not run.{left}"


def stop(redis: Redis, keys: Keys, job_id: str, *, who: str, wait: float = 3.0) -> str:
    """Stop a running job and wait some seconds for its end; returns a sentence."""
    status = _status(redis, keys, job_id)
    if status != "started":
        raise ActionRefused(_why_not(job_id, status))
    note(redis, keys, action="stop", who=who, job_ids=[job_id], about=f"job {job_id}")
    ended, sentence = stopping.stopped(redis, keys, job_id, wait)
    if not ended:
        raise ActionRefused(sentence)
    return sentence


def _status(redis: Redis, keys: Keys, job_id: str) -> str:
    """Return a job's status; raises `ActionRefused` where there is none."""
    key = keys.job(job_id).encode(errors="surrogateescape")
    with Client.over(redis).pipeline(transaction=False) as pipe:
        pipe.hget(key, "status")
        (status,) = pipe.execute(raise_on_error=False)
    if not isinstance(status, bytes):
        raise ActionRefused(f"There is no job {job_id}: it was deleted or has expired.")
    return text_of(status)


def _why_not(job_id: str, status: str) -> str:
    if not status:
        return f"There is no job {job_id}: it was deleted or has expired."
    if status == "empty":
        return f"The payload of the job {job_id} is gone, so it cannot run again."
    return f"The job {job_id} is {status}. Nothing was done."
