"""How a consumer waits for work: one interface over two ways.

With one queue and one job at a time it claims ahead when it is its turn (``claim_ahead.py``): the job comes with the
answer. Otherwise it sleeps until it is woken (``supervision.py``) and claims then.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from worker import backoff
from worker.consumer.callback_threads import CallbackThreads
from worker.consumer.claim_ahead import BlockingClaim
from worker.consumer.exchanger import Exchanger
from worker.consumer.heard import Heard
from worker.consumer.in_flight import InFlight
from worker.consumer.supervision import SAFETY_POLL_SECONDS, TICK_SECONDS, Supervision
from worker.consumer.threads import ThreadPool
from worker.engine.errands import Errands
from worker.engine.records import ClaimReply
from worker.process.slot import Commands, State

#: A push wakes every instance that waits. One that comes too late leaves the queue to the others for a moment, which
#: doubles up to the cap: however many jobs come, an idle instance asks in vain about ten times a second at most. A
#: job that it gets takes back one doubling only, or those that get one now and then would come to every push again.
LATE_SECONDS: Final = 0.01
LATE_CAP_SECONDS: Final = 0.2
LATE_DOUBLINGS: Final = 6  #: after so many the cap is reached
#: While `rq suspend` or TSTP holds, or a queue cannot be claimed from.
PAUSE_SECONDS: Final = 1.0


class Waiting:
    """The waits of one consumer, each of `longest` seconds at most.

    `capacity` says how many jobs it may claim now. `threads` is its pool, if it has one, `callbacks` those beside its
    main thread, if it has them; `blocking_claim` is None where it does not claim ahead. In a `burst` it never waits for
    jobs: it ends when nothing is left.
    """

    def __init__(
        self,
        exchanger: Exchanger,
        supervision: Supervision,
        in_flight: InFlight,
        capacity: Callable[[], int],
        *,
        threads: ThreadPool | None,
        callbacks: CallbackThreads | None,
        blocking_claim: BlockingClaim | None,
        errands: Errands,
        burst: bool,
        heard: Heard,
        longest: float | None,
    ) -> None:
        self._exchanger = exchanger
        self._supervision = supervision
        self._in_flight = in_flight
        self._capacity = capacity
        self._threads = threads
        self._callbacks = callbacks
        self._blocking_claim = blocking_claim
        self._errands = errands
        self._burst = burst
        self._heard = heard
        self._slot = supervision.slot
        self._child = supervision.child
        self._longest = SAFETY_POLL_SECONDS if longest is None else min(SAFETY_POLL_SECONDS, longest)
        self._lost_races = 0

    def next(self, reply: ClaimReply) -> ClaimReply:
        """Sleep until there may be something to do; returns what a claim ahead has brought, or an empty reply.

        `reply` is the server's last one, which brought nothing. Raises `RedisTrouble`.
        """
        if reply.asked and self._supervision.woken:
            if self._threads is None and self._supervision.lost_race():
                self.stand_back()
            self._supervision.answered()
        if self._threads is not None and self._in_flight:
            self._for_threads(self._threads)
        elif self._errands.full or (self._burst and not self._errands.idle):
            self._tick()
            self._child.wait(PAUSE_SECONDS, [self._errands.fileno()])
            self._errands.answer()
        elif reply.suspended or reply.problem or self._supervision.quiet:
            self._tick()
            self._child.wait(PAUSE_SECONDS)
        elif self._callbacks is not None and self._callbacks.full and self._in_flight.only_callbacks:
            self._tick()
            self._child.wait(PAUSE_SECONDS, [self._callbacks.fileno()])
            self._callbacks.answer()
        elif self._burst or not self._in_flight.only_callbacks or not (reply.registered and reply.asked):
            pass  # something is left to settle, or was just now and another thread has done it; or ask again
        else:
            return self._for_jobs()
        return ClaimReply()

    def stand_back(self) -> None:
        """Leave the queue to others for a moment: they were faster."""
        self._lost_races = min(self._lost_races + 1, LATE_DOUBLINGS)
        self._tick()
        self._child.wait(backoff.full_jitter(self._lost_races, base=LATE_SECONDS, cap=LATE_CAP_SECONDS))

    def won(self) -> None:
        """Note that there was something to claim."""
        self._lost_races = max(self._lost_races - 1, 0)

    def _for_threads(self, threads: ThreadPool) -> None:
        """Sleep until a thread is done or, if one is free, until there may be more to claim."""
        if self._capacity():
            longest = self._longest_sleep(SAFETY_POLL_SECONDS)
            self._supervision.wait_for_work(longest, self._tick, [threads.fileno()])
        else:
            self._tick()
            self._child.wait(PAUSE_SECONDS, [threads.fileno()])
        threads.answer()

    def _for_jobs(self) -> ClaimReply:
        ahead = self._blocking_claim
        also = [] if self._callbacks is None else [self._callbacks.fileno()]
        if ahead is None or not self._supervision.take_turn():
            longest = self._longest_sleep(self._longest)
            until = monotonic() + longest
            self._supervision.wait_for_work(longest, self._tick, also)
            if self._callbacks is not None:
                self._callbacks.answer()
            if monotonic() < until:  # something came, whether or not it will come to us
                self._exchanger.check.expect()
        if ahead is not None and self._supervision.take_turn():
            return self._claim_ahead(ahead, also)
        return ClaimReply()

    def _claim_ahead(self, ahead: BlockingClaim, also: list[int]) -> ClaimReply:
        reply = ClaimReply()
        try:
            heard = self._slot.commands == Commands.HEARD
            longest, beside = self._longest_sleep(self._longest), len(self._in_flight) > 0
            ahead.begin(self._capacity(), longest, if_heard=heard, others_running=beside)
            self._slot.blocking_since = monotonic()
            while not (self._child.stopping or self._supervision.quiet or self._heard.worth_waiting):
                self._tick()
                ready = self._child.wait(TICK_SECONDS, [ahead.fileno(), *also])
                if self._callbacks is not None and self._callbacks.fileno() in ready:
                    self._callbacks.answer()
                    if not self._in_flight.only_callbacks:
                        break  # one of them is ours to settle
                if ahead.fileno() in ready and ahead.answered():
                    reply = ahead.finish()
                    self._slot.claimed_at = monotonic()
                    break
                ahead.check_overdue()
        finally:
            self._slot.blocking_since = 0.0
            if ahead.abandon():
                self._exchanger.doubt()
        if ahead.woken:
            self._exchanger.check.expect()
            if not reply.claims and self._supervision.lost_race():
                self.stand_back()
        self._supervision.pass_turn()
        self._exchanger.note_reply(reply)
        return reply

    def _longest_sleep(self, longest: float) -> float:
        return max(0.0, min(longest, self._exchanger.check.due_in, self._exchanger.pause_ends_in))

    def _tick(self) -> None:
        self._slot.tick(State.WAITING)
