"""What the server and a consumer say to each other about claims: settle, claim, and recover after a lost reply.

What is done is kept until the server has taken it, so a job that ends while Redis is away is settled afterwards.
After a lost reply the server may hold claims in our name that we do not have, and so may it after the death of a
predecessor in the same slot: `recover` brings both sides together.
"""

from __future__ import annotations

import threading
from time import monotonic
from typing import Final

from redis import Redis
from redis.exceptions import ResponseError
from rq.queue import Queue

from worker import logs
from worker.consumer.accounts import Accounts
from worker.consumer.claim_check import ClaimCheck
from worker.consumer.heard import Heard
from worker.consumer.in_flight import Ending, InFlight
from worker.consumer.main_thread import KilledByOrder, timed_out
from worker.consumer.refusals import Refusals
from worker.consumer.rq_finish import RqFinish, Shown
from worker.consumer.rq_record import RqRecord
from worker.consumer.supervision import Supervision
from worker.engine import key_types, pauses
from worker.engine.claims import Claims
from worker.engine.outcomes import Decider
from worker.engine.payload import Payloads
from worker.engine.records import Buried, Claim, ClaimReply, Paused, Retried
from worker.engine.unread import Unread
from worker.exits import OUT_OF_MEMORY, explain, explain_out_of_memory
from worker.process import memory
from worker.process.slot import Order, Running, Slot, State
from worker.redis import needs, rights
from worker.redis.outage import Outage
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.retry import RetryPolicy

log = logs.get_logger()

#: A pause has ended for sure so long after the server said that it would.
PAUSE_MARGIN_SECONDS: Final = 0.005


