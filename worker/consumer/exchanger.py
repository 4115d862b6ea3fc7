"""Claims that a consumer may have without knowing: a predecessor's in the same slot, or those of a lost reply."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from worker import logs
from worker.consumer.main_thread import timed_out
from worker.consumer.rq_record import register
from worker.engine.records import Claim, Outcome
from worker.exits import OUT_OF_MEMORY, explain, explain_out_of_memory
from worker.process import memory
from worker.process.slot import Order

if TYPE_CHECKING:
    from worker.consumer import Consumer

log = logs.get_logger()


class Recovery:
    """Brings what the server holds in the name of `consumer`, and what is in its hands, together."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._slot = consumer.slot
        self._predecessors_job = self._job_of_predecessor()
        self.uncertain = True

    def doubt(self) -> None:
        """Note that the server may hold claims in our name that are not in our hands: a reply was lost."""
        self.uncertain = True

    def recover(self) -> None:
        """Release claims in our name that we do not hold: a predecessor's, or those of a reply that was lost."""
        self.uncertain = False
        holding = {
            outcome.claim.execution_id for outcome in self._consumer.runner.done
        } | self._consumer.by_rq.executions()
        if self._consumer.crew is not None:
            holding |= self._consumer.crew.executions()
        try:
            left = self._consumer.claims.recover(self._predecessors_job, holding)
            register(self._consumer)
        except (RedisError, OSError):
            self.uncertain = True
            raise
        if left.released or left.running:
            log.warning("claims.recovered", released=left.released, running=len(left.running))
        self._predecessors_job = ""
        for claim in left.running:
            self._hand_on(claim)

    def _hand_on(self, claim: Claim) -> None:
        """Decide about the job under which our predecessor died."""
        status, reason = self._slot.exit_status, self._slot.exit_reason.decode()
        job, policy = self._consumer.runner.restore_quietly(claim)
        moment = monotonic()
        outcome: Outcome
        if reason == "ordered" and job is not None:
            self._slot.order = Order.NONE
            log.warning("job.stopped", job_id=claim.job_id, queue=claim.origin, how="with its process")
            self._consumer.by_rq.add(job, claim, moment, stopped=True)
            return
        if reason == "timeout" and job is not None:
            outcome = self._consumer.deciding.failure(job, claim, timed_out(job.timeout), policy, moment, moment)
        else:
            how = "stuck and was killed" if reason else explain(status)
            if reason == OUT_OF_MEMORY:
                how = explain_out_of_memory(memory.limit_bytes())
            outcome = self._consumer.deciding.crash(claim, how, moment, job)
        log.error("job.rescued", job_id=claim.job_id, queue=claim.origin, how=reason or explain(status))
        self._consumer.runner.note(outcome, job, None)

    def _job_of_predecessor(self) -> str:
        """Return the execution that ran when the last child of this slot died; "?" when it may be any of several."""
        execution = self._slot.execution_id.decode()
        if execution and self._consumer.settings.worker_threads > 1 and self._slot.exit_reason != b"timeout":
            return "?"
        return execution
