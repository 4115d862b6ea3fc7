"""Put the jobs of dead workers back to work.

Nobody saw these workers die. A single claim is taken for the job that was running; with several, nobody is blamed: they
are marked, claimed one at a time from then on, and a second death names the culprit (see ``scripts/rescue.lua``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final

from rq.job import Job

from worker import logs, rq_burial, sentry
from worker.claims import Claims
from worker.dead_letters import read
from worker.exchange import Buried, Claim, Retried
from worker.leases import BUSY_TTL_SECONDS, orphans
from worker.outcomes import Deciding, function_name, number
from worker.payload import Payloads
from worker.script_calls import ScriptCalls
from worker.serializers import Refused

log = logs.get_logger()

#: How often orphans are looked for. With BUSY_TTL_SECONDS it bounds how long a dead instance's jobs stay away: 40 s.
RESCUE_SECONDS: Final = 10.0
#: The same while nobody holds claims, should a ring ever get lost.
IDLE_RESCUE_SECONDS: Final = 600.0
#: Nobody is taken for dead before this instance itself has been connected so long: after an outage everybody's
#: heartbeats are late, and the others need the time to send theirs.
RESCUE_HOLD_OFF_SECONDS: Final = float(BUSY_TTL_SECONDS)


class Rescuer:
    """Rescues on one connection, with the same decisions as the consumers."""

    def __init__(self, calls: ScriptCalls, queues: Sequence[str], deciding: Deciding, payloads: Payloads) -> None:
        self._calls = calls
        self._queues = queues
        self._deciding = deciding
        self._payloads = payloads
        self.rescued = 0  #: dead workers whose claims this instance has sorted out
        self.living = 0  #: claims that living workers held at the last look: they may be orphans tomorrow

    def rescue_orphans(self) -> int:
        """Rescue the claims of every dead worker; returns how many jobs went back to work or were buried."""
        found = orphans(self._calls, self._queues)
        self.living = found.living
        self.rescued += len(found.dead)
        return sum(map(self._rescue, found.dead)) + sum(map(self._rescue_by_rqs_rules, found.abandoned))

    def hand_back(self, worker_name: str, running: str) -> int:
        """Put back everything of a worker that was killed because the service stops; nobody is to blame.

        `running` is the execution whose code it ran: its hand-back is counted, and the last one buries it.
        """
        dead = self._in_name_of(worker_name)
        left = dead.rescue(running)
        for claim in left.running:
            job = self._restored(claim)
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
            job = self._restored(claim)
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
            job = self._restored(claim)
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
            dead.exchange([outcome], 0)

    def _bury(self, dead: Claims, letter: Buried, job: Job | None, **more: Any) -> None:
        """Bury in the dead worker's name, and tell people."""
        if dead.exchange([letter], 0).unsettled:
            rq_burial.bury(dead, letter, job)
        record, fields = read(letter.fields["dead_letter"]), {**_told(letter.claim, job), **more}
        log.error("job.buried", **fields, reason=record["reason"], error=record["message"])
        sentry.job_failed(None, **_told(letter.claim, job), reason=record["reason"], message=record["message"])

    def _restored(self, claim: Claim) -> Job | None:
        try:
            return self._payloads.restore(claim, self._calls.redis)
        except Refused:
            return None


class Rescue:
    """The chore that looks for what dead workers of any instance left behind.

    It costs nothing while nobody can leave anything behind. Claims begin with a push, of which every instance hears
    that waits for jobs: by its doorbell (`wake`), or because its own claim that stood ready was answered (`claimed`:
    when that was last, monotonic). Where somebody waited before the last look, that look found no claim and nothing
    stirred since, there is none. `calm` says whether this instance waits and none of its consumers works.
    """

    def __init__(
        self,
        rescuer: Rescuer,
        connected_since: float,
        calm: Callable[[], bool],
        claimed: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._due = self._not_before = connected_since + RESCUE_HOLD_OFF_SECONDS
        self._looked_at = self._stirred_at = 0.0
        self._rescuer = rescuer
        self._calm = calm
        self._claimed = claimed

    @property
    def due(self) -> float:
        """When to look next: soon after something stirred."""
        stirred = max(self._stirred_at, self._claimed())
        if stirred <= self._looked_at:
            return self._due
        return min(self._due, max(self._not_before, stirred + RESCUE_SECONDS))

    def run(self) -> None:
        """Rescue everybody's orphans; come back soon while anybody holds claims."""
        calm = self._calm()  # first: what stirs after this is not seen by the look
        self._looked_at = monotonic()
        self._rescuer.rescue_orphans()
        self._due = self._looked_at + (IDLE_RESCUE_SECONDS if calm and not self._rescuer.living else RESCUE_SECONDS)

    def wake(self) -> None:
        """Look soon: a queue has rung, so somebody may hold a claim from now on."""
        self._stirred_at = monotonic()


def _told(claim: Claim, job: Job | None) -> dict[str, Any]:
    return {"job_id": claim.job_id, "queue": claim.origin, "function": function_name(job)}
