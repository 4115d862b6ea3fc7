"""The consumer: claims jobs, runs them, settles them.

Its loop is: exchange with the server (settle what is done, claim what is next, in one round trip), wait when there was
nothing, perform what was claimed. Running one job is in ``runner.py``; what the consumer holds is in ``in_flight.py``.

`Consumer` is an `rq.worker.BaseWorker`: ``rq worker -w worker.consumer.Consumer high default`` and
``Consumer(queues, connection=r).work(burst=True, max_jobs=5)`` work like RQ's own workers, without a supervisor.
"""

from __future__ import annotations

import os
import random
import threading
from datetime import datetime
from time import monotonic
from typing import Any

import structlog
from redis import Redis
from redis.client import Pipeline
from rq.defaults import RQ_KEY_PREFIX
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.registry import StartedJobRegistry
from rq.worker import BaseWorker, DequeueStrategy

from worker import logs, queue, retry, sentry
from worker.consumer import lifecycle
from worker.consumer.accounts import Accounts
from worker.consumer.aftermath import Aftermath, NoAftermath
from worker.consumer.callback_threads import MOST_CALLBACKS, CallbackThreads
from worker.consumer.cannot_serve import CannotServe, check_memory_limit
from worker.consumer.claim_ahead import BlockingClaim
from worker.consumer.claim_check import ClaimCheck
from worker.consumer.exchanger import Exchanger, Predecessor
from worker.consumer.forked_job import ForkedJobs, ForksParts
from worker.consumer.heard import Heard
from worker.consumer.housekeeper import Housekeeper, Upkeep, heartbeat_seconds
from worker.consumer.in_flight import InFlight
from worker.consumer.journal_store import JournalStores
from worker.consumer.lease_keeper import LeaseKeeper
from worker.consumer.main_thread import JobTimeout, MainThread
from worker.consumer.prefetch import MOST, Prefetch
from worker.consumer.refusals import Refusals
from worker.consumer.rq_ending import RqEnding
from worker.consumer.rq_finish import RqFinish, Shown
from worker.consumer.rq_record import RqRecord
from worker.consumer.runner import Runner
from worker.consumer.shutdown import Shutdown
from worker.consumer.supervision import Standalone, Supervised, Supervision
from worker.consumer.tally import Counting
from worker.consumer.threads import BesideThreads, ThreadPool
from worker.consumer.waiting import Waiting
from worker.context import ConsumerContext
from worker.engine import job_modules, rate_limits, rq_private
from worker.engine.claims import Claims
from worker.engine.errands import Errands
from worker.engine.outcomes import TRACEBACK_CHARACTERS, Decider
from worker.engine.payload import Payloads
from worker.engine.records import Claim, ClaimReply
from worker.engine.rq_commands import RqCommands
from worker.exits import Exit
from worker.process.claim_turn import ClaimTurn, consumers_block
from worker.process.memory import resident_mb
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot, State
from worker.process.wakeup import Wakeup
from worker.redis.calls import ScriptCalls
from worker.redis.client import Client
from worker.redis.doorbell import Doorbell
from worker.redis.outage import Outage
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.settings.load import settings_of_environment
from worker.text import bounded

log = logs.get_logger()


