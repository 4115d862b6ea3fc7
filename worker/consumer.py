"""The consumer: claims jobs, runs them, settles them.

Its loop is: exchange with the server (settle what is done, claim what is next, in one round trip), perform what was
claimed, wait when there was nothing. What is done is kept until the server has taken it, so a job that ends while Redis
is away is settled when Redis is back. Running one job is in ``runner.py``.

`Consumer` is an `rq.worker.BaseWorker`: ``rq worker -w worker.consumer.Consumer high default`` and
``Consumer(queues, connection=r).work(burst=True, max_jobs=5)`` work like RQ's own workers, without a supervisor.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from time import monotonic
from typing import Any, Final

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import worker_registration
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import now
from rq.worker import BaseWorker, DequeueStrategy

from worker import logs, oom, orders, queue, retry, sentry
from worker.batch import Batch
from worker.bell import Bell
from worker.claims import Claims
from worker.crew import Crew
from worker.doorbell import Doorbell
from worker.exchange import Claim, Exchange, Finished, Outcome, Retried
from worker.exits import OUT_OF_MEMORY, Exit, explain, explain_out_of_memory
from worker.guard import Guard
from worker.minder import Minder
from worker.outage import Outage
from worker.outcomes import Deciding
from worker.prefetch import MOST, Prefetch
from worker.rq_finish import RqFinish
from worker.runner import Runner
from worker.scoreboard import Order, Scoreboard, Slot, State
from worker.seat import SAFETY_POLL_SECONDS, TICK_SECONDS, Alone, Seat, Supervised
from worker.settings import Settings
from worker.station import MainStation, Station
from worker.watch import Watch, WatchLock, consumers_watch

log = logs.get_logger()

#: While `rq suspend` or TSTP holds.
PAUSE_SECONDS: Final = 1.0
#: From the interruption of crew threads to the end of the process.
INTERRUPT_SECONDS: Final = 1.0


class Consumer(BaseWorker):  # type: ignore[misc]  # rq is untyped here
    """One consumer; see the module. `seat` is None when it runs alone. Other arguments are `BaseWorker`'s."""

    death_penalty_class = Guard

    def __init__(self, *args: Any, seat: Seat | None = None, settings: Settings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings or queue.settings_of_environment()
        self._given_seat = seat
        letters = self.settings.dead_letter_queue
        self.claims = Claims(self.connection, RQ_KEY_PREFIX, self.name, self.queue_names(), letters)
        self.deciding = Deciding(
            self.name,
            letters,
            self.settings.worker_max_crashes,
            self.default_result_ttl,
            self.settings.release,
            retry.default_policy(
                self.settings.worker_retry_attempts, self.settings.worker_retry_base, self.settings.worker_retry_cap
            ),
            max_handbacks=self.settings.worker_max_handbacks,
            unknown_grace=self.settings.worker_unknown_grace,
        )
        self._dequeue_strategy = DequeueStrategy.DEFAULT
        self.prefetch = Prefetch()
        self.batch = Batch()
        self.by_rq = RqFinish(self)
        self._settling = threading.Lock()
        self._performed = 0
        self._uncertain = True
        self._suspect_runs = False
        self._predecessors_job = ""

    def work(
        self,
        burst: bool = False,
        logging_level: str | None = None,
        date_format: str = "",  # noqa: ARG002 — RQ's signature; lines have a timestamp already
        log_format: str = "",  # noqa: ARG002 — RQ's signature; see worker.logs
        max_jobs: int | None = None,
        max_idle_time: int | None = None,
        with_scheduler: bool = False,
        dequeue_strategy: DequeueStrategy = DequeueStrategy.DEFAULT,
    ) -> bool:
        """Work until a stop is asked (or the queues are empty, with `burst`); returns whether any job ran."""
        self._burst, self._max_jobs, self._max_idle = burst, max_jobs, max_idle_time
        self._dequeue_strategy = dequeue_strategy
        if not structlog.is_configured():
            logs.configure(logging_level or "INFO", "console")
        self._enter()
        try:
            if with_scheduler:
                self._start_scheduler(burst, logging_level)
            self._loop()
        finally:
            self._leave()
        return self._performed > 0

    def _loop(self) -> None:
        self._idle_since = monotonic()
        while not self.finished():
            try:
                exchange = self.exchange()
            except (RedisError, OSError) as error:
                self.ride_out(error)
                continue
            if exchange.claims:
                self.perform(exchange.claims)
            elif self.crew is not None and self.crew.held:
                self.wait_with_crew(self.crew)
            elif self.runner.done or self.by_rq.pending or not exchange.registered:
                continue  # a thread has ended its job meanwhile, RQ must finish one, or the server did not know us
            elif self._burst or self._idle_for_too_long():
                break
            else:
                self.wait(paused=exchange.suspended)

    # -- the verbs of the loop -------------------------------------------------------------------------------------

    def finished(self) -> bool:
        """Whether the loop must end: a stop, or a worn-out consumer."""
        if self.child.stopping or (self._max_jobs is not None and self._performed >= self._max_jobs):
            return True
        limit = self.settings.worker_max_memory_mb
        return limit > 0 and self._performed > 0 and resident_mb() > limit

    def exchange(self) -> Exchange:
        """Settle what is done and claim what is next."""
        self.slot.tick(State.CLAIMING)
        if self._uncertain:
            self.recover()
        self.by_rq.settle()
        if self.crew is not None and (ran := self.crew.tally()):
            self.prefetch.learn(len(ran), sum(ran), max(ran))
        want = self.want()
        if not want and not self.runner.done:
            return Exchange()
        exchange = self.settle(want)
        if self.by_rq.pending:  # dependents of what has ended do not wait for what runs next
            self.by_rq.settle()
            exchange = exchange if exchange.claims else self.settle(want)
        self.slot.claimed_at = monotonic()
        self.seat.claimed()
        self.outage.over()
        return exchange

    def want(self) -> int:
        """How many jobs to claim now."""
        if self.seat.quiet or self.child.stopping:
            return 0
        most = self.prefetch.want
        if self.crew is not None:
            most = 0 if self._suspect_runs and self.crew.held else max(self.crew.size, most) - self.crew.held
        return max(0, most if self._max_jobs is None else min(most, self._max_jobs - self._performed))

    def settle(self, want: int = 0) -> Exchange:
        """Send what is done and ask for `want` jobs; what was not taken is kept."""
        with self._settling:  # the minder settles too, and an outcome must not be taken off for another one
            sent = self.runner.done[:]
            if not sent and not want:
                return Exchange()
            company = self.crew is not None and self.crew.held > 0
            for outcome in sent:
                if isinstance(outcome, Retried) and outcome.delay > 0:
                    self.seat.put_off(outcome.delay)  # before it is: a death in between must not leave it unknown
            exchange = self.claims.exchange(sent, want, company=company)
            del self.runner.done[: len(sent)]
        self.took(exchange)
        if exchange.left and not exchange.suspended:
            self.seat.nudge()
        if exchange.fenced or exchange.unsettled:
            self._not_taken(sent, exchange)
        return exchange

    def took(self, exchange: Exchange) -> None:
        """Note what the server said about us with a claim."""
        if not exchange.registered:
            self.register()
        if exchange.claims:
            self._reorder(exchange.claims[-1].queue)
            self._idle_since = monotonic()

    def perform(self, claims: list[Claim]) -> None:
        """Run what was claimed, one after the other, until it is done, given away or a stop is asked."""
        if self.crew is not None:
            self.perform_with_crew(self.crew, claims)
            return
        self.batch.load(claims)
        if len(claims) > 1:
            self.minder.wake()
        begun = moment = monotonic()
        ran, longest = 0, 0.0
        while not self.child.stopping and (claim := self.batch.take()) is not None:
            self.runner.run(claim)
            if self.by_rq.pending and len(self.batch):
                self.finish_early()
            ended = monotonic()
            ran, longest, moment = ran + 1, max(longest, ended - moment), ended
        self._performed += ran
        self.prefetch.learn(ran, moment - begun, longest)

    def finish_early(self) -> None:
        """Let RQ's code finish a job before the rest of its batch runs; with Redis away it waits for the exchange."""
        try:
            self.by_rq.settle()
        except (RedisError, OSError):
            self.doubt()

    def perform_with_crew(self, crew: Crew, claims: list[Claim]) -> None:
        """Give claims to the threads. A suspect runs alone, so that a death has one possible cause."""
        self._performed += len(claims)
        self._suspect_runs = any(b"suspect" in claim.fields for claim in claims)
        crew.submit(claims)
        self.minder.wake()

    def wait_with_crew(self, crew: Crew) -> None:
        """Sleep until a thread is done or, if one is free, until there may be more to claim."""
        if self.want() and not self._burst:
            self.seat.wait_for_work(SAFETY_POLL_SECONDS, self._tick_idle, [crew.fileno()])
        else:
            self._tick_idle()
            self.child.wait(PAUSE_SECONDS, [crew.fileno()])
        crew.answer()

    def wait(self, *, paused: bool) -> None:
        """Sleep until there may be something to do."""
        if paused or self.seat.quiet:
            self._tick_idle()
            self.child.wait(PAUSE_SECONDS)
            return
        timeout = SAFETY_POLL_SECONDS if self._max_idle is None else min(SAFETY_POLL_SECONDS, self._max_idle)
        try:
            if self.watch is None or not self.seat.take_watch():
                self.seat.wait_for_work(timeout, self._tick_idle)
            if self.watch is not None and self.seat.take_watch():
                self.keep_watch(self.watch, timeout)
        except (RedisError, OSError) as error:
            self.ride_out(error)

    def keep_watch(self, watch: Watch, timeout: float) -> None:
        """Wait for jobs with a claim that stands ready, and run what it brings."""
        exchange = Exchange()
        try:
            watch.begin(self.want(), timeout)
            self.slot.watch_since = monotonic()
            while not self.child.stopping and not self.seat.quiet:
                self._tick_idle()
                if self.child.wait(TICK_SECONDS, [watch.fileno()]) and watch.answered():
                    exchange = watch.finish()
                    self.slot.claimed_at = monotonic()
                    break
                watch.overdue()
        finally:
            self.slot.watch_since = 0.0
            if watch.abandon():
                self.doubt()
        self.seat.pass_watch()
        self.took(exchange)
        if exchange.claims:
            self.perform(exchange.claims)

    def ride_out(self, error: BaseException) -> None:
        """Note trouble with Redis, drop idle connections and sleep before the next try. What is done is kept."""
        self.doubt()
        self.outage.note(error)
        # After silence none of them says by itself that it is dead.
        self.connection.connection_pool.disconnect(inuse_connections=False)
        if not self.child.stopping:
            self.slot.tick(State.CONNECTING)
            self.child.wait(self.outage.delay())

    # -- claims that we may have without knowing, or no longer have ------------------------------------------------

    def doubt(self) -> None:
        """Note that the server may hold claims in our name that are not in our hands: a reply was lost."""
        self._uncertain = True

    def recover(self) -> None:
        """Release claims in our name that we do not hold: a predecessor's, or those of a reply that was lost."""
        self._uncertain = False
        holding = {outcome.claim.execution_id for outcome in self.runner.done} | self.by_rq.executions()
        if self.crew is not None:
            holding |= self.crew.executions()
        try:
            left = self.claims.recover(self._predecessors_job, holding)
            self.register()
        except (RedisError, OSError):
            self._uncertain = True
            raise
        if left.released or left.running:
            log.warning("claims.recovered", released=left.released, running=len(left.running))
        self._predecessors_job = ""
        for claim in left.running:
            self.hand_on(claim)

    def hand_on(self, claim: Claim) -> None:
        """Decide about the job under which our predecessor died."""
        status, reason = self.slot.exit_status, self.slot.exit_reason.decode()
        job, policy = self.runner.restore_quietly(claim)
        moment = monotonic()
        outcome: Outcome
        if reason == "ordered" and job is not None:
            self.slot.order = Order.NONE
            log.warning("job.stopped", job_id=claim.job_id, queue=claim.origin, how="with its process")
            self.by_rq.add(job, claim, moment, stopped=True)
            return
        if reason == "timeout" and job is not None:
            outcome = self.deciding.failure(job, claim, queue.timed_out(job.timeout), policy, moment, moment)
        else:
            how = "stuck and was killed" if reason else explain(status)
            if reason == OUT_OF_MEMORY:
                how = explain_out_of_memory(oom.limit_bytes())
            outcome = self.deciding.crash(claim, how, moment, job)
        log.error("job.rescued", job_id=claim.job_id, queue=claim.origin, how=reason or explain(status))
        self.runner.note(outcome, job, None)

    @property
    def burdened(self) -> bool:
        """Whether the running job keeps others waiting: its neighbours, or whoever wants the results before it."""
        if self.crew is not None:
            return bool(len(self.batch))  # the main thread settles
        return bool(len(self.batch) or self.runner.done or self.by_rq.pending_beside_job)

    def unburden(self) -> None:
        """Release what has not begun and settle what is done, while the running job goes on (minder thread)."""
        with self.batch.lock:
            claims = self.batch.take_all()
            if claims:
                self.claims.release(claims)
            if self.crew is not None:
                self.crew.forget(claims)
                self.prefetch.distrust()
                return
            self.settle()
            self.by_rq.settle_beside_job()

    def beat(self) -> None:
        """Keep our own record and claims alive (minder thread of a lone consumer)."""
        if self.claims.heartbeat([self.name]):
            self.register()

    def _not_taken(self, sent: list[Outcome], exchange: Exchange) -> None:
        by_execution = {outcome.claim.execution_id: outcome for outcome in sent}
        for execution_id in exchange.fenced:
            outcome = by_execution[execution_id]
            kind = type(outcome).__name__.lower()
            log.warning("job.outcome_dropped", job_id=outcome.claim.job_id, outcome=kind)
        for execution_id in exchange.unsettled:
            outcome = by_execution[execution_id]
            job, result = outcome.notes
            if isinstance(outcome, Finished):
                self.by_rq.add(job, outcome.claim, outcome.started, value=result)
            else:
                self.by_rq.add(job, outcome.claim, outcome.started, error=result, outcome=outcome)

    # -- coming and going ------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        self.seat = self._given_seat or Alone(self._make_doorbell)
        self.slot, self.child = self.seat.slot, self.seat.child
        self._predecessors_job = self._job_of_predecessor()
        self.slot.job_id = self.slot.execution_id = b""
        self.slot.tick(State.CONNECTING)
        random.seed()
        self._performed = 0
        self._uncertain = True
        self.outage = Outage(self.seat.redis_edge, reports=self._given_seat is None)
        self.runner = Runner(
            self.settings,
            self.connection,
            deciding=self.deciding,
            by_rq=self.by_rq,
            slot=self.slot,
            station=lambda: self.station,
        )
        threads = self.settings.worker_threads
        # With another strategy the order of the queues changes after each job.
        most = MOST if self._dequeue_strategy == DequeueStrategy.DEFAULT else 1
        self.prefetch = Prefetch(most, hands=threads)
        self.crew: Crew | None = None
        if threads > 1:
            self.crew = Crew(threads, self.batch, self.runner.run, self.slot, lambda: self.child.stopping)
        self.station: Station = self.crew or MainStation(self.slot, self.child)
        self.watch = Watch(self.claims) if consumers_watch(len(self.claims.queues), threads) else None
        self.minder = Minder(self, beats=self._given_seat is None)
        if self._given_seat is None:
            self.subscribe()

    def _leave(self) -> None:
        """Hand everything back, say goodbye."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)  # a hard stop may have cut a guard's end short
        self.minder.close()
        self.slot.tick(State.DRAINING)
        if self.crew is not None:
            self.drain(self.crew)
        self.give_up()
        while True:
            try:
                self.hand_back()
                self.register_death()
                break
            except (RedisError, OSError) as error:
                self.doubt()
                self.outage.note(error)
                if monotonic() >= self.seat.deadline:
                    log.error("consumer.left_behind", outcomes=len(self.runner.done), claims=len(self.batch))  # noqa: TRY400
                    break
                self.slot.tick(State.DRAINING)
                self.child.wait(self.outage.delay())
        if self.scheduler:
            self.stop_scheduler()
        self.unsubscribe()
        self.seat.close()

    def drain(self, crew: Crew) -> None:
        """Let the crew finish; a hard stop interrupts it, and what runs even after that is handed back all the same."""
        until = float("inf")
        while crew.running and monotonic() < until:
            if self.child.hard and until == float("inf"):
                crew.interrupt()
                until = monotonic() + INTERRUPT_SECONDS
            crew.expire()
            self.slot.tick(State.DRAINING)
            self.child.wait(0.2, [crew.fileno()])
            crew.answer()
            try:
                self.by_rq.settle()
                self.settle()
            except (RedisError, OSError) as error:
                self.doubt()
                self.outage.note(error)
        self.runner.interrupted += crew.begun()
        crew.close()

    def give_up(self) -> None:
        """Bury those interrupted jobs that stops have interrupted too often."""
        kept = []
        for claim in self.runner.interrupted:
            job, _ = self.runner.restore_quietly(claim)
            letter = self.deciding.handed_back(claim, monotonic(), job)
            if letter is None:
                kept.append(claim)
            else:
                self.runner.note(letter, job, None)
        self.runner.interrupted = kept

    def hand_back(self) -> None:
        """Settle what is done, release what is not."""
        self.by_rq.settle()
        self.settle()
        self.by_rq.settle()
        interrupted = frozenset(claim.execution_id for claim in self.runner.interrupted)
        claims = [*self.runner.interrupted, *self.batch.all()]
        claims.sort(key=lambda claim: claim.execution_id)
        lost = self.claims.release(claims, interrupted=interrupted)
        if self._uncertain:
            self.claims.recover("")
        if claims:
            log.info("claims.released", jobs=len(claims) - len(lost), interrupted=len(interrupted))

    def register(self) -> None:
        """Write our own record, as RQ's `register_birth` does but over whatever a predecessor left."""
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._set_ip_address(self.connection)
        self.birth_date = self.last_heartbeat = now()
        with self.connection.pipeline() as pipeline:
            pipeline.hdel(self.key, "death", "shutdown_requested_date")
            about = {"memory_mb": round(resident_mb()), "release": self.settings.release or ""}  # for people
            record = {**self.serialize(), **about, "state": "started", "fence": self.claims.fence}
            pipeline.hset(self.key, mapping=record)
            worker_registration.register(self, pipeline)
            pipeline.expire(self.key, self.claims.busy_ttl)
            pipeline.execute()

    def handle_payload(self, message: dict[str, Any]) -> None:
        """Obey one of RQ's commands (pub/sub thread of a lone consumer)."""
        orders.obey(self.slot, orders.read(message), os.getpid())

    def _set_connection(self, connection: Redis) -> Redis:
        """Leave the connection as it is: nothing here blocks on it, so short socket timeouts are right."""
        return connection

    def _make_doorbell(self) -> Doorbell:
        return Doorbell(lambda: queue.clone(self.connection), RQ_KEY_PREFIX, self.queue_names())

    def _job_of_predecessor(self) -> str:
        """Return the execution that ran when the last child of this slot died; "?" when it may be any of several."""
        execution = self.slot.execution_id.decode()
        if execution and self.settings.worker_threads > 1 and self.slot.exit_reason != b"timeout":
            return "?"
        return execution

    def _reorder(self, served: str) -> None:
        """Apply RQ's dequeue strategies, which change the order of the queues after each job."""
        names = list(self.claims.queues)
        if self._dequeue_strategy == DequeueStrategy.ROUND_ROBIN:
            at = names.index(served) + 1
            names = names[at:] + names[:at]
        elif self._dequeue_strategy == DequeueStrategy.RANDOM:
            random.shuffle(names)
        else:
            return
        self.claims.queues = tuple(names)

    def _tick_idle(self) -> None:
        self.slot.tick(State.WAITING)

    def _idle_for_too_long(self) -> bool:
        return self._max_idle is not None and monotonic() - self._idle_since >= self._max_idle


def resident_mb() -> float:
    """Return this process's resident memory in MB (Linux's /proc; 0 where there is none)."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except FileNotFoundError:
        return 0.0


def main(
    settings: Settings, scoreboard: Scoreboard, bell: Bell, hail: Bell, watch: WatchLock | None, name: str, slot: Slot
) -> int:
    """Run the consumer of `slot` until it is told to stop."""
    seat = Supervised(scoreboard, slot, bell, hail, watch)
    slot.worker_name = name.encode()
    hail.ring()  # the dispatcher listens for RQ's commands to this name from now on
    sentry.init(settings, "consumer")
    consumer = Consumer(
        list(settings.worker_queues),
        name=name,
        connection=queue.build_client(settings, client_name=name, max_connections=5 + settings.worker_threads),
        prepare_for_work=False,
        seat=seat,
        settings=settings,
    )
    consumer.work(max_jobs=settings.worker_max_jobs or None)
    sentry.flush(2.0)
    return Exit.OK
