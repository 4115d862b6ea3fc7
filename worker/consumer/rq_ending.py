"""End one job with RQ's own code: it succeeds, fails or is stopped as in RQ, but what follows is what we decided.

RQ runs the callbacks, enqueues dependents and repeats, sends webhooks and frees the place of a rate limit. Whether a
failed job gets another attempt, when, and what stands in its dead letter is ours (``outcomes.py``).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Any, cast

from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.callbacks import execute_stopped_callback
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.queue import Queue
from rq.worker import BaseWorker

from worker import logs
from worker.consumer.accounts import Accounts
from worker.consumer.in_flight import Ending
from worker.context import ClaimLost
from worker.engine import dead_letter, rq_private
from worker.engine.claims import TRACES, Claims
from worker.engine.dependents import ParentQueue
from worker.engine.errands import Errands
from worker.engine.meta import NO_CHANGE
from worker.engine.outcomes import Decider, attempt_of
from worker.engine.raised import presentable
from worker.engine.records import Buried, Retried
from worker.engine.rq_burial import bury
from worker.redis import scripts
from worker.redis.calls import flat
from worker.redis.translate import translate
from worker.redis.troubles import trouble

log = logs.get_logger()


class _Here(threading.local):
    """What RQ's code is ending in this thread."""

    ending: Ending | None = None

    def current(self) -> Ending | None:
        """Return it; raises `ClaimLost` once its claim was handed back: RQ's transaction checks no claim."""
        if self.ending is not None and self.ending.lost:
            raise ClaimLost("it was handed back while its callbacks ran")
        return self.ending


