"""One worker's claims: claim, settle, retry, bury, release, rescue.

A *claim* is one job that this worker popped and owns until it settles, hands on, buries or releases it. Every change of
a claim is one atomic script that first checks that the claim is still ours (the fence); a late outcome of a worker that
was taken for dead is dropped, never written over a newer run.

Trouble with Redis is raised (``redis/calls.py``). Sending the same outcomes again after it is safe: an outcome that had
got through is fenced the second time.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterable, Sequence
from time import monotonic
from typing import Any, Final

from redis import Redis
from rq.worker import DequeueStrategy

from worker.engine.leases import BUSY_TTL_SECONDS, EXECUTION_MARK, IDLE_TTL_SECONDS, LEASE_SECONDS
from worker.engine.meta import MOST_TRIES, NO_CHANGE
from worker.engine.records import (
    NOTHING_PAUSED,
    Buried,
    Claim,
    ClaimReply,
    Finished,
    LeftBehind,
    Outcome,
    Retried,
)
from worker.redis import scripts
from worker.redis.calls import Command, ScriptCalls, Value, flat
from worker.text import count_of, name_of

#: Fields of a job's hash that tell of failed attempts (``TRACES`` in ``scripts/_common.lua``).
TRACES: Final = frozenset(
    {b"attempts", b"crashes", b"handbacks", b"last_error", b"first_failed_at", b"suspect", b"unknown"}
)


class Claims(ScriptCalls):
    """The claims of one worker, which may be another one than we: whoever rescues acts in the dead worker's name."""

    def __init__(self, redis: Redis, prefix: str, worker_name: str, queues: Sequence[str], letters_queue: str) -> None:
        super().__init__(redis, prefix)
        self.worker_name = worker_name
        self.queues = tuple(queues)  #: highest priority first; the consumer may reorder them between two requests
        self.letters_queue = letters_queue
        self.paused = NOTHING_PAUSED  #: as the server's last reply says
        self._generation = 0
        self._counter = 0
        self.fence = ""
        self._raise_fence()

    def settle_and_claim(
        self, outcomes: Sequence[Outcome], capacity: int, *, others_running: bool = False
    ) -> ClaimReply:
        """Settle `outcomes` and claim up to `capacity` jobs, in one round trip.

        With `others_running` in this process, a job that is suspected of killing its process is not claimed.
        """
        others = [outcome for outcome in outcomes if not isinstance(outcome, Finished)]
        finished = [outcome for outcome in outcomes if isinstance(outcome, Finished)]
        now = monotonic()
        commands = [
            self._retry(outcome, now) if isinstance(outcome, Retried) else self._bury(outcome, now)
            for outcome in others
        ]
        commands.append(self._finish_and_claim(finished, capacity, now, others_running))
        replies = self.run(commands)
        answer = ClaimReply.read(replies[-1], settled=bool(finished))
        self.clock.hear(answer.moment, now)
        for outcome, reply in zip(others, replies, strict=False):
            if isinstance(reply, bytes) and isinstance(outcome, Buried):
                reply = self._bury_over(outcome, reply)  # noqa: PLW2901
            if reply == 0:
                answer.fenced.append(outcome.claim.execution_id)
            elif reply == 2:
                answer.unsettled.append(outcome.claim.execution_id)
        return answer

    def reorder_queues(self, served: str, strategy: DequeueStrategy) -> None:
        """Ask the queues in their next order from now on, by RQ's strategy, after a job of the queue `served`."""
        self.queues = reordered(self.queues, served, strategy)

    def claim_when_ready(
        self, capacity: int, block: float, *, if_heard: bool, others_running: bool = False
    ) -> list[Command]:
        """Return two commands: wait up to `block` seconds for the first queue to have something, then claim.

        While that queue is paused, the wait is for the end of a pause.

        With `if_heard` the claim takes nothing if nobody listens then for RQ's commands to this worker. What the
        second one answers is for `ClaimReply.read`. See ``consumer/claim_ahead.py``.
        """
        key = self.keys.resumed if self.paused.closes(self.queues[0]) else self._queue_keys()[0]
        return [
            ("BLMOVE", key, key, "LEFT", "LEFT", block),
            self._finish_and_claim((), capacity, monotonic(), others_running=others_running, if_heard=if_heard),
        ]

    def park(self, aside: Iterable[tuple[Claim, str]]) -> list[int]:
        """Put claims aside whose function, which is named beside each, is paused: see ``scripts/park.lua``.

        Returns 1 for each that waits there now, 0 if it is to run after all, -1 if it is not ours any more.
        """
        args = [
            part
            for claim, function in aside
            for part in (claim.job_id, claim.execution_id, claim.origin, claim.queue, function)
        ]
        return list(self.call(scripts.PARK, *args, worker_name=self.worker_name))

    def release(self, claims: Iterable[Claim], *, interrupted: frozenset[str] = frozenset()) -> list[str]:
        """Put `claims` back at the head of their queues, in order; returns the ids that were not ours any more.

        `interrupted` holds the execution ids whose code had begun: their hand-back counter goes up.
        """
        args: list[Value] = []
        for claim in claims:
            args += (claim.job_id, claim.execution_id, claim.origin, claim.queue)
            args.append("1" if claim.execution_id in interrupted else "0")
        if not args:
            return []
        return list(map(name_of, self.call(scripts.RELEASE, *args, worker_name=self.worker_name)))

    def handbacks(self, claim: Claim) -> int:
        """Ask how many stops in a row have interrupted the job; it may have got on since it was claimed."""
        return count_of(self.redis.hget(self.keys.job(claim.job_id), "handbacks"))

    def extend(self, claim: Claim) -> bool:
        """Extend `claim`'s lease; False when it is not ours any more. RQ's own finishing code runs behind this."""
        ours = (claim.job_id, claim.execution_id, claim.origin)
        return bool(self.call(scripts.EXTEND, *ours, LEASE_SECONDS, worker_name=self.worker_name))

    def rescue(self, running: str) -> LeftBehind:
        """Release what this worker, which is dead, left behind; its running job is returned, still claimed in its name.

        `running` is the execution id whose code ran when the worker died, "" for none, "?" when nobody saw it die.
        """
        return LeftBehind.read(self.call(scripts.RESCUE, running, "", 0, worker_name=self.worker_name))

    def recover(self, running: str, keep: Iterable[str] = ()) -> LeftBehind:
        """Rescue what we have claimed without knowing it, except the executions in `keep`.

        A claim of ours may still be under way to the server, on a connection that we have given up: from here on the
        server refuses it, or nobody would ever run what it takes.
        """
        self._raise_fence()
        reply = self.call(scripts.RESCUE, running, self.fence, BUSY_TTL_SECONDS, *keep, worker_name=self.worker_name)
        return LeftBehind.read(reply)

    def _finish_and_claim(
        self,
        finished: Sequence[Finished],
        capacity: int,
        now: float,
        others_running: bool,
        *,
        if_heard: bool = False,
    ) -> Command:
        counter = self._counter
        self._counter += capacity
        claim_args = (
            capacity,
            self.fence,
            counter,
            LEASE_SECONDS,
            BUSY_TTL_SECONDS,
            IDLE_TTL_SECONDS,
            self.letters_queue,
            int(others_running),
        )
        if not finished:
            return self.command(
                scripts.CLAIM, self._queue_keys(), self.worker_name, *claim_args, int(if_heard), *self.queues
            )
        args: list[Value] = []
        for done in finished:
            claim = done.claim
            args += (
                claim.job_id,
                claim.execution_id,
                claim.origin,
                _ago(now, done.started),
                _ago(now, done.ended),
            )
            args += (done.result_ttl, done.value, _flags(done))
        return self.command(
            scripts.SETTLE,
            self._queue_keys(),
            self.worker_name,
            *claim_args,
            len(self.queues),
            *self.queues,
            *args,
        )

    def _retry(self, outcome: Retried, now: float) -> Command:
        claim = outcome.claim
        return self.command(
            scripts.RETRY,
            (),
            self.worker_name,
            claim.job_id,
            claim.execution_id,
            claim.origin,
            outcome.delay,
            int(outcome.at_front),
            _ago(now, outcome.started),
            _ago(now, outcome.ended),
            *flat(outcome.fields),
        )

    def _bury(self, outcome: Buried, now: float) -> Command:
        claim = outcome.claim
        return self.command(
            scripts.BURY,
            (),
            self.worker_name,
            claim.job_id,
            claim.execution_id,
            claim.origin,
            _ago(now, outcome.started),
            _ago(now, outcome.ended),
            outcome.failure_ttl,
            outcome.letters_queue,
            2 if outcome.by_force else int(outcome.forced),
            int(outcome.tries > 0),
            outcome.exc_string,
            *(outcome.meta.args if outcome.meta is not None else NO_CHANGE),
            *flat(outcome.fields),
        )

    def _bury_over(self, outcome: Buried, stored: bytes) -> Any:
        """Bury a job whose meta others have written since it was read, to `stored`; returns the script's last reply."""
        reply: Any = stored
        tries = 0
        while isinstance(reply, bytes):
            tries += 1
            change = outcome.meta if tries < MOST_TRIES else None
            outcome.meta = change.over(outcome.claim.job_id, reply) if change is not None else None
            reply = self.run([self._bury(outcome, monotonic())])[0]
        return reply

    def _raise_fence(self) -> None:
        """Take a new fencing token: 24 characters that no other process has. It begins the names of our executions.

        With the counter behind it they are as long as RQ's, and sort in the order of the claims.
        """
        start = self.fence[:16] or EXECUTION_MARK + secrets.token_hex(8)[:15]
        self._generation += 1
        self.fence = f"{start}{self._generation:08x}"

    def _queue_keys(self) -> list[str]:
        return [self.keys.queue(queue) for queue in self.queues]


def reordered(queues: tuple[str, ...], served: str, strategy: DequeueStrategy) -> tuple[str, ...]:
    """Return `queues` in their next order, after a job of the queue `served`."""
    if strategy == DequeueStrategy.ROUND_ROBIN:
        after = queues.index(served) + 1
        return queues[after:] + queues[:after]
    if strategy == DequeueStrategy.RANDOM:
        return tuple(random.sample(queues, len(queues)))
    return queues


def _flags(done: Finished) -> str:
    """What the script must do besides the rule. We have these facts; looking them up would cost a command a job."""
    fields = done.claim.fields
    flags = "g" if done.in_group else ""
    if b"dependency_ids" in fields:
        flags += "d"
    if not TRACES.isdisjoint(fields):
        flags += "p"
    if b"journal" in fields:
        flags += "j"
    if done.tries:
        flags += "r"
    return flags


def _ago(now: float, moment: float) -> int:
    """Microseconds from the monotonic `moment` to `now`."""
    return int((now - moment) * 1_000_000)