class Exchanger:
    """Speaks with the server for one consumer. Everything raises `RedisTrouble`. `check` is for whoever waits.

    `predecessor` knows the job under which the last process in this slot died, if one did.
    """

    def __init__(
        self,
        claims: Claims,
        in_flight: InFlight,
        rq: RqFinish,
        record: RqRecord,
        *,
        supervision: Supervision,
        outage: Outage,
        predecessor: Predecessor,
        refusals: Refusals,
        check: ClaimCheck,
        heard: Heard,
    ) -> None:
        self._claims = claims
        self._in_flight = in_flight
        self._rq = rq
        self._record = record
        self._supervision = supervision
        self._outage = outage
        self._predecessor = predecessor
        self._refusals = refusals
        self.check = check
        self._heard = heard
        self._settling = threading.Lock()
        self._uncertain = True
        self._problem = ""
        self._queues = claims.queues  #: in the order of the settings
        self._pause_ends_at = float("inf")
        self._may_claim = False  #: whether no command that a claim takes is known to be refused

    def settle_and_claim(self, capacity: int) -> ClaimReply:
        """Settle what is done and claim up to `capacity` jobs."""
        self._supervision.slot.tick(State.CLAIMING)
        uncertain = self._uncertain
        if uncertain:
            self.recover()
        elif self.check.is_due:
            self.run_check()
        if capacity:
            self._heard.wait(anew=uncertain)
        self._rq.settle()
        if not capacity and not self._in_flight.done:
            return ClaimReply(asked=False)
        if capacity and not self._may_claim:
            self._exchange(0)
            self._check_rights()
        reply = self._exchange(capacity)
        if self._in_flight.endings:  # dependents of what has ended do not wait for what runs next
            self._rq.settle()
            reply = reply if reply.claims else self._exchange(capacity)
        self._supervision.slot.claimed_at = monotonic()
        if reply.claims:
            self._supervision.answered()
        self._outage.over()
        return reply

    def settle(self) -> None:
        """Settle what is done, in as many requests as that takes, without claiming."""
        while self._in_flight.done:
            self._exchange(0)

    def note_reply(self, reply: ClaimReply) -> None:
        """Take in what the server said about us with a claim."""
        if reply.claims:
            self.check.expect()
        if not reply.registered:
            self._record.write()
        if reply.problem or self._problem:
            self._note_problem(reply)
        if reply.paused is not None:
            self._note_pauses(reply, reply.paused)

    @property
    def pause_ends_in(self) -> float:
        """In how many seconds a pause ends by itself, as far as the server has said; infinity if none does."""
        return self._pause_ends_at - monotonic()

    def _note_pauses(self, reply: ClaimReply, paused: Paused) -> None:
        """Take in what is paused, and put claimed jobs of paused functions aside."""
        self._claims.paused = paused
        self._supervision.show_pauses(self._queues, paused, suspended=reply.suspended)
        ends_at = monotonic() + paused.ends_in + PAUSE_MARGIN_SECONDS
        if ends_at < float("inf") and abs(ends_at - self._pause_ends_at) > 1:
            self._supervision.note_scheduled(paused.ends_in)  # the dispatcher lets go what was put aside
        self._pause_ends_at = ends_at
        aside = pauses.of_paused_functions(reply.claims, paused) if paused.functions else []
        if aside:
            answers = self._claims.park(aside)
            gone = {claim.execution_id for (claim, _), answer in zip(aside, answers, strict=True) if answer}
            reply.claims = [claim for claim in reply.claims if claim.execution_id not in gone]
            reply.asked = reply.asked and bool(reply.claims)  # else there may be others behind them

    def _note_problem(self, reply: ClaimReply) -> None:
        """Log that a queue cannot be claimed from because of what its keys hold; any other refusal is an outage."""
        reason = translate(ResponseError(reply.problem)) if reply.problem else None
        if reason is not None and reason.code != "wrong_type":
            self._may_claim = self._may_claim and not reason.refuses_command
            if not reply.claims:
                raise reason
            return
        if reply.problem != self._problem:
            if reply.problem:
                fix = reason.trouble.fix if reason is not None else None
                wrong = key_types.wrong(self._claims, self._claims.queues, self._claims.letters_queue)
                log.error("queue.unusable", error=reply.problem[:500], keys=wrong, fix=fix)
            else:
                log.info("queue.usable")
        self._problem = reply.problem

    def doubt(self) -> None:
        """Note that the server may hold claims in our name that are not in our hands: a reply was lost."""
        self._uncertain = True

    def recover(self) -> None:
        """Release claims in our name that we do not hold: a predecessor's, or those of a reply that was lost."""
        self._uncertain = False
        try:
            running = self._predecessor.executions  # one for each call; the others keep their claims meanwhile
            keep = self._in_flight.executions().union(self._predecessor.later())
            left = self._claims.recover(running[0] if running else "", keep)
            self._record.write()
        except RedisTrouble:
            self._uncertain = True
            raise
        if left.released or left.running:
            log.warning("claims.recovered", released=left.released, running=len(left.running))
        del running[:1]
        for claim in left.running:
            self._predecessor.hand_on(claim)
        if running:
            self.recover()

    def run_check(self, *, beside_job: bool = False) -> None:
        """Release what the server holds in our name and we do not have; `beside_job` (housekeeper): if a job runs."""
        with self._settling:  # no claim is under way: the main thread cannot begin one, or runs a job
            if self._in_flight.running or not beside_job:
                self.check.run()

    def release(self, claims: list[Claim], *, interrupted: frozenset[str] = frozenset()) -> list[str]:
        """Put claims back at the head of their queues; returns the ids that were not ours any more."""
        return self._claims.release(claims, interrupted=interrupted)

    def handbacks(self, claim: Claim) -> int:
        """Ask how many stops in a row have interrupted a job."""
        return self._claims.handbacks(claim)

    def release_unknown(self) -> None:
        """Release what the server holds in our name beyond what we know, on the way out."""
        if self._uncertain or self.check.is_expected:
            self._claims.recover("")

    def _check_rights(self) -> None:
        """Claim nothing that could not be settled: raise while a command that this takes is refused to us."""
        commands = rights.refused(self._claims.redis, self._claims.keys, needs.of_claims())
        if commands:
            raise rights.lack_of(commands)
        self._may_claim = True

    def _exchange(self, capacity: int) -> ClaimReply:
        with self._settling:  # the housekeeper settles too, and an outcome must not be taken off for another one
            sent = self._refusals.portion(self._in_flight.done)
            searching = self._refusals.searching
            if searching:
                capacity = 0
            if not sent and not capacity:
                return ClaimReply(asked=False)
            for outcome in sent:
                if isinstance(outcome, Retried) and outcome.delay > 0:
                    # Before it is sent: if we die in between, the scheduler must already expect it.
                    self._supervision.note_scheduled(outcome.delay)
            others_running = len(self._in_flight) > 0
            try:
                reply = self._claims.settle_and_claim(sent, capacity, others_running=others_running)
            except (RedisTrouble, ResponseError) as error:
                self._may_claim = self._may_claim and not (isinstance(error, RedisTrouble) and error.refuses_command)
                if not self._refusals.concerns(sent, error):
                    raise
                self._uncertain = True  # it may have claimed before it hung up
                return ClaimReply(asked=False)
            self._in_flight.settled(sent, self._rq.left_by_scripts(sent, reply))
            self._refusals.taken(sent)
        reply.asked = not searching
        self.note_reply(reply)
        if reply.left and not reply.suspended:
            self._supervision.wake_sibling()
        return reply