class RqEnding:
    """Ends the jobs of one consumer, `worker` as RQ knows it. Our claim on the job has been checked.

    RQ's code runs on the worker's plain client and raises redis-py's errors: `end` is where they are translated.
    `note_scheduled` is called when a job was scheduled, by how many seconds from now.
    """

    def __init__(
        self,
        worker: BaseWorker,
        claims: Claims,
        decider: Decider,
        *,
        accounts: Accounts,
        errands: Errands,
        note_scheduled: Callable[[float], None],
    ) -> None:
        self._worker = worker
        self._claims = claims
        self._decider = decider
        self._accounts = accounts
        self._errands = errands
        self._note_scheduled = note_scheduled
        self._here = _Here()

    def end(self, ending: Ending) -> None:
        """Do what RQ does at the end of a job; raises `RedisTrouble`."""
        if ending.job is None or (ending.error is None and isinstance(ending.outcome, Buried)):
            bury(self._claims, cast(Buried, ending.outcome), ending.job, self._errands)
            return
        job = ending.job
        # RQ counts repeats and retries on the object before it writes them: each try begins with what is stored.
        self._here.ending, ending.job, ending.unwritten = ending, copy(job), None
        try:
            self._with_rq(ending, ending.job)
        except RedisError as error:
            reason = translate(error)
            if reason is None:
                raise
            raise reason from error
        finally:
            self._here.ending, ending.job = None, job
        if isinstance(ending.outcome, Buried) and ending.outcome.meta is not None:  # others may have written in between
            ending.outcome.meta.write(self._claims.redis, ending.claim.job_id)
        failed = ending.outcome is not None or ending.stopped or isinstance(ending.value, Retry)
        if failed and self._claims.extend(ending.claim):
            reason = translate(ending.unwritten) if ending.unwritten is not None else None
            raise reason or trouble("unknown", "RQ could not write how the job ended")
        self.complete_letter(ending)

    def watch(self, pipeline: Pipeline) -> None:
        """Note why the transaction in which RQ fails or retries the job is not taken: RQ logs that and goes on.

        A server that is full, or refuses a command, does so to everybody; it says nothing about this job.
        """
        ending = self._here.current()
        if ending is None:
            return
        execute = pipeline.execute

        def noting(*args: Any, **options: Any) -> list[Any]:
            try:
                return execute(*args, **options)
            except Exception as error:
                ending.unwritten = error
                raise
            finally:
                del pipeline.execute  # or it would hold itself

        pipeline.execute = noting  # type: ignore[method-assign]

    def dead_letter(self, pipeline: Pipeline) -> None:
        """Dead-letter the job in the transaction in which RQ fails it; there is no moment between the two."""
        ending = self._here.current()
        if ending is None or ending.job is None or self._worker.disable_default_exception_handler:
            return
        job, claim, started = ending.job, ending.claim, ending.started
        if isinstance(ending.value, Retry) and job.get_status(refresh=False) == JobStatus.FAILED:
            decider = self._decider
            attempts = attempt_of(claim)
            ending.outcome = decider.bury("attempts_exhausted", claim, started, started, job=job, attempts=attempts)
        outcome = ending.outcome
        if isinstance(outcome, Buried):  # decided before the callback ran, which may have changed the job's meta
            outcome.meta = dead_letter.in_meta(job, outcome.letter)
            change = outcome.meta.args if outcome.meta is not None else NO_CHANGE
            ending.letter = (job.id, outcome.letters_queue, *change, *flat(outcome.fields))
            self._claims.queue(pipeline, scripts.COLLECT, *ending.letter)

    def complete_letter(self, ending: Ending) -> None:
        """Make the dead letter if RQ has failed the job without it: the server may refuse one step of a transaction."""
        if ending.letter:
            self._claims.call(scripts.COLLECT, *ending.letter)

    def drop_journal(self, pipeline: Pipeline) -> None:
        """Delete the job's journal in the transaction in which RQ ends it well: if it repeats, it begins anew."""
        ending = self._here.current()
        if ending is not None and ending.job is not None and b"journal" in ending.claim.fields:
            pipeline.delete(self._claims.keys.journal(ending.job.id))
            pipeline.hdel(ending.job.key, "journal")

    def _with_rq(self, ending: Ending, job: Job) -> None:
        worker, outcome = self._worker, ending.outcome
        queue = ParentQueue(
            ending.claim.origin,
            connection=worker.connection,
            serializer=job.serializer,
            death_penalty_class=worker.death_penalty_class,
        )
        queue.errands, queue.default_ttl = self._errands, worker.default_result_ttl
        execution = rq_private.execution_of(job, ending.claim.execution_id, worker.connection, worker.name)
        rq_private.set_status(job, JobStatus.STARTED)
        if ending.stopped:
            self._stop(job, queue, execution)
        elif ending.error is not None and outcome is not None:
            self._fail(outcome, ending.error, job, queue, execution)
        elif outcome is not None:  # its process was killed: there is no exception and, as in RQ, no callback
            self._apply_policy(job, outcome)
            job.ended_at = self._decider.now()
            worker.handle_job_failure(job, queue=queue, execution=execution)
        else:
            self._succeed(ending, job, queue, execution)
        if job.get_status(refresh=False) == JobStatus.SCHEDULED:
            self._note_scheduled(0.0)  # when it is due only RQ's code knows: the dispatcher looks

    def _succeed(self, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
        if not TRACES.isdisjoint(ending.claim.fields) and not isinstance(ending.value, Retry):
            job.connection.hset(job.key, "past", 1)  # before the end: a job that repeats may be claimed at once
        try:
            rq_private.finalize_success(self._worker, job, queue, execution, ending.value)
        except (RedisError, ClaimLost):
            raise
        except BaseException as raised:  # noqa: BLE001 — a callback that raises, or exits, fails the job, as in RQ
            job.connection.hdel(job.key, "past")
            decider = self._decider
            error = presentable(raised)
            ending.error = error
            ending.outcome = decider.failure(job, ending.claim, error, None, ending.started, monotonic())
            self._accounts.ended(ending.outcome, job, error, counted=True)
            self._fail(ending.outcome, error, job, queue, execution)
        else:
            if isinstance(ending.outcome, Buried):
                self._accounts.ended(ending.outcome, job, None, counted=True)

    def _fail(
        self, outcome: Retried | Buried, error: BaseException, job: Job, queue: Queue, execution: Execution
    ) -> None:
        self._apply_policy(job, outcome)
        trace = error.__traceback__
        try:
            raise error  # noqa: TRY301 — if the failure callback raises, its traceback tells what it followed
        except BaseException:  # noqa: BLE001
            error.__traceback__ = trace
            exc_info = (type(error), error, trace)
            rq_private.finalize_failure(self._worker, job, queue, execution, exc_info)

    def _stop(self, job: Job, queue: Queue, execution: Execution) -> None:
        """Record a job that was stopped by order as RQ does: "stopped", in the FailedJobRegistry, no dead letter."""
        worker = self._worker
        rq_private.note_stopped(worker, job.id)
        job.ended_at = self._decider.now()
        try:
            execute_stopped_callback(job, worker.death_penalty_class)
        except RedisError:
            raise
        except BaseException:
            log.exception("job.stopped_callback_failed", job_id=job.id)
        text = "Job stopped by user, work-horse terminated."
        worker.handle_job_failure(job, queue=queue, exc_string=text, execution=execution)

    def _apply_policy(self, job: Job, outcome: Retried | Buried) -> None:
        """Make RQ's failure code do what was decided: retry after our delay, or give up."""
        if isinstance(outcome, Retried):
            job.retries_left, job.retry = (
                1,
                partial(_retry, self._decider.now(), job, outcome),
            )  # RQ looks at the one and calls the other
        else:
            job.retries_left = 0 if job.retries_left is not None else None


def _retry(now: datetime, job: Job, outcome: Retried, queue: Queue, pipeline: Pipeline) -> None:
    """Stand in for RQ's `Job.retry`: what was decided, and our counters, in the transaction that ends the attempt."""
    left = outcome.fields.get("retries_left")
    job.retries_left = None if left is None else int(left)
    written: dict[Any, Any] = dict(outcome.fields)  # redis-py's mapping is invariant in its keys
    pipeline.hset(job.key, mapping=written)
    if outcome.delay > 0:
        moment = datetime.fromtimestamp(math.ceil(now.timestamp() + outcome.delay), UTC)
        queue.schedule_job(job, moment, pipeline=pipeline)
    else:
        rq_private.enqueue(queue, job, pipeline, at_front=outcome.at_front)
