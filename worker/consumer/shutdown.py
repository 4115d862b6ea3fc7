"""How a consumer ends: what runs may finish, what is done is settled, and everything else goes back to its queue."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from time import monotonic
from typing import Final

from redis import Redis

from worker import logs
from worker.consumer.accounts import Accounts
from worker.consumer.exchanger import Exchanger
from worker.consumer.in_flight import InFlight
from worker.consumer.job_threads import JobThreads
from worker.consumer.rq_finish import RqFinish
from worker.consumer.rq_record import RqRecord
from worker.consumer.supervision import Supervision
from worker.engine.errands import Errands
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.process.slot import State
from worker.redis.outage import Outage
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: From the interruption of what threads run to the end of the process.
INTERRUPT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The end of one consumer, whose housekeeper has stopped."""

    exchanger: Exchanger
    in_flight: InFlight
    rq: RqFinish
    record: RqRecord
    supervision: Supervision
    outage: Outage
    payloads: Payloads
    decider: Decider
    accounts: Accounts
    threads: JobThreads | None
    errands: Errands
    connection: Redis

    def run(self) -> None:
        """Let what runs finish, hand everything else back, and write that the worker has ended."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)  # a hard stop may have cut the end of a job's timeout short
        self._tick()
        if self.threads is not None:
            self._drain(self.threads)
        self._bury_interrupted()
        while True:
            try:
                self._hand_back()
                self._finish_errands()
                self.record.close()
                break
            except RedisTrouble as trouble:
                self._note(trouble)
                if monotonic() >= self.supervision.deadline:
                    outcomes, claims = len(self.in_flight.done), len(self.in_flight.waiting)
                    log.error("consumer.left_behind", outcomes=outcomes, claims=claims)  # noqa: TRY400 — the reason is logged
                    break
                self._tick()
                self.supervision.child.wait(self.outage.delay())
        self.errands.forgo()
        self.errands.close()

    def _drain(self, threads: JobThreads) -> None:
        """Let the threads finish; a hard stop interrupts them, and what runs even after that is handed back, too."""
        child = self.supervision.child
        until = float("inf")
        while (self.in_flight.running or self.in_flight.in_callbacks) and monotonic() < until:
            if child.hard and until == float("inf"):
                threads.interrupt()
                until = monotonic() + INTERRUPT_SECONDS
            threads.expire()
            self._tick()
            child.wait(0.2, [threads.fileno()])
            threads.answer()
            try:
                self.rq.settle()
                self.exchanger.settle()
                self._hand_back_at_once()
            except RedisTrouble as trouble:
                self._note(trouble)
        threads.end_all_processes()
        for claim in threads.begun():
            self.in_flight.interrupt(claim)
        self.in_flight.leave_to_main_thread()
        threads.close()

    def _hand_back_at_once(self) -> None:
        """Give back the jobs that were left at a step, while others go on."""
        self._bury_interrupted()
        claims = self.in_flight.interrupted
        self.exchanger.release(claims, interrupted=frozenset(claim.execution_id for claim in claims))
        self.in_flight.forget(claims)

    def _bury_interrupted(self) -> None:
        """Bury those interrupted jobs that stops have interrupted too often since they last got on."""
        for claim in self.in_flight.interrupted:
            job = self.payloads.unread(claim, self.connection)
            letter = self.decider.handed_back(claim, monotonic(), job)
            if letter is not None and self._got_nowhere(claim):
                self.accounts.note(letter, job, None)

    def _got_nowhere(self, claim: Claim) -> bool:
        """Whether the server counts those stops, too: a step that this run has kept begins the count anew."""
        try:
            return self.exchanger.handbacks(claim) + 1 >= self.decider.max_handbacks
        except RedisTrouble as trouble:
            self._note(trouble)
            return False

    def _hand_back(self) -> None:
        """Settle what is done, release what is not."""
        self.rq.settle()
        self.exchanger.settle()
        self.rq.settle()
        interrupted = frozenset(claim.execution_id for claim in self.in_flight.interrupted)
        claims = [*self.in_flight.interrupted, *self.in_flight.waiting]
        claims.sort(key=lambda claim: claim.execution_id)
        lost = self.exchanger.release(claims, interrupted=interrupted)
        self.exchanger.release_unknown()
        if claims:
            log.info("claims.released", jobs=len(claims) - len(lost), interrupted=len(interrupted))

    def _finish_errands(self) -> None:
        """Let webhooks be sent, until a hard stop; nobody's job waits for that."""
        self.errands.end()
        while not (self.errands.idle or self.supervision.child.hard):
            self._tick()
            self.supervision.child.wait(0.2, [self.errands.fileno()])
            self.errands.answer()

    def _note(self, trouble: RedisTrouble) -> None:
        self.exchanger.doubt()
        self.outage.note(trouble)

    def _tick(self) -> None:
        self.supervision.slot.tick(State.DRAINING)
