"""A consumer's second thread: it does what cannot wait for the running job to end.

It gives the neighbours of a long job back, settles what is done, looks for claims that the consumer does not know of,
and ends in other threads what is past its timeout there. For a consumer that runs without an instance it sends the
heartbeats and keeps RQ's registries in order. It sleeps while there is nothing of that to do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

from rq.worker import BaseWorker

from worker import logs
from worker.consumer.callback_threads import CallbackThreads
from worker.consumer.exchanger import Exchanger
from worker.consumer.in_flight import InFlight
from worker.consumer.prefetch import PATIENCE_SECONDS, Prefetch
from worker.consumer.rq_finish import RqFinish
from worker.consumer.rq_record import RqRecord
from worker.consumer.threads import ThreadPool
from worker.engine import registries
from worker.engine.claims import Claims
from worker.engine.leases import heartbeat
from worker.process import signals
from worker.process.slot import Slot
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: How often it looks whether a job keeps its neighbours waiting.
LOOK_SECONDS: Final = PATIENCE_SECONDS / 2
#: Pause after trouble with Redis: the main thread meets it, and names it, when its job has ended.
REST_SECONDS: Final = 1.0
#: A consumer without an instance sends a heartbeat this often.
HEARTBEAT_SECONDS: Final = 10.0


class Housekeeper:
    """The second thread of one consumer."""

    def __init__(
        self,
        exchanger: Exchanger,
        in_flight: InFlight,
        rq: RqFinish,
        slot: Slot,
        *,
        prefetch: Prefetch,
        threads: ThreadPool | None,
        callbacks: CallbackThreads | None,
        upkeep: Upkeep | None,
    ) -> None:
        self._exchanger = exchanger
        self._in_flight = in_flight
        self._rq = rq
        self._slot = slot
        self._prefetch = prefetch
        self._threads = threads
        self._callbacks = callbacks
        self._upkeep = upkeep
        self._sleep_seconds = min(exchanger.check.seconds, float("inf") if upkeep is None else upkeep.seconds)
        self._rest_until = 0.0
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        with signals.blocked_in_threads():
            self._thread.start()

    def wake(self) -> None:
        """Let it look: there is something to do."""
        self._wanted.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        if self._upkeep is not None:
            self._upkeep.closed = True
        self._wanted.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._closed:
            if self._upkeep is not None:
                for duty in self._upkeep.due():
                    self._trying(duty)
            if self._wanted.wait(self._sleep_seconds):
                time.sleep(LOOK_SECONDS)
            if self._threads is not None:
                self._threads.expire()
                self._threads.obey()
            if self._callbacks is not None:
                self._callbacks.expire()
            if self._patience_is_over():
                self._trying(self._unburden)
            if self._threads is None and self._exchanger.check.is_due:  # with threads the main thread is free to look
                self._trying(partial(self._exchanger.run_check, beside_job=True))
            if not self._needed():
                self._wanted.clear()
                if self._needed():  # it came between the look and the clear
                    self._wanted.set()

    def _needed(self) -> bool:
        beside = len(self._in_flight) if self._threads is not None else len(self._in_flight.in_callbacks)
        return self._burdened() or beside > 0 or self._closed

    def _burdened(self) -> bool:
        """Whether the running job keeps others waiting: its neighbours, or whoever wants the results before it."""
        if self._threads is not None:
            return bool(self._in_flight.waiting)  # the main thread settles
        return bool(self._in_flight.waiting or self._in_flight.done or self._rq.pending_beside_job)

    def _patience_is_over(self) -> bool:
        now = monotonic()
        long = self._slot.job_id and now - self._in_flight.moved_at > PATIENCE_SECONDS
        return bool(long and self._burdened() and now >= self._rest_until)

    def _unburden(self) -> None:
        """Release what has not begun and settle what is done, while the running job goes on."""
        with self._in_flight.giving_back() as claims:
            if claims:
                self._exchanger.release(claims)
        if self._threads is not None:
            self._prefetch.distrust()
            return
        self._exchanger.settle()
        self._rq.settle_beside_job()

    def _trying(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except RedisTrouble:  # the main thread meets it, and names it, after its job
            self._rest_until = monotonic() + REST_SECONDS
            self._exchanger.doubt()
        except Exception:  # a fault of ours, which must not end the thread
            self._rest_until = monotonic() + REST_SECONDS
            log.exception("housekeeper.failed")


def heartbeat_seconds(worker: BaseWorker) -> float:
    """Return how far the heartbeats of a consumer without an instance are apart."""
    return float(min(HEARTBEAT_SECONDS, worker.job_monitoring_interval))


class Upkeep:
    """What a consumer without an instance does for itself: heartbeats, and RQ's registries."""

    def __init__(self, worker: BaseWorker, claims: Claims, record: RqRecord, slot: Slot) -> None:
        self._worker = worker
        self._slot = slot
        self._claims = claims
        self._record = record
        self._beat_seconds = heartbeat_seconds(worker)
        self._beat_due = monotonic() + self._beat_seconds
        self._maintain_due = 0.0
        self.seconds = self._beat_seconds / 2  #: how often to look what is due
        self.closed = False  #: True: a pass over the registries ends after its step

    def due(self) -> list[Callable[[], None]]:
        """Return what must be done now."""
        now = monotonic()
        duties: list[Callable[[], None]] = []
        if now >= self._maintain_due:
            self._maintain_due = now + self._worker.maintenance_interval
            duties.append(self._maintain)
        if now >= self._beat_due:
            self._beat_due = now + self._beat_seconds
            duties.append(self._beat)
        return duties

    def _beat(self) -> None:
        """Keep the consumer's own record and claims alive."""
        if heartbeat(self._claims, [self._worker.name]):
            self._record.write()
        self._slot.beaten_at = monotonic()

    def _maintain(self) -> None:
        for _ in registries.steps(self._claims):
            if self.closed:
                return
