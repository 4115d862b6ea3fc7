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
import threading
from time import monotonic
from typing import Any

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.worker import BaseWorker, DequeueStrategy

from worker import logs, queue, retry, sentry
from worker.consumer import shutdown
from worker.consumer.claim_ahead import Watch
from worker.consumer.exchanger import Recovery
from worker.consumer.housekeeper import Minder
from worker.consumer.in_flight import Batch
from worker.consumer.main_thread import Guard, MainStation, Station
from worker.consumer.prefetch import MOST, Prefetch
from worker.consumer.rq_finish import RqFinish
from worker.consumer.rq_queue_order import reordered
from worker.consumer.rq_record import register
from worker.consumer.runner import Runner
from worker.consumer.supervision import Alone, Seat, Supervised
from worker.consumer.threads import Crew
from worker.consumer.waiting import Waiting
from worker.engine.claims import Claims
from worker.engine.outcomes import Deciding
from worker.engine.records import Claim, Exchange, Retried
from worker.exits import Exit
from worker.process import orders, signals
from worker.process.claim_turn import ClaimTurn, consumers_block
from worker.process.memory import resident_mb
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot, State
from worker.process.wakeup import Wakeup
from worker.redis.doorbell import Doorbell
from worker.redis.outage import Outage
from worker.settings import Settings
from worker.settings.load import settings_of_environment

log = logs.get_logger()


class Consumer(BaseWorker):  # type: ignore[misc]  # rq is untyped here
    """One consumer; see the module. `seat` is None when it runs alone. Other arguments are `BaseWorker`'s."""

    death_penalty_class = Guard

    def __init__(self, *args: Any, seat: Seat | None = None, settings: Settings | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings or settings_of_environment()
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
        self.burst = False
        self._max_jobs: int | None = None
        self._max_idle: int | None = None
        self._dequeue_strategy = DequeueStrategy.DEFAULT
        self.prefetch = Prefetch()
        self.batch = Batch()
        self.by_rq = RqFinish(self)
        self._settling = threading.Lock()
        self._performed = 0
        self._suspect_runs = False

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
        self.burst, self._max_jobs, self._max_idle = burst, max_jobs, max_idle_time
        self._dequeue_strategy = dequeue_strategy
        if not structlog.is_configured():
            logs.configure(logging_level or "INFO", "console")
        self._enter()
        try:
            if with_scheduler:
                self._start_scheduler(burst, logging_level)
            self._loop()
        finally:
            shutdown.leave(self)
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
                self.waiting.with_crew(self.crew)
            elif self.runner.done or self.by_rq.pending or not exchange.registered:
                continue  # a thread has ended its job meanwhile, RQ must finish one, or the server did not know us
            elif self.burst or self._idle_for_too_long():
                break
            elif brought := self.waiting.for_jobs(paused=exchange.suspended):
                self.perform(brought)

    # -- the verbs of the loop -------------------------------------------------------------------------------------

    def finished(self) -> bool:
        """Whether the loop must end: a stop, or a worn-out consumer."""
        if self.child.stopping or (self._max_jobs is not None and self._performed >= self._max_jobs):
            return True
        limit = self.settings.worker_max_memory_mb
        return limit > 0 and self._performed > 0 and resident_mb(os.getpid()) > limit

    def exchange(self) -> Exchange:
        """Settle what is done and claim what is next."""
        self.slot.tick(State.CLAIMING)
        if self.recovery.uncertain:
            self.recovery.recover()
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
        if self.seat.rung and not exchange.claims and self.crew is None and self.seat.beaten():
            self.waiting.stand_back()
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
            self.by_rq.take_over(sent, exchange)
        return exchange

    def took(self, exchange: Exchange) -> None:
        """Note what the server said about us with a claim."""
        if not exchange.registered:
            register(self)
        if exchange.claims:
            self.claims.queues = reordered(self.claims.queues, exchange.claims[-1].queue, self._dequeue_strategy)
            self._idle_since = monotonic()
            self.waiting.won()

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
            self.recovery.doubt()

    def perform_with_crew(self, crew: Crew, claims: list[Claim]) -> None:
        """Give claims to the threads. A suspect runs alone, so that a death has one possible cause."""
        self._performed += len(claims)
        self._suspect_runs = any(b"suspect" in claim.fields for claim in claims)
        crew.submit(claims)
        self.minder.wake()

    def ride_out(self, error: BaseException) -> None:
        """Note trouble with Redis, drop idle connections and sleep before the next try. What is done is kept."""
        self.recovery.doubt()
        self.outage.note(error)
        # After silence none of them says by itself that it is dead.
        self.connection.connection_pool.disconnect(inuse_connections=False)
        if not self.child.stopping:
            self.slot.tick(State.CONNECTING)
            self.child.wait(self.outage.delay())

    # -- coming and going ------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        self.seat = self._given_seat or Alone(self._make_doorbell)
        self.slot, self.child = self.seat.slot, self.seat.child
        self.recovery = Recovery(self)
        self.slot.job_id = self.slot.execution_id = b""
        self.slot.tick(State.CONNECTING)
        random.seed()
        self._performed = 0
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
        watch = Watch(self.claims) if consumers_block(len(self.claims.queues), threads) else None
        self.waiting = Waiting(self, watch, self._max_idle)
        self.minder = Minder(self, beats=self._given_seat is None)
        if self._given_seat is None:
            with signals.blocked_in_threads():
                self.subscribe()

    def handle_payload(self, message: dict[str, Any]) -> None:
        """Obey one of RQ's commands (pub/sub thread of a lone consumer)."""
        orders.obey(self.slot, orders.read(message), os.getpid())

    def increment_failed_job_count(self, pipeline: Pipeline | None = None) -> None:
        """Count a failure; RQ does so in the transaction that ends the job, so its dead letter goes there too."""
        super().increment_failed_job_count(pipeline)
        if pipeline is not None:
            self.by_rq.fails(pipeline)

    def _set_connection(self, connection: Redis) -> Redis:
        """Leave the connection as it is: nothing here blocks on it, so short socket timeouts are right."""
        return connection

    def _make_doorbell(self) -> Doorbell:
        return Doorbell(lambda: queue.clone(self.connection), RQ_KEY_PREFIX, self.queue_names())

    def _idle_for_too_long(self) -> bool:
        return self._max_idle is not None and monotonic() - self._idle_since >= self._max_idle


def main(
    settings: Settings,
    scoreboard: Scoreboard,
    wake_consumers: Wakeup,
    wake_dispatcher: Wakeup,
    watch: ClaimTurn | None,
    name: str,
    slot: Slot,
) -> int:
    """Run the consumer of `slot` until it is told to stop."""
    seat = Supervised(scoreboard, slot, wake_consumers, wake_dispatcher, watch)
    slot.worker_name = name.encode()
    wake_dispatcher.send()  # the dispatcher listens for RQ's commands to this name from now on
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
