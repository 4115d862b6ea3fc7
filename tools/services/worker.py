"""The worker: does an enqueued job come back with its result?"""

from __future__ import annotations

import secrets
from time import monotonic, sleep
from typing import Final

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from tools.services.outcome import Outcome, Request, failed, skipped
from worker import queue
from worker.diagnosis.report import Status
from worker.engine.dead_letter import REASONS, read
from worker.errors import SettingsError
from worker.fleet import reading
from worker.keys import Keys
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.settings.load import load
from worker.text import one_line

#: The job that is enqueued; the worker's WORKER_JOB_MODULES must hold its package.
FUNCTION: Final = "jobs.probe.echo"
_KEYS: Final = Keys(RQ_KEY_PREFIX)
_POLL_SECONDS: Final = 0.05
#: Seconds that the job may run, and that its result is kept in case nobody fetches it.
_RUN_SECONDS: Final = 30
_KEPT_SECONDS: Final = 60


def check_worker(request: Request) -> Outcome:
    """Enqueue a job that does nothing, wait for its result and delete every trace of it."""
    if not request.environ.get("REDIS_URL"):
        return skipped("worker", "REDIS_URL is not set")
    try:
        settings = load(request.environ)
    except SettingsError as error:
        return failed("worker", error.problems[0].variable + " is wrong.", str(error.problems[0]))
    try:
        client = queue.build_client(settings, client_name="service_tester")
        with client:
            return _probe(client, settings, request)
    except (RedisError, OSError, RedisTrouble) as error:
        trouble = translate(error)
        if trouble is None:
            raise
        return failed("worker", trouble.trouble.sentence, trouble.trouble.fix, code=trouble.code)


def _probe(client: Redis, settings: Settings, request: Request) -> Outcome:
    name = request.queue or settings.worker_queues[0]
    text = secrets.token_hex(8)
    began = monotonic()
    job = Queue(name, connection=client, serializer="json").enqueue(
        FUNCTION,
        text,
        job_id=f"probe-{text}",
        job_timeout=_RUN_SECONDS,
        result_ttl=_KEPT_SECONDS,
        failure_ttl=_KEPT_SECONDS,
        ttl=int(request.wait) + _RUN_SECONDS,
    )
    try:
        return _outcome(client, job, name, text, began, request.wait)
    finally:
        _forget(client, job, settings.dead_letter_queue)


def _outcome(client: Redis, job: Job, name: str, text: str, began: float, wait: float) -> Outcome:
    ended = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED)
    try:
        while (status := job.get_status()) not in ended and monotonic() - began < wait:
            sleep(_POLL_SECONDS)
        seconds = monotonic() - began
        facts = {"queue": name, "seconds": round(seconds, 3), "status": str(status.value if status else None)}
        if status is JobStatus.FINISHED:
            job.refresh()
            if job.return_value() == text:
                says = f"A job on {name!r} came back with its result after {seconds * 1000:.0f} ms."
                return Outcome("worker", Status.OK, says, facts=facts)
            return failed(
                "worker",
                "The job came back with another result.",
                "Check which release runs there: its jobs.probe differs.",
                **facts,
            )
        if status in ended:
            return _refused(client, job, facts)
    except NoSuchJobError:
        return failed("worker", "The job was deleted while it waited.", "Find out who empties the queue.", queue=name)
    return _unread(client, name, wait, facts)


def _refused(client: Redis, job: Job, facts: dict[str, object]) -> Outcome:
    letter = read(client.hget(job.key, "dead_letter"))
    reason = str(letter.get("reason", ""))
    words = REASONS.get(reason, "an RQ worker failed it")
    fix = "See python -m worker dead list, and the worker's log."
    if reason in ("refused_function", "unknown_function"):
        fix = "Add jobs to WORKER_JOB_MODULES of the service, or deploy this release there."
    message = f" {one_line(letter['message'])}" if letter.get("message") else ""
    return failed("worker", f"The worker did not run the job: {words}.{message}", fix, **facts)


def _unread(client: Redis, name: str, wait: float, facts: dict[str, object]) -> Outcome:
    if client.exists(_KEYS.suspended):
        return failed("worker", "All queues are suspended.", "Resume them: rq resume -u $REDIS_URL", **facts)
    if not reading.readers(client, _KEYS, name):
        fix = f"Start a worker with {name!r} in WORKER_QUEUES, or name another --queue."
        return failed("worker", f"No consumer reads the queue {name!r}.", fix, **facts)
    fix = "See what they do: python -m worker status. Add consumers, or set a longer --wait."
    return failed("worker", f"Consumers read {name!r}, but none took the job within {wait:g} s.", fix, **facts)


def _forget(client: Redis, job: Job, letters: str) -> None:
    """Delete the job, its result and its dead letter."""
    job.delete(remove_from_queue=True)
    client.lrem(_KEYS.queue(letters), 0, job.id)
