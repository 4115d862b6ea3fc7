"""Put the jobs of dead workers back to work.

Nobody saw these workers die. A single claim is taken for the job that was running; with several, nobody is blamed: they
are marked, claimed one at a time from then on, and a second death names the culprit (see ``scripts/rescue.lua``).
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from worker import logs, rq_finish, sentry
from worker.claims import Buried, Claims
from worker.dead_letters import read
from worker.outcomes import Deciding, function_name
from worker.payload import Payloads, Refused

log = logs.get_logger()


class Rescuer:
    """Rescues on one connection, with the same decisions as the consumers."""

    def __init__(self, claims: Claims, deciding: Deciding, payloads: Payloads) -> None:
        self._claims = claims
        self._deciding = deciding
        self._payloads = payloads

    def rescue_orphans(self) -> int:
        """Rescue the claims of every dead worker; returns how many jobs went back to work or were buried."""
        return sum(self._rescue(name) for name in self._claims.orphans(self._claims.queues))

    def hand_back(self, worker_name: str) -> int:
        """Put back everything of a worker that was killed because the service stops; nobody is to blame."""
        dead = self._claims.in_name_of(worker_name)
        left = dead.rescue(worker_name, "")
        if left.released:
            log.info("claims.released", worker=worker_name, jobs=left.released)
        return left.released

    def _rescue(self, worker_name: str) -> int:
        dead = self._claims.in_name_of(worker_name)
        left = dead.rescue(worker_name, "?")
        for claim in left.running:
            try:
                job = self._payloads.restore(claim, self._claims.redis)
            except Refused:
                job = None
            outcome = self._deciding.crash(claim, "lost together with its instance", monotonic(), job)
            if dead.exchange([outcome], 0).unsettled and isinstance(outcome, Buried):
                rq_finish.bury(dead, outcome, job)
            fields: dict[str, Any] = {"job_id": claim.job_id, "queue": claim.origin, "function": function_name(job)}
            log.error("job.rescued", **fields, worker=worker_name, how="its instance is gone")
            if isinstance(outcome, Buried):
                letter = read(outcome.fields["dead_letter"])
                log.error("job.buried", **fields, reason=letter["reason"], error=letter["message"])
                sentry.job_failed(None, **fields, reason=letter["reason"], message=letter["message"])
        if left.released:
            log.warning("claims.rescued", worker=worker_name, jobs=left.released)
        return left.released + len(left.running)
