"""How a consumer ends: what runs may finish, what is done is settled, and everything else goes back to its queue."""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from worker import logs
from worker.consumer.threads import Crew
from worker.process.slot import State

if TYPE_CHECKING:
    from worker.consumer import Consumer

log = logs.get_logger()

#: From the interruption of crew threads to the end of the process.
INTERRUPT_SECONDS: Final = 1.0


def leave(consumer: Consumer) -> None:
    """Hand everything back, say goodbye."""
    signal.setitimer(signal.ITIMER_REAL, 0.0)  # a hard stop may have cut a guard's end short
    consumer.minder.close()
    consumer.slot.tick(State.DRAINING)
    if consumer.crew is not None:
        _drain(consumer, consumer.crew)
    _give_up(consumer)
    while True:
        try:
            _hand_back(consumer)
            consumer.register_death()
            break
        except (RedisError, OSError) as error:
            consumer.recovery.doubt()
            consumer.outage.note(error)
            if monotonic() >= consumer.seat.deadline:
                log.error("consumer.left_behind", outcomes=len(consumer.runner.done), claims=len(consumer.batch))  # noqa: TRY400
                break
            consumer.slot.tick(State.DRAINING)
            consumer.child.wait(consumer.outage.delay())
    if consumer.scheduler:
        consumer.stop_scheduler()
    consumer.unsubscribe()
    consumer.seat.close()


def _drain(consumer: Consumer, crew: Crew) -> None:
    """Let the crew finish; a hard stop interrupts it, and what runs even after that is handed back all the same."""
    until = float("inf")
    while crew.running and monotonic() < until:
        if consumer.child.hard and until == float("inf"):
            crew.interrupt()
            until = monotonic() + INTERRUPT_SECONDS
        crew.expire()
        consumer.slot.tick(State.DRAINING)
        consumer.child.wait(0.2, [crew.fileno()])
        crew.answer()
        try:
            consumer.by_rq.settle()
            consumer.settle()
        except (RedisError, OSError) as error:
            consumer.recovery.doubt()
            consumer.outage.note(error)
    consumer.runner.interrupted += crew.begun()
    crew.close()


def _give_up(consumer: Consumer) -> None:
    """Bury those interrupted jobs that stops have interrupted too often."""
    kept = []
    for claim in consumer.runner.interrupted:
        job, _ = consumer.runner.restore_quietly(claim)
        letter = consumer.deciding.handed_back(claim, monotonic(), job)
        if letter is None:
            kept.append(claim)
        else:
            consumer.runner.note(letter, job, None)
    consumer.runner.interrupted = kept


def _hand_back(consumer: Consumer) -> None:
    """Settle what is done, release what is not."""
    consumer.by_rq.settle()
    consumer.settle()
    consumer.by_rq.settle()
    interrupted = frozenset(claim.execution_id for claim in consumer.runner.interrupted)
    claims = [*consumer.runner.interrupted, *consumer.batch.all()]
    claims.sort(key=lambda claim: claim.execution_id)
    lost = consumer.claims.release(claims, interrupted=interrupted)
    if consumer.recovery.uncertain:
        consumer.claims.recover("")
    if claims:
        log.info("claims.released", jobs=len(claims) - len(lost), interrupted=len(interrupted))
