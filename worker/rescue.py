"""Put the jobs of dead workers back to work.

Nobody saw these workers die. A single claim is taken for the job that was running; with several, nobody is blamed: they
are marked, claimed one at a time from then on, and a second death names the culprit (see ``scripts/rescue.lua``).
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from worker import logs, rq_finish, sentry
from worker.claims import BUSY_TTL_SECONDS, Buried, Claims
from worker.dead_letters import read
from worker.outcomes import Deciding, function_name
from worker.payload import Payloads, Refused

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

    def __init__(self, claims: Claims, deciding: Deciding, payloads: Payloads) -> None:
        self._claims = claims
        self._deciding = deciding
        self._payloads = payloads
        self.living = 0  #: claims that living workers held at the last look: they may be orphans tomorrow

    def rescue_orphans(self) -> int:
        """Rescue the claims of every dead worker; returns how many jobs went back to work or were buried."""
        names, self.living = self._claims.watch(self._claims.queues)
        return sum(map(self._rescue, names))

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


class Rescue:
    """The chore that looks for what dead workers of any instance left behind.

    It costs nothing while nobody can leave anything behind. Claims begin with a push that rings every instance's
    doorbell: where the doorbell was armed before the last look, that look found no claim and nothing rang since, there
    is none. `calm` says whether the doorbell is armed and no consumer of this instance works.
    """

    def __init__(self, rescuer: Rescuer, connected_since: float, calm: Callable[[], bool]) -> None:
        self.due = self._not_before = connected_since + RESCUE_HOLD_OFF_SECONDS
        self._rescuer = rescuer
        self._calm = calm

    def run(self) -> None:
        """Rescue everybody's orphans; come back soon while anybody holds claims."""
        calm = self._calm()  # first: what rings after this is not seen by the look, but calls `wake`
        self._rescuer.rescue_orphans()
        self.due = monotonic() + (IDLE_RESCUE_SECONDS if calm and not self._rescuer.living else RESCUE_SECONDS)

    def wake(self) -> None:
        """Look soon: a queue has rung, so somebody may hold a claim from now on."""
        self.due = min(self.due, max(self._not_before, monotonic() + RESCUE_SECONDS))
