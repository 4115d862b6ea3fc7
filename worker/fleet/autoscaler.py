"""The autoscaler: sets the number of a Render service's instances, as ``decision.py`` decides.

Of several monitors (two overlap during each deploy) one leads: it holds a lock in Redis, and checks the lock's token
again right before each change. Redis also keeps the time of the last change, by the server's clock, so that a new
leader observes the cooldown.

Keys: P:autoscaler-lock string (redis-py's Lock)
  P:autoscaler hash {at, before, after, reason, dry_run}: the last change
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

from redis import Redis
from redis.exceptions import LockError

from worker import logs
from worker.fleet.decision import Decision, Facts, Policy, Reason, decide
from worker.fleet.render_api import RenderApiError, Service
from worker.fleet.state import Fleet
from worker.keys import Keys
from worker.redis.client import Client
from worker.redis.clock import STEP_SECONDS
from worker.settings import Settings

log = logs.get_logger()

#: The lead lapses this long after its holder last renewed it; longer than one call of the API with its retries.
LEAD_SECONDS: Final = 30.0


class Api(Protocol):
    """What the autoscaler needs of Render."""

    def find(self, service: str) -> Service:
        """Read the service."""
        ...

    def scale(self, service_id: str, instances: int) -> None:
        """Set its number of instances."""
        ...


class Autoscaler:
    """Scales one service; call `run` after each look at the fleet. Raises `RedisTrouble`."""

    def __init__(self, redis: Redis, keys: Keys, api: Api, service: str, policy: Policy, *, dry_run: bool) -> None:
        self.policy = policy
        self.dry_run = dry_run
        self.decision: Decision | None = None  #: the last one; None while another monitor leads
        self.decided: Counter[Reason] = Counter()
        self.changes: Counter[str] = Counter()  #: "out" and "in", dry ones included
        self.api_errors = 0
        self.rests_for = 0.0  #: seconds for which Render's API wants no calls; the caller of `run` waits that long
        self._redis = Client.over(redis)
        self._api = api
        self._service = service
        self._ledger = keys.autoscaler
        self._lock = self._redis.lock(keys.autoscaler_lock, timeout=LEAD_SECONDS, blocking=False, thread_local=False)
        self._last_reason: Reason | None = None

    @property
    def leads(self) -> bool:
        """Whether this monitor was the leader when it last looked."""
        return self.decision is not None

    def run(self, fleet: Fleet, queues: Iterable[str], idle_for: float) -> Decision | None:
        """Decide and carry it out, if this monitor leads."""
        self.rests_for = 0.0
        if not self._lead():
            self.decision = None
            return None
        service: Service | None = None
        try:
            service = self._api.find(self._service)
            decision = self._decide(service, fleet, queues, idle_for)
            if decision.changes and self._lead():
                self._change(service, decision)
        except RenderApiError as error:
            self.api_errors += 1
            self.rests_for = error.after
            instances = service.instances if service else self.decision.instances if self.decision else 0
            decision = Decision(instances, instances, Reason.API_AWAY, str(error))
        self._note(decision)
        return decision

    def give_up_lead(self) -> None:
        """Let another monitor lead at once."""
        if self._lock.owned():
            self._lock.release()

    def _lead(self) -> bool:
        """Take the lead, or renew it."""
        try:
            if self._lock.owned():
                return bool(self._lock.reacquire())
            if self._lock.acquire(blocking=False):
                return True
        except LockError:
            return False
        if self._redis.pttl(self._lock.name) > LEAD_SECONDS * 1000:  # the server's clock was set back meanwhile
            self._redis.expire(self._lock.name, round(LEAD_SECONDS))
        return False

    def _decide(self, service: Service, fleet: Fleet, queues: Iterable[str], idle_for: float) -> Decision:
        now = service.instances
        if service.suspended:
            return Decision(now, now, Reason.SERVICE_SUSPENDED, "The service is suspended on Render.")
        if service.autoscaled:
            sentence = "Render's own autoscaling is on for this service; turn it off, or unset AUTOSCALE_SERVICE."
            return Decision(now, now, Reason.RENDER_SCALES, sentence)
        return decide(self.policy, facts(fleet, queues, now, idle_for, self._since_change()))

    def _change(self, service: Service, decision: Decision) -> None:
        if not self.dry_run:
            self._api.scale(service.id, decision.wanted)
        seconds, micros = self._redis.time()
        self._redis.hset(
            self._ledger,
            mapping={
                "at": f"{seconds}.{micros:06d}",
                "before": decision.instances,
                "after": decision.wanted,
                "reason": decision.reason,
                "dry_run": int(self.dry_run),
            },
        )
        self.changes["out" if decision.wanted > decision.instances else "in"] += 1
        log.info(
            "autoscaler.scaled",
            service=service.name,
            before=decision.instances,
            after=decision.wanted,
            reason=decision.reason,
            sentence=decision.sentence,
            dry_run=self.dry_run,
        )

    def _since_change(self) -> float:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(self._ledger, "at")
            pipe.time()
            at, (seconds, micros) = pipe.execute()
        since = seconds + micros / 1e6 - float(at) if at else float("inf")
        return since if since > -STEP_SECONDS else float("inf")  # the server's clock was set back

    def _note(self, decision: Decision) -> None:
        """Count the decision; log one that changes nothing if its reason is new."""
        self.decision = decision
        self.decided[decision.reason] += 1
        if not decision.changes and decision.reason != self._last_reason:
            event = log.warning if decision.reason in _TROUBLE else log.info
            event("autoscaler.held", instances=decision.instances, reason=decision.reason, sentence=decision.sentence)
        self._last_reason = decision.reason


#: Reasons that a person should know.
_TROUBLE: Final = frozenset(
    {Reason.AT_MAXIMUM, Reason.NO_CONSUMERS, Reason.SERVICE_SUSPENDED, Reason.RENDER_SCALES, Reason.API_AWAY}
)


def facts(fleet: Fleet, queues: Iterable[str], instances: int, idle_for: float, since_change: float) -> Facts:
    """Sum up the fleet as far as it works on `queues`."""
    names = set(queues)
    ours = [queue for queue in fleet.queues if queue.name in names]
    open_ones = [queue for queue in ours if not queue.paused]  # more instances would not begin what is paused
    return Facts(
        instances=instances,
        consumers=sum(1 for consumer in fleet.consumers if names & set(consumer.queues)),
        oldest_wait=max((queue.next_waits or 0.0 for queue in open_ones), default=0.0),
        waiting=sum(queue.waiting for queue in open_ones),
        running=sum(queue.running for queue in ours),
        queues_suspended=fleet.suspended,
        idle_for=idle_for,
        since_change=since_change,
    )


def of_settings(settings: Settings) -> Policy:
    """Return the policy that the settings ask for."""
    return Policy(
        settings.autoscale_min,
        settings.autoscale_max,
        settings.autoscale_step,
        settings.autoscale_wait,
        settings.autoscale_idle,
        settings.autoscale_cooldown,
    )
