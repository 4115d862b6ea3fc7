"""Claim, settle, retry, bury, release, rescue: the Python face of ``scripts/*.lua``.

A *claim* is one job that this worker popped and owns until it settles, hands on, buries or releases it. Every change of
a claim is one atomic script that first checks that the claim is still ours (the fence); a late outcome of a worker that
was taken for dead is dropped, never written over a newer run.

Nothing here retries: an error of redis-py passes through, and sending the same outcomes again after it is safe, because
an outcome that had got through is fenced the second time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final

from redis import Redis
from redis.exceptions import NoScriptError

from worker import scripts
from worker.exchange import Buried, Claim, Exchange, Finished, Outcome, Rescue, Retried, Value
from worker.scripts import Script

#: Seconds that a claim's registry entry and execution record outlive their last heartbeat. RQ's own cleaning
#: (`rq info`, dashboards, plain workers) fails a started job only after that, so it must exceed any outage we ride out;
#: our rescue does not wait for it.
LEASE_SECONDS: Final = 900
#: A worker that holds claims and has not been heard of for so long is dead.
BUSY_TTL_SECONDS: Final = 30
#: The same for an idle one, which has nothing to lose: long, so that idling costs next to no commands. RQ's default
#: worker_ttl (420) plus its grace of 60.
IDLE_TTL_SECONDS: Final = 480
#: First letter of our executions' names; RQ's own are hex UUIDs and never begin with it.
EXECUTION_MARK: Final = "w"

#: Fields of a job's hash that tell of failed attempts (``TRACES`` in ``scripts/_common.lua``).
TRACES: Final = frozenset(
    {b"attempts", b"crashes", b"handbacks", b"last_error", b"first_failed_at", b"suspect", b"unknown"}
)


class Claims:
    """The claims of one worker.

    `redis` must not decode responses. `prefix` is RQ's key prefix. Raises redis-py's errors.
    """

    def __init__(self, redis: Redis, prefix: str, worker_name: str, queues: Sequence[str], letters_queue: str) -> None:
        self.redis = redis
        self.letters_queue = letters_queue
        self.prefix = prefix
        self.worker_name = worker_name
        self.queues = tuple(queues)  #: highest priority first; may be reordered between exchanges
        self.busy_ttl = BUSY_TTL_SECONDS
        self.idle_ttl = IDLE_TTL_SECONDS
        self.heard_at = 0.0  #: when the server last answered (monotonic)
        self._generation = 0
        self._counter = 0
        self.fence = ""
        self._raise_fence()

    def exchange(self, outcomes: Sequence[Outcome], want: int, *, company: bool = False) -> Exchange:
        """Settle `outcomes` and claim up to `want` jobs, in one round trip.

        `company`: other jobs run in this process, so a job that is suspected of killing its process is not claimed.
        """
        others = [outcome for outcome in outcomes if not isinstance(outcome, Finished)]
        finished = [outcome for outcome in outcomes if isinstance(outcome, Finished)]
        now = monotonic()
        calls = [
            self._retry(outcome, now) if isinstance(outcome, Retried) else self._bury(outcome, now)
            for outcome in others
        ]
        calls.append(self._settle_and_claim(finished, want, now, company))
        replies = self._run(calls)
        exchange = self._read_exchange(replies[-1], settled=bool(finished))
        for outcome, reply in zip(others, replies, strict=False):
            if reply == 0:
                exchange.fenced.append(outcome.claim.execution_id)
            elif reply == 2:
                exchange.unsettled.append(outcome.claim.execution_id)
        return exchange

    def claim_when_ready(self, want: int, block: float) -> list[tuple[Any, ...]]:
        """Return two commands: wait up to `block` seconds for the first queue to have something, then claim.

        What the second one answers is for `read_claim`. See ``watch.py``.
        """
        key = self._queue_keys()[0]
        return [
            ("BLMOVE", key, key, "LEFT", "LEFT", block),
            self._settle_and_claim((), want, monotonic(), company=False),
        ]

    def read_claim(self, reply: Any) -> Exchange:
        """Read the reply of a claim."""
        return self._read_exchange(reply, settled=False)

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
        return [job_id.decode() for job_id in self._call(scripts.RELEASE, self.worker_name, *args)]

    def hold(self, claim: Claim) -> bool:
        """Prolong `claim`'s lease; False when it is not ours any more. RQ's own finishing code runs behind this."""
        return bool(
            self._call(scripts.HOLD, self.worker_name, claim.job_id, claim.execution_id, claim.origin, LEASE_SECONDS)
        )

    def collect(self, queue: str, job_id: str, fields: dict[str, Value]) -> bool:
        """Dead-letter a job that somebody else has failed; False when it is not failed, or a dead letter already."""
        return bool(self._call(scripts.COLLECT, self.worker_name, job_id, queue, *_flat(fields)))

    def collect_all(self, queue: str, fields: Mapping[str, dict[str, Value]]) -> list[bool]:
        """The same for several jobs, by their ids, in one round trip."""
        calls = [
            self._command(scripts.COLLECT, (), self.worker_name, job_id, queue, *_flat(written))
            for job_id, written in fields.items()
        ]
        return list(map(bool, self._run(calls)))

    def replay(self, job_id: str) -> bool:
        """Put a dead letter back to work; False when it is none any more."""
        return bool(self._call(scripts.REPLAY, "", self.letters_queue, "replay", "", "", "", "", job_id)[0])

    def rescue(self, worker_name: str, running: str) -> Rescue:
        """Release what worker `worker_name` left behind; its running job is returned, still claimed in its name.

        `running` is the execution id whose code ran when the worker died, "" for none, "?" when nobody saw it die.
        """
        return self._read_rescue(self._call(scripts.RESCUE, worker_name, running, "", 0))

    def recover(self, running: str, keep: Iterable[str] = ()) -> Rescue:
        """Rescue what we have claimed without knowing it, except the executions in `keep`.

        A claim of ours may still be under way to the server, on a connection that we have given up: from here on the
        server refuses it, or nobody would ever run what it takes.
        """
        self._raise_fence()
        return self._read_rescue(
            self._call(scripts.RESCUE, self.worker_name, running, self.fence, self.busy_ttl, *keep)
        )

    def heartbeat(self, worker_names: Iterable[str], memory_mb: Mapping[str, int] | None = None) -> list[str]:
        """Keep workers and their claims alive; returns the names of those that must register again."""
        told = memory_mb or {}
        pairs: list[Value] = [value for name in worker_names for value in (name, told.get(name, ""))]
        lost = self._call(scripts.HEARTBEAT, "", LEASE_SECONDS, self.busy_ttl, self.idle_ttl, *pairs)
        return [name.decode() for name in lost]

    def orphans(self, queues: Iterable[str]) -> list[str]:
        """Name the dead workers of ours that still hold claims on `queues`."""
        return self.watch(queues)[0]

    def watch(self, queues: Iterable[str]) -> tuple[list[str], int]:
        """Return the same names, and how many claims on `queues` are in the hands of living workers."""
        living, *names = self._call(scripts.ORPHANS, "", EXECUTION_MARK, *queues)
        return [name.decode() for name in names], living

    def move_due(self, queues: Iterable[str], limit: int = 1000) -> tuple[int, float, float]:
        """Move scheduled jobs that are due; returns (moved, seconds to the next or -1, lateness of the oldest)."""
        moved, next_due, late = self._call(scripts.SCHEDULE, "", limit, *queues)
        return moved, float(next_due), float(late)

    def call(self, script: Script, *args: Value) -> Any:
        """Run a script that concerns no single worker."""
        return self._call(script, "", *args)

    def in_name_of(self, worker_name: str) -> Claims:
        """The claims of another worker, on the same connection: for settling what a dead one left."""
        return Claims(self.redis, self.prefix, worker_name, self.queues, self.letters_queue)

    def _settle_and_claim(self, finished: Sequence[Finished], want: int, now: float, company: bool) -> tuple[Any, ...]:
        counter = self._counter
        self._counter += want
        claim_args = (
            want,
            self.fence,
            counter,
            LEASE_SECONDS,
            self.busy_ttl,
            self.idle_ttl,
            self.letters_queue,
            int(company),
        )
        if not finished:
            return self._command(scripts.CLAIM, self._queue_keys(), self.worker_name, *claim_args, *self.queues)
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
        return self._command(
            scripts.SETTLE,
            self._queue_keys(),
            self.worker_name,
            *claim_args,
            len(self.queues),
            *self.queues,
            *args,
        )

    def _retry(self, outcome: Retried, now: float) -> tuple[Any, ...]:
        claim = outcome.claim
        return self._command(
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
            *_flat(outcome.fields),
        )

    def _bury(self, outcome: Buried, now: float) -> tuple[Any, ...]:
        claim = outcome.claim
        return self._command(
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
            int(outcome.forced),
            outcome.exc_string,
            *_flat(outcome.fields),
        )

    def _read_exchange(self, reply: Any, *, settled: bool) -> Exchange:
        claimed, fenced, unsettled = reply if settled else (reply, (), ())
        suspended, registered, left, *rows = claimed
        claims = [
            Claim(job_id.decode(), execution.decode(), origin.decode(), queue.decode(), pairs(flat))
            for job_id, execution, origin, queue, flat in rows
        ]
        return Exchange(
            claims,
            bool(suspended),
            bool(registered),
            left,
            [execution.decode() for execution in fenced],
            [execution.decode() for execution in unsettled],
        )

    def _read_rescue(self, reply: Any) -> Rescue:
        released, *running = reply
        claims = [
            Claim(job_id.decode(), execution.decode(), origin.decode(), origin.decode(), pairs(flat))
            for job_id, execution, origin, flat in running
        ]
        return Rescue(released, claims)

    def _raise_fence(self) -> None:
        """Take a new fencing token: 24 characters that no other process has. It begins the names of our executions.

        With the counter behind it they are as long as RQ's, and sort in the order of the claims.
        """
        start = self.fence[:16] or EXECUTION_MARK + secrets.token_hex(8)[:15]
        self._generation += 1
        self.fence = f"{start}{self._generation:08x}"

    def _queue_keys(self) -> list[str]:
        return [f"{self.prefix}:queue:{queue}" for queue in self.queues]

    def _command(self, script: Script, keys: Sequence[str], worker_name: str, *args: Value) -> tuple[Any, ...]:
        return ("EVALSHA", script.sha, len(keys), *keys, self.prefix, worker_name, *args)

    def _call(self, script: Script, worker_name: str, *args: Value) -> Any:
        return self._run([self._command(script, (), worker_name, *args)])[0]

    def _run(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send `calls` in one round trip; a server that has lost the scripts is given them, once."""
        replies = self._send(calls)
        self.heard_at = monotonic()
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            for script in scripts.ALL:
                self.redis.script_load(script.text)
            for index, reply in zip(missing, self._send([calls[index] for index in missing]), strict=True):
                replies[index] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _send(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        if len(calls) == 1:
            try:
                return [self.redis.execute_command(*calls[0])]  # type: ignore[no-untyped-call]
            except NoScriptError as error:
                return [error]
        with self.redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*call)  # type: ignore[no-untyped-call]
            replies: list[Any] = pipeline.execute(raise_on_error=False)
            return replies


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Turn a flat HGETALL reply into a dict."""
    fields = iter(flat)
    return dict(zip(fields, fields, strict=True))


def _flags(done: Finished) -> str:
    """What the script must look after besides the rule; known here for nothing, a look in Redis for each job is not."""
    fields = done.claim.fields
    flags = "g" if done.in_group else ""
    if b"dependency_ids" in fields:
        flags += "d"
    if not TRACES.isdisjoint(fields):
        flags += "p"
    return flags


def _ago(now: float, moment: float) -> int:
    """Microseconds from the monotonic `moment` to `now`."""
    return int((now - moment) * 1_000_000)


def _flat(fields: dict[str, Value]) -> list[Value]:
    return [value for pair in fields.items() for value in pair]
