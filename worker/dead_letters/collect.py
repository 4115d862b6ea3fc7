"""Collect the failures that others recorded: plain RQ workers, and RQ's own cleaning in `rq info` or a dashboard.

Such jobs are in the FailedJobRegistry of their queue and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from rq.job import Job

from worker import logs
from worker.dead_letters.queue import DeadLetterQueue
from worker.dead_letters.rq_failures import Failure, failure, traceback_of
from worker.engine import dead_letter, report
from worker.engine.meta import NO_CHANGE, MetaChange
from worker.engine.outcomes import function_name
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.redis import scripts
from worker.redis.calls import ScriptCalls, flat
from worker.text import count_of, text_of

log = logs.get_logger()

#: Entries of a registry that one call looks at: about 2 ms of the server's time.
PAGE: Final = 1000
#: Jobs that are collected before the dispatcher's loop goes on.
BATCH: Final = 100
#: RQ's type of a result whose returned `Retry` was used up (rq/results.py).
_MAX_RETRIES: Final = b"3"


class Collect:
    """Makes dead letters of what others have failed on `queues`."""

    def __init__(
        self,
        calls: ScriptCalls,
        dead_letters: DeadLetterQueue,
        payloads: Payloads,
        queues: Sequence[str],
        release: str | None,
    ) -> None:
        self._calls = calls
        self._dead_letters = dead_letters
        self._payloads = payloads
        self._queues = queues
        self._release = release

    def steps(self) -> Iterator[None]:
        """Go through the registries once, a page or a batch of jobs at a time."""
        for queue in self._queues:
            rank = 0
            while True:
                seen, removed, *found = self._dead_letters.call_about(queue, scripts.FAILURES, rank, PAGE)
                if removed:
                    log.info("dead_letters.registry_cleaned", queue=queue, entries=removed)
                yield
                for at in range(0, len(found), BATCH):
                    self._collect([job_id.decode(errors="replace") for job_id in found[at : at + BATCH]])
                    yield
                if seen < PAGE:
                    break
                rank += seen - removed

    def _collect(self, job_ids: list[str]) -> None:
        keys = self._dead_letters.keys
        with self._dead_letters.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hgetall(keys.job(job_id))
                pipeline.xrevrange(keys.results(job_id), count=1)
            replies = pipeline.execute()
        letters, changes, commands = [], [], []
        for job_id, fields, results in zip(job_ids, replies[::2], replies[1::2], strict=True):
            origin = text_of(fields.get(b"origin"))
            letter, change = self._burial(Claim(job_id, "", origin, origin, fields), results)
            letters.append(letter)
            changes.append(change)
            args = (*(change.args if change is not None else NO_CHANGE), *flat(dead_letter.fields(letter)))
            commands.append(self._calls.command(scripts.COLLECT, (), "", job_id, self._dead_letters.name, *args))
        for job_id, letter, change, taken in zip(job_ids, letters, changes, self._calls.run(commands), strict=True):
            if isinstance(taken, bytes) and change is not None and (again := change.over(job_id, taken)) is not None:
                again.write(self._calls.redis, job_id)
            if taken != 0:
                report.buried(job_id, letter, by="rq")

    def _burial(
        self, claim: Claim, results: list[tuple[bytes, dict[bytes, bytes]]]
    ) -> tuple[dict[str, Any], MetaChange | None]:
        """Return the record of a failure, and what puts it into the job's meta."""
        result = results[0][1] if results else {}
        job = self._payloads.unread(claim, self._dead_letters.redis)
        function = function_name(job)
        said = failure(traceback_of(result.get(b"exc_string")), function)
        reason = "attempts_exhausted" if result.get(b"type") == _MAX_RETRIES else said.reason
        letter = self._record(claim, job, function, said, reason)
        return letter, dead_letter.in_meta(job, letter)

    def _record(self, claim: Claim, job: Job | None, function: str, said: Failure, reason: str) -> dict[str, Any]:
        letter = dead_letter.record(
            reason,
            claim,
            attempts=count_of(claim.fields.get(b"number_of_retries")) + 1,
            worker=text_of(claim.fields.get(b"worker_name")),
            release=self._release,
            function=function,
            sentence=said.message or dead_letter.REASONS[reason],
            earlier=dead_letter.earlier(job, claim),
            now=self._calls.clock.today(),
        )
        return {
            **letter,
            "exception": said.exception,
            "fingerprint": said.fingerprint(function),
        }
