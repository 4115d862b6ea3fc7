"""A consumer's second thread: it looks after what cannot wait for the running job to end.

It gives the neighbours of a long job away and settles what is done, and ends crew jobs that are past their timeout. For
a consumer that runs without an instance it keeps the heartbeat, and RQ's registries in order. It sleeps while there is
nothing of that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from worker.consumer.prefetch import PATIENCE_SECONDS
from worker.consumer.rq_record import register
from worker.engine import registries
from worker.engine.leases import heartbeat
from worker.process import signals

if TYPE_CHECKING:
    from worker.consumer import Consumer

#: How often it looks whether a job keeps its neighbours waiting.
LOOK_SECONDS: Final = PATIENCE_SECONDS / 2
#: After trouble with Redis it does not try again for so long: the main thread does, when its job has ended.
REST_SECONDS: Final = 1.0
#: A consumer without an instance tells Redis this often that it lives.
HEARTBEAT_SECONDS: Final = 10.0


class Minder:
    """The second thread of `consumer`; `beats` says whether heartbeat and registries are its business."""

    def __init__(self, consumer: Consumer, *, beats: bool) -> None:
        self._consumer = consumer
        self._beats = beats
        self._beat_seconds = min(HEARTBEAT_SECONDS, consumer.job_monitoring_interval)
        self._beat_due = monotonic() + self._beat_seconds
        self._upkeep_due = 0.0
        self._rest_until = 0.0
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._mind, name="minder", daemon=True)
        with signals.blocked_in_threads():
            self._thread.start()

    def wake(self) -> None:
        """Say that there is something to look after."""
        self._wanted.set()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._wanted.set()
        self._thread.join(timeout=1.0)

    def _mind(self) -> None:
        while not self._closed:
            if self._beats and monotonic() >= self._upkeep_due:
                self._upkeep_due = monotonic() + self._consumer.maintenance_interval
                self._trying(self._maintain)
            if self._wanted.wait(self._beat_seconds / 2 if self._beats else None):
                time.sleep(LOOK_SECONDS)
            if self._beats and monotonic() >= self._beat_due:
                self._beat_due = monotonic() + self._beat_seconds
                self._trying(self._beat)
            if self._consumer.crew is not None:
                self._consumer.crew.expire()
                self._consumer.crew.obey()
            if self._patience_is_over():
                self._trying(self._unburden)
            if not self._needed():
                self._wanted.clear()
                if self._needed():  # it came between the look and the clear
                    self._wanted.set()

    def _needed(self) -> bool:
        crew = self._consumer.crew
        return self._burdened() or (crew is not None and crew.held > 0) or self._closed

    def _burdened(self) -> bool:
        """Whether the running job keeps others waiting: its neighbours, or whoever wants the results before it."""
        consumer = self._consumer
        if consumer.crew is not None:
            return bool(len(consumer.batch))  # the main thread settles
        return bool(len(consumer.batch) or consumer.runner.done or consumer.by_rq.pending_beside_job)

    def _patience_is_over(self) -> bool:
        now = monotonic()
        long = self._consumer.slot.job_id and now - self._consumer.batch.moved_at > PATIENCE_SECONDS
        return bool(long and self._burdened() and now >= self._rest_until)

    def _unburden(self) -> None:
        """Release what has not begun and settle what is done, while the running job goes on."""
        consumer = self._consumer
        with consumer.batch.lock:
            claims = consumer.batch.take_all()
            if claims:
                consumer.claims.release(claims)
            if consumer.crew is not None:
                consumer.crew.forget(claims)
                consumer.prefetch.distrust()
                return
            consumer.settle()
            consumer.by_rq.settle_beside_job()

    def _beat(self) -> None:
        """Keep the consumer's own record and claims alive."""
        if heartbeat(self._consumer.claims, [self._consumer.name]):
            register(self._consumer)

    def _maintain(self) -> None:
        for _ in registries.steps(self._consumer.claims):
            if self._closed:
                return

    def _trying(self, act: Callable[[], None]) -> None:
        """Do it; trouble with Redis is met, and named, by the main thread after its job."""
        try:
            act()
        except (RedisError, OSError):
            self._rest_until = monotonic() + REST_SECONDS
            self._consumer.recovery.doubt()