class Consumer(BaseWorker):  # type: ignore[misc]  # rq is untyped here
    """One consumer; see the module. `supervision` is None when it runs alone. Other arguments are `BaseWorker`'s.

    What works (which excludes what ``Consumer.all()`` returns) has connections of its own, whatever `connection` it is
    given: a client that repeats a command by itself would claim jobs that nobody knows of.
    """

    connection: Redis
    waiting: Waiting
    housekeeper: Housekeeper
    _given_connection: Redis
    death_penalty_class: Any = JobTimeout  #: with threads something that is called like one

    def __init__(
        self, *args: Any, supervision: Supervision | None = None, settings: Settings | None = None, **kwargs: Any
    ) -> None:
        self._stopped = threading.local()
        self._will_work = kwargs.get("prepare_for_work", True) or supervision is not None
        super().__init__(*args, **kwargs)
        self.settings = settings or settings_of_environment()
        self._given_supervision = supervision
        letters = self.settings.dead_letter_queue
        self.claims = self._make_claims()
        self.decider = Decider(
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
            max_result_bytes=self.settings.worker_max_result_bytes,
            now=self._now,
        )
        self._burst = False
        self._max_jobs: int | None = None
        self._max_idle: int | None = None
        self._dequeue_strategy = DequeueStrategy.DEFAULT

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
        rq_private.use_clock(self._now)
        rate_limits.mend()
        try:
            if with_scheduler:
                self._start_rqs_scheduler(burst=burst, logging_level=logging_level)
            self._loop()
        finally:
            self._leave()
            rq_private.use_clock(None)
        return self._performed > 0

    def _loop(self) -> None:
        while not self.finished():
            try:
                reply = self.exchanger.settle_and_claim(self.capacity())
                if not reply.claims:
                    if self.has_nothing_left(reply):
                        break
                    reply = self.waiting.next(reply)
            except RedisTrouble as trouble:
                self.wait_out_outage(trouble)
                continue
            self.perform(reply.claims)

    # -- the verbs of the loop ---------------------------------------------------------------------------------------

    def finished(self) -> bool:
        """Whether the loop must end: a stop, or a worn-out consumer."""
        if self.child.stopping or (self._max_jobs is not None and self._performed >= self._max_jobs):
            return True
        limit = self.settings.worker_max_memory_mb
        return limit > 0 and self._performed > 0 and resident_mb(os.getpid()) > limit

    def capacity(self) -> int:
        """Return how many jobs to claim now."""
        if self.supervision.quiet or self.child.stopping or self.errands.full:
            return 0
        if self.callbacks is not None and self.callbacks.full:
            return 0
        if self.threads is None:
            most = self.prefetch.want
        else:
            if seconds := self.threads.tally():
                self.prefetch.learn(len(seconds), sum(seconds), max(seconds))
            held = len(self.in_flight)
            most = 0 if self._suspect_runs and held else max(self.threads.size, self.prefetch.want) - held
        return max(0, most if self._max_jobs is None else min(most, self._max_jobs - self._performed))

    def has_nothing_left(self, reply: ClaimReply) -> bool:
        """Whether a consumer that ends when the queues are empty, or after some idle time, has come there."""
        if not self.in_flight.empty or not self.errands.idle or not reply.registered or not reply.asked:
            return False
        return self._burst or (self._max_idle is not None and monotonic() - self._idle_since >= self._max_idle)

    def perform(self, claims: list[Claim]) -> None:
        """Run what was claimed, one after the other, until it is done, given away or a stop is asked."""
        if not claims:
            return
        self._idle_since = monotonic()
        self.waiting.won()
        self.claims.reorder_queues(claims[-1].queue, self._dequeue_strategy)
        if self.threads is not None:
            self._perform_with_threads(self.threads, claims)
            return
        self.in_flight.load(claims)
        if len(claims) > 1:
            self.housekeeper.wake()
        begun = moment = monotonic()
        ran, longest = 0, 0.0
        while not self.child.stopping and (claim := self.in_flight.begin()) is not None:
            self.runner.run(claim, self.main_thread)
            if self.in_flight.waiting and self.in_flight.endings:
                self._finish_early()
            ended = monotonic()
            ran, longest, moment = ran + 1, max(longest, ended - moment), ended
        self._performed += ran
        self.prefetch.learn(ran, moment - begun, longest)

    def wait_out_outage(self, trouble: RedisTrouble) -> None:
        """Note trouble with Redis, drop idle connections and sleep before the next try. What is done is kept."""
        self.exchanger.doubt()
        self.outage.note(trouble)
        # After silence none of them says by itself that it is dead.
        self.connection.connection_pool.disconnect(inuse_connections=False)
        if not self.child.stopping:
            self.slot.tick(State.CONNECTING)
            self.child.wait(self.outage.delay())

    def _perform_with_threads(self, threads: ThreadPool, claims: list[Claim]) -> None:
        """Give claims to the threads. A suspect runs alone, so that a death has one possible cause."""
        self._performed += len(claims)
        self._suspect_runs = any(b"suspect" in claim.fields for claim in claims)
        threads.submit(claims)
        self.housekeeper.wake()

    def _run_in_thread(self, claim: Claim, thread: ThreadPool) -> None:
        """Run a job, and its callbacks, in a thread of the pool."""
        self.runner.run(claim, thread)
        self.rq.settle_own(thread)

    def _finish_early(self) -> None:
        """Let RQ's code finish a job before the rest of its batch runs; with Redis away it waits for the exchange."""
        try:
            self.rq.settle()
        except RedisTrouble:
            self.exchanger.doubt()

    # -- coming and going --------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        """Make the parts; each gets what it needs of the others, and none gets the consumer."""
        if self.connection is self._given_connection:
            self.connection = queue.clone(self._given_connection)
            self.claims = self._make_claims()
        queue.require_scripts(self.connection)
        alone = self._given_supervision is None
        self.supervision = self._given_supervision or Standalone(
            self._make_doorbell, self._make_commands, self._make_keeper
        )
        self.slot, self.child = self.supervision.slot, self.supervision.child
        self._start_hooks()  # before anything is taken for the state in which jobs find the process
        self.outage = Outage(self.supervision.redis_edge, reports=alone)
        self.in_flight = InFlight()
        self._performed, self._suspect_runs, self._idle_since = 0, False, monotonic()
        # With another strategy the order of the queues changes after each job.
        most = MOST if self._dequeue_strategy == DequeueStrategy.DEFAULT else 1
        self.prefetch = Prefetch(most, hands=self.settings.worker_threads)
        size = self.settings.worker_threads
        self.threads: ThreadPool | None = None
        self.aftermath = Aftermath(self.child, self._renew_descriptors, threads=size)
        self.callbacks: CallbackThreads | None = None
        self.errands = Errands(self.slot.note_errands)
        self._make_roads()
        self.slot.job_id = self.slot.execution_id = b""
        self.slot.tick(State.CONNECTING)
        random.seed()
        self.main_thread = MainThread(self.slot, self.child, self.aftermath)
        if size > 1:
            self.threads = ThreadPool(
                size, self.in_flight, self._run_in_thread, self.slot, lambda: self.child.stopping, self.aftermath
            )
            self.death_penalty_class = self.threads.limit
        elif not self._burst:  # in a burst, of tests perhaps, all code runs in one thread, one job after the other
            self.callbacks = self.rq.beside = CallbackThreads(self.in_flight, self.slot, self.aftermath)
            self.death_penalty_class = self.callbacks.limit
        ahead = BlockingClaim(self.claims) if consumers_block(len(self.claims.queues), size) else None
        self.waiting = Waiting(
            self.exchanger,
            self.supervision,
            self.in_flight,
            self.capacity,
            threads=self.threads,
            callbacks=self.callbacks,
            blocking_claim=ahead,
            errands=self.errands,
            burst=self._burst,
            heard=self.heard,
            longest=self._max_idle,
        )
        self.housekeeper = Housekeeper(
            self.exchanger,
            self.in_flight,
            self.rq,
            self.slot,
            prefetch=self.prefetch,
            threads=self.threads,
            callbacks=self.callbacks,
            upkeep=Upkeep(self, self.claims, self.record, self.slot) if alone else None,
        )
        if self.callbacks is not None:
            self.callbacks.on_long = self.housekeeper.wake  # which ends those that are past their timeout

    def _start_hooks(self) -> None:
        """Let the job packages open what they need; raises `CannotServe`."""
        settings = self.settings
        seen = ConsumerContext(self.name, tuple(self.queue_names()), settings.worker_threads)
        try:
            hooks = lifecycle.load(settings.worker_job_modules)
            self.hooks = lifecycle.Lifecycle(hooks, seen, self.child, settings.worker_shutdown_grace)
            self.hooks.start()
            try:
                check_memory_limit(settings.worker_max_memory_mb)
            except CannotServe:
                self.hooks.stop()
                raise
        except CannotServe:
            self.supervision.close()
            raise

    def _recycle(self, job_id: str) -> None:
        """End after a job that has asked for a fresh process."""
        if not self.child.stopping:
            log.info("consumer.recycled", job_id=job_id)
        self.child.retire()

    def _now(self) -> datetime:
        """Return the server's time."""
        return self.claims.clock.today()

    def _make_roads(self) -> None:
        """Make what a claim goes through: runner, RQ's finishing code, exchange with the server."""
        claims, decider, in_flight, slot = self.claims, self.decider, self.in_flight, self.slot
        self.payloads = Payloads.of(self.settings, self.errands)
        self.heard = Heard(self.supervision)
        self.counting = Counting(claims, self.settings.release, self.settings.worker_history_interval)
        self.accounts = accounts = Accounts(slot, in_flight, self.counting)
        self.record = RqRecord(self, claims, self.settings)
        shown = BesideThreads(slot) if self.settings.worker_threads > 1 else slot
        pooled = self.settings.worker_threads > 1
        self._ending, self.rq = self._make_rq(in_flight, accounts, shown, self.aftermath, pooled=pooled)
        forked = ForkedJobs(
            self._forks_parts(),
            in_flight=in_flight,
            decider=decider,
            accounts=accounts,
            slot=slot,
            child=self.child,
            secrets_kept=self.settings.worker_job_secrets,
        )
        self.runner = self._make_runner(self.connection, in_flight, self.rq, accounts, forked)
        predecessor = Predecessor(
            slot,
            self.connection,
            payloads=self.payloads,
            decider=decider,
            in_flight=in_flight,
            accounts=accounts,
            shown=shown,
            threads=self.settings.worker_threads,
        )
        self.exchanger = Exchanger(
            claims,
            in_flight,
            self.rq,
            self.record,
            supervision=self.supervision,
            outage=self.outage,
            predecessor=predecessor,
            refusals=Refusals(claims, in_flight, decider, accounts, slot),
            heard=self.heard,
            check=ClaimCheck(claims, in_flight, self.settings.pace.claim_check),
        )

    def _renew_descriptors(self) -> None:
        """Have pipes and connections of our own again: a job has closed them."""
        self.supervision.renew()
        for threads in filter(None, (self.threads, self.callbacks)):
            threads.renew()
        self.errands.renew()
        queue.abandon_connections()

    def _make_rq(
        self, in_flight: InFlight, accounts: Accounts, shown: Shown, aftermath: Aftermath, *, pooled: bool = False
    ) -> tuple[RqEnding, RqFinish]:
        claims, decider = self.claims, self.decider
        ending = RqEnding(
            self,
            claims,
            decider,
            accounts=accounts,
            errands=self.errands,
            note_scheduled=self.supervision.note_scheduled,
        )
        return ending, RqFinish(
            self,
            claims,
            decider,
            in_flight=in_flight,
            ending=ending,
            shown=shown,
            accounts=accounts,
            aftermath=aftermath,
            pooled=pooled,
        )

    def _make_runner(
        self, connection: Redis, in_flight: InFlight, rq: RqFinish, accounts: Accounts, forked: ForkedJobs | None
    ) -> Runner:
        journals = JournalStores(
            connection,
            self.claims.prefix,
            self.name,
            slot=self.slot,
            stopping=lambda: self.child.stopping,
            most_bytes=self.settings.worker_max_result_bytes,
        )
        return Runner(
            self.settings,
            connection,
            payloads=self.payloads,
            decider=self.decider,
            in_flight=in_flight,
            rq=rq,
            slot=self.slot,
            accounts=accounts,
            journals=journals,
            hooks=self.hooks,
            recycle=self._recycle,
            forked=forked,
        )

    def _forks_parts(self) -> ForksParts:
        """Make what forks of this consumer work with."""
        books, in_flight = Slot(), InFlight()
        accounts = Accounts(books, in_flight)
        ending, rq = self._make_rq(in_flight, accounts, books, NoAftermath())
        connection = self._forks_connection = queue.clone(self.connection)
        translated = Client.over(connection)
        runner = self._make_runner(connection, in_flight, rq, accounts, None)
        self._held = self.claims.redis  # or each fork would take it apart: dozens of pages of memory to be copied

        def enter(job: Job) -> None:
            self.connection, self.claims.redis, self._ending = connection, translated, ending
            job.connection = connection

        return ForksParts(runner.run, runner.journals, in_flight, rq, books, enter)

    def _leave(self) -> None:
        """Hand everything back and say goodbye."""
        self.aftermath.before_leaving()
        self.housekeeper.close()
        Shutdown(
            self.exchanger,
            self.in_flight,
            self.rq,
            self.record,
            self.supervision,
            self.outage,
            self.payloads,
            self.decider,
            self.accounts,
            self.threads or self.callbacks,
            self.errands,
            self.connection,
        ).run()
        if not self.outage.active:
            self.counting.close()
        self.hooks.stop()
        if self.scheduler:
            self.stop_scheduler()
        self.runner.close()
        self.supervision.close()
        queue.close(self._forks_connection)
        queue.close(self.connection)

    def _start_rqs_scheduler(self, *, burst: bool, logging_level: str | None) -> None:
        """Start RQ's scheduler on a client like the one that was given to us: its process relies on the retries."""
        own, self.connection = self.connection, self._given_connection
        try:
            rq_private.start_scheduler(self, burst=burst, logging_level=logging_level)
        finally:
            self.connection = own

    # -- what RQ calls -----------------------------------------------------------------------------------------------

    @property
    def _stopped_job_id(self) -> str | None:
        """The job that RQ's code ends as stopped: one in each thread, because threads end jobs side by side."""
        job_id: str | None = getattr(self._stopped, "job_id", None)
        return job_id

    @_stopped_job_id.setter
    def _stopped_job_id(self, job_id: str | None) -> None:
        self._stopped.job_id = job_id

    def increment_failed_job_count(self, pipeline: Pipeline | None = None) -> None:
        """Count a failure; RQ does so in the transaction that ends the job, so its dead letter goes there too."""
        super().increment_failed_job_count(pipeline)
        if pipeline is not None:
            self._ending.watch(pipeline)
            self._ending.dead_letter(pipeline)

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: StartedJobRegistry | None = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Record a failure as RQ does, with a bounded text: a callback may raise anything."""
        text = bounded(exc_string, TRACEBACK_CHARACTERS)
        super().handle_job_failure(job, queue, started_job_registry, text, execution)

    def increment_successful_job_count(self, pipeline: Pipeline | None = None) -> None:
        """Count a success; RQ does so in the transaction that ends the job, so its journal ends there too."""
        super().increment_successful_job_count(pipeline)
        if pipeline is not None:
            self._ending.drop_journal(pipeline)

    def _set_connection(self, connection: Redis) -> Redis:
        """Return the client to work with: one of our own; nothing blocks on it, so short socket timeouts are right."""
        self._given_connection = connection
        return queue.clone(connection) if self._will_work else connection

    def _make_claims(self) -> Claims:
        letters = self.settings.dead_letter_queue
        return Claims(self.connection, RQ_KEY_PREFIX, self.name, self.queue_names(), letters)

    def _make_doorbell(self) -> Doorbell:
        return Doorbell(lambda: queue.clone(self.connection, blocking=True), RQ_KEY_PREFIX, self.queue_names())

    def _make_keeper(self, slot: Slot) -> LeaseKeeper:
        def calls() -> ScriptCalls:
            return ScriptCalls(queue.clone(self.connection), RQ_KEY_PREFIX)

        return LeaseKeeper(slot, calls, self.name, heartbeat_seconds(self))

    def _make_commands(self, slot: Slot) -> RqCommands:
        slot.pid = os.getpid()
        return RqCommands(
            lambda: queue.clone(self.connection, blocking=True),
            self.claims.keys,
            lambda: {self.name: slot},
            self.settings.pace.command_ping,
        )


def main(
    settings: Settings,
    scoreboard: Scoreboard,
    wake_consumers: Wakeup,
    wake_dispatcher: Wakeup,
    turn: ClaimTurn | None,
    name: str,
    slot: Slot,
) -> int:
    """Run the consumer of `slot` until it must stop."""
    supervision = Supervised(scoreboard, slot, wake_consumers, wake_dispatcher, turn)
    slot.worker_name = name.encode()
    sentry.init(settings, "consumer")
    try:
        if settings.worker_preload == "false":
            job_modules.import_all(settings.worker_job_modules)
        consumer = Consumer(
            list(settings.worker_queues),
            name=name,
            connection=queue.build_client(
                settings, client_name=name, max_connections=5 + max(settings.worker_threads, MOST_CALLBACKS)
            ),
            prepare_for_work=False,
            supervision=supervision,
            settings=settings,
        )
        consumer.work(max_jobs=settings.worker_max_jobs or None)
    except (job_modules.BadJobModule, CannotServe) as error:
        log.critical("consumer.cannot_serve", error=str(error), exc_info=error.__cause__)
        return error.exit
    finally:
        sentry.flush(2.0)
    return Exit.OK
