"""Put the jobs of dead workers back to work.

It is not known what these workers were running. A single claim is taken for the running job. Of several none is blamed:
they are marked and claimed one at a time from then on, so that a second death names the culprit (``rescue.lua``).
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any

from redis.exceptions import ResponseError
from rq.job import Job

from worker import logs
from worker.engine import report, rq_burial
from worker.engine.claims import Claims
from worker.engine.leases import orphans
from worker.engine.outcomes import Decider, function_name, number
from worker.engine.payload import Payloads
from worker.engine.records import Buried, Claim, Retried
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()


class Rescuer:
    """Rescues on one connection, with the same decisions as the consumers."""

    def __init__(self, calls: ScriptCalls, queues: Sequence[str], deciding: Decider, payloads: Payloads) -> None:
        self._calls = calls
        self._queues = queues
        self._deciding = deciding
        self._payloads = payloads
        self.clock = calls.clock
        self.rescued = 0  #: dead workers whose claims this instance has rescued
        self.living = 0  #: claims that living workers held at the last look, which may become orphans

    def rescue_orphans(self) -> int:
        """Rescue the claims of every dead worker; returns how many jobs went back to work or were buried."""
        found = orphans(self._calls, self._queues)
        self.living = found.living  # not 0 where nobody was looked for: that calls for another look
        self.rescued += len(found.dead)
        jobs, refused = 0, None
        for rescue, workers in ((self._rescue, found.dead), (self._rescue_by_rqs_rules, found.abandoned)):
            for worker in workers:
                try:
                    jobs += rescue(worker)
                except (RedisTrouble, ResponseError) as error:  # about one job's keys, perhaps: the others are rescued
                    if isinstance(error, RedisTrouble) and not error.refuses_this:
                        raise
                    refused = refused or error
        if refused is not None:
            raise refused
        return jobs

    def hand_back(self, worker_name: str, running: str) -> int:
        """Put back all claims of a worker that was killed because the service stops; no job is blamed.

        `running` is the execution whose code it ran: its hand-back is counted, and the last one buries it.
        """
        dead = self._in_name_of(worker_name)
        left = dead.rescue(running)
        for claim in left.running:
            job = self._payloads.unread(claim, self._calls.redis)
            letter = self._deciding.handed_back(claim, monotonic(), job)
            if letter is None:
                dead.release([claim], interrupted=frozenset({claim.execution_id}))
                log.warning("job.interrupted", job_id=claim.job_id, handbacks=number(claim, b"handbacks") + 1)
            else:
                self._bury(dead, letter, job, worker=worker_name)
        jobs = left.released + len(left.running)
        if jobs:
            log.info("claims.released", worker=worker_name, jobs=jobs, interrupted=len(left.running))
        return jobs

    def _rescue(self, worker_name: str) -> int:
        dead = self._in_name_of(worker_name)
        left = dead.rescue("?")
        for claim in left.running:
            job = self._payloads.unread(claim, self._calls.redis)
            outcome = self._deciding.crash(claim, "lost together with its instance", monotonic(), job)
            log.error("job.rescued", **_told(claim, job), worker=worker_name, how="its instance is gone")
            self._end(dead, outcome, job)
        if left.released:
            log.warning("claims.rescued", worker=worker_name, jobs=left.released)
        return left.released + len(left.running)

    def _rescue_by_rqs_rules(self, worker_name: str) -> int:
        dead = self._in_name_of(worker_name)
        left = dead.rescue("?")
        for claim in left.running:
            job = self._payloads.unread(claim, self._calls.redis)
            outcome = self._deciding.abandoned(claim, monotonic(), job)
            worker = claim.fields.get(b"worker_name", b"").decode(errors="replace")
            log.error("job.abandoned", **_told(claim, job), worker=worker, how="its plain RQ worker vanished")
            self._end(dead, outcome, job)
        return len(left.running)

    def _in_name_of(self, worker_name: str) -> Claims:
        return Claims(self._calls.redis, self._calls.prefix, worker_name, self._queues, self._deciding.letters_queue)

    def _end(self, dead: Claims, outcome: Retried | Buried, job: Job | None) -> None:
        """Hand a job on, or bury it, in the dead worker's name."""
        if isinstance(outcome, Buried):
            self._bury(dead, outcome, job)
        else:
            dead.settle_and_claim([outcome], 0)

    def _bury(self, dead: Claims, letter: Buried, job: Job | None, **more: Any) -> None:
        """Bury in the dead worker's name, by force if keys of the job hold something else, and report it."""
        try:
            if dead.settle_and_claim([letter], 0).unsettled:
                rq_burial.bury(dead, letter, job, self._payloads.errands)
        except RedisTrouble as trouble:
            if trouble.code != "wrong_type":
                raise
            letter.tries, letter.by_force = 1, True
            dead.settle_and_claim([letter], 0)
        report.ended(letter, function_name(job), **more)


def _told(claim: Claim, job: Job | None) -> dict[str, Any]:
    return {"job_id": claim.job_id, "queue": claim.origin, "function": function_name(job)}
