"""Find the outcome that the server does not take.

A server that refuses one request and answers the next PING is not away: it refuses what the request holds (a result
above its request limit, a job whose keys hold something else), or hangs up over it. Then the outcomes are sent by
halves until the culprit stands alone. It is buried in words; its neighbours are settled.
"""

from __future__ import annotations

from typing import Final

from redis.exceptions import RedisError, ResponseError

from worker import logs
from worker.consumer.accounts import Accounts
from worker.consumer.in_flight import InFlight
from worker.engine.claims import Claims
from worker.engine.outcomes import Decider
from worker.engine.records import Buried, Finished, Outcome
from worker.process.slot import Slot
from worker.redis.translate import answer_in
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

#: Outcomes that are sent in one request, unless the first alone is larger: a tenth of Upstash's limit for a request.
REQUEST_BYTES: Final = 1_000_000
#: What a server may answer because of what a request holds. All other trouble concerns any request.
ABOUT_CONTENT: Final = frozenset({"too_large", "wrong_type", "reset", "unknown", "not_redis"})
#: A cut connection says nothing about what was sent; the same request cut twice does, if a PING in between is answered.
_CUTS: Final = 2
#: No server's limit for requests is so low: what hangs up over less is a bad network, as a rule.
_SMALL_BYTES: Final = 100_000
_CUTS_OF_SMALL: Final = 20


class Refusals:
    """What one consumer has learned about its outcomes."""

    def __init__(self, claims: Claims, in_flight: InFlight, decider: Decider, accounts: Accounts, slot: Slot) -> None:
        self._claims = claims
        self._in_flight = in_flight
        self._decider = decider
        self._accounts = accounts
        self._slot = slot
        self._most: int | None = None  #: outcomes in one request; None while none was refused
        self._cuts = 0
        self._stranded: list[str] = []  #: executions whose outcome the server takes in no form
        self._shown = True  #: whether the slot shows more than those; a predecessor's, at first

    @property
    def searching(self) -> bool:
        """Whether a culprit is looked for."""
        return self._most is not None or self._cuts > 0

    def portion(self, done: list[Outcome]) -> list[Outcome]:
        """Return the first outcomes, as many as may be sent in one request."""
        total = 0
        for count, outcome in enumerate(done[: self._most]):
            total += size_of(outcome)
            if count and total > REQUEST_BYTES:
                return done[:count]
        return done[: self._most]

    def taken(self, sent: list[Outcome]) -> None:
        """Note that a request was taken."""
        self._cuts = 0
        if self._most is not None and sent:
            self._most = None if len(self._in_flight.done) <= self._most else self._most * 2
        if self._shown and sent and not self.searching:
            self._show([])

    def concerns(self, sent: list[Outcome], error: RedisTrouble | ResponseError) -> bool:
        """Take in a refusal of `sent`; True when it is about them and what `portion` gives now may be sent at once."""
        for outcome in sent:
            outcome.tries += 1
        code = error.code if isinstance(error, RedisTrouble) else ""
        if not sent or (code and code not in ABOUT_CONTENT):
            return False
        self._show(sent)
        if not self._server_is_well():
            self._show([])
            return False
        if code == "reset":
            self._cuts += 1
            if self._cuts < _CUTS:
                return True
            if sum(map(size_of, sent)) < _SMALL_BYTES and self._cuts < _CUTS_OF_SMALL:
                return False  # as in any outage, with its waits
        self._cuts = 0
        if len(sent) > 1:
            self._most = len(sent) // 2
            return True
        self._bury(sent[0], error)
        return True

    def _show(self, refused: list[Outcome]) -> None:
        """Show on the slot whose outcome is refused: should this process die over it, the successor blames those jobs.

        Otherwise each of them would be run for every process that it costs, without a limit.
        """
        self._shown = bool(refused)
        self._slot.note_refused([*self._stranded, *(outcome.claim.execution_id for outcome in refused)])

    def _server_is_well(self) -> bool:
        redis = self._claims.redis
        redis.connection_pool.disconnect(inuse_connections=False)
        try:
            return bool(redis.ping())
        except (RedisTrouble, RedisError):
            return False

    def _bury(self, culprit: Outcome, error: RedisTrouble | ResponseError) -> None:
        """Bury a job with fewer words than the server has refused; the second time, by force."""
        self._most = None
        size = size_of(culprit)
        answer = answer_in(error)
        outcome = self._decider.refused_outcome(culprit, size, answer)
        outcome.tries = 1
        outcome.forced = True
        if isinstance(culprit, Buried) and culprit.letter.get("reason") == outcome.letter["reason"]:
            if culprit.by_force:
                log.critical("job.unsettled", job_id=culprit.claim.job_id, error=answer[:500])
                self._in_flight.strand(culprit)
                self._stranded.append(culprit.claim.execution_id)
                self._show([])
                return
            outcome.by_force = True
        log.warning("job.outcome_refused", job_id=culprit.claim.job_id, bytes=size, error=answer[:500])
        self._in_flight.replace(culprit, outcome)
        if not outcome.by_force:
            self._accounts.ended(outcome, outcome.notes[0], None, counted=True)


def size_of(outcome: Outcome) -> int:
    """Return about how many bytes an outcome takes in a request."""
    if isinstance(outcome, Finished):
        return len(outcome.value)
    size = sum(len(value) for value in outcome.fields.values() if isinstance(value, (bytes, str)))
    if isinstance(outcome, Buried):
        size += len(outcome.exc_string) + (len(outcome.meta.written) if outcome.meta is not None else 0)
    return size