class Predecessor:
    """The jobs that ran when the last process in this slot died, as the scoreboard shows them.

    `executions` are those to decide about: of a process that the supervisor killed, the jobs that were past their
    timeout or had to end by an order. Others that ran beside them go back without blame. Of any other death the one
    that ran; "?" when it may be any of several. Whatever the death, a job that had run and whose outcome the server had
    refused comes behind those; of several ("?") none is blamed before it has been claimed alone.
    """

    def __init__(
        self,
        slot: Slot,
        connection: Redis,
        *,
        payloads: Payloads,
        decider: Decider,
        in_flight: InFlight,
        accounts: Accounts,
        shown: Shown,
        threads: int,
    ) -> None:
        self._slot = slot
        self._shown = shown
        self._connection = connection
        self._payloads = payloads
        self._decider = decider
        self._in_flight = in_flight
        self._accounts = accounts
        self._runs = {run.execution_id.decode(): run for run in slot.running()}
        self.executions = [*self._runs]
        if slot.exit_reason in (b"timeout", b"ordered"):
            self.executions = [name for name, run in self._runs.items() if self._is_overdue(run) or slot.order_for(run)]
        elif len(self._runs) > 1 or (self._runs and threads > 1):
            self.executions = ["?"]
        self._refused = [name for name in slot.refused_executions if name not in self.executions]
        if self.executions != ["?"]:
            if len(self._refused) > 1:
                self.executions = [*(self.executions or [""]), "?"]
            else:
                self.executions += self._refused

    def later(self) -> list[str]:
        """Return the executions that are decided about after the first of `executions`."""
        later = self.executions[1:]
        return later + self._refused if "?" in later else later

    def hand_on(self, claim: Claim) -> None:
        """Decide about the job: another attempt, stopped as ordered, or buried."""
        status, reason = self._slot.exit_status, self._slot.exit_reason.decode()
        job = self._payloads.unread(claim, self._connection)
        moment = monotonic()
        run = self._runs.get(claim.execution_id)
        given = self._slot.order_for(run) if run is not None else None
        if given is not None and given.order == Order.STOP and run is not None and job is not None:
            self._slot.forget_orders(run)
            log.warning("job.stopped", job_id=claim.job_id, queue=claim.origin, how="with its process")
            self._in_flight.finish_with_rq(Ending(job, claim, moment, stopped=True))
            return
        refused = claim.execution_id in self._refused
        reading = run is not None and run.reading
        if reason in ("timeout", "ordered") and job is not None and not refused and not reading:
            reason = "ordered" if given is not None else "timeout"
            error = KilledByOrder() if given is not None else timed_out(job.timeout)
            outcome = self._decider.failure(job, claim, error, self._policy(job, claim), moment, moment)
        else:
            how = "stuck and was killed" if reason else explain(status)
            if reason == OUT_OF_MEMORY:
                how = explain_out_of_memory(memory.limit_bytes())
            if reading:
                how = f"{how}, while its payload was read"
            if refused:
                how = f"{how}, after the job had run: Redis did not take its outcome"
            outcome = self._decider.crash(claim, how, moment, job)
            if refused and isinstance(outcome, Buried):
                outcome.tries, outcome.by_force = 1, True  # what was refused before would be refused again
        log.error("job.rescued", job_id=claim.job_id, queue=claim.origin, how=reason or explain(status))
        self._accounts.note(outcome, job, None)

    def _policy(self, job: Unread, claim: Claim) -> RetryPolicy | None:
        """Return the policy of the job's function. Its module may have to be imported, which a second death blames."""
        self._shown.begin_job(claim.job_id, claim.execution_id, job.timeout or Queue.DEFAULT_TIMEOUT, reading=True)
        try:
            return self._payloads.policy(job)
        finally:
            self._shown.end_job()

    def _is_overdue(self, run: Running) -> bool:
        return 0 < run.deadline <= self._slot.exited_at
