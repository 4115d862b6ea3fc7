"""Whether Redis is away, for one loop: a state with a beginning, a reason and an end, and how long to wait in it.

One event when trouble begins, at most one a minute while it lasts, one when it ends; Sentry gets one event for an
outage longer than that minute.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from worker import backoff, logs, sentry
from worker.process.slot import RedisState
from worker.redis.trouble import Eagerness, RedisTrouble

log = logs.get_logger()

#: The longest wait between two tries, where a try costs a name server, the provider or other clients something.
CAP_SECONDS: Final = 10.0
#: The same where a try is refused at once or slowed down by its own timeout: a whole fleet of 64 consumers then asks
#: a server that is coming back about 130 times a second, which it can answer, and the first job starts within 2 s.
SOON_CAP_SECONDS: Final = 1.0
#: The same during a failover: Sentinels answer thousands of questions a second, and are asked where the primary is.
PROMPT_CAP_SECONDS: Final = 0.2
BASE_SECONDS: Final = 0.1
#: While trouble lasts it is logged again this often.
REMIND_SECONDS: Final = 60.0
#: So often may a connection be cut without being called an outage, if the retry at once works.
FORGIVE_SECONDS: Final = 60.0
#: Trouble that comes back sooner than this after it ended has not ended: its backoff goes on.
RELAPSE_SECONDS: Final = 1.0


class Outage:
    """Whether Redis is away, for one loop.

    `on_edge` gets the new state, the reason's code and the commands that are refused (see `RedisTrouble.commands`)
    whenever one of them changes, the first success included. `reports`: an
    outage that lasts is told to Sentry; one loop an instance does that, because all have the same outage.

    A cut connection is no outage yet: a provider closes idle ones, a failover closes all. If the retry at once works,
    nobody hears of it but the debug log; a second cut within `FORGIVE_SECONDS` counts. Everything else counts at once.
    Where one call keeps working and another keeps failing, the backoff still grows (`RELAPSE_SECONDS`).
    """

    def __init__(self, on_edge: Callable[[RedisState, str, str], None], *, reports: bool = False) -> None:
        self._on_edge = on_edge
        self._reports = reports
        self._since: float | None = None  #: the first failure since the last success
        self._active = False
        self._connected = False
        self._attempts = 0  #: of this outage
        self._tries = 0  #: what the backoff counts
        self._ended_at = self._forgiven_at = float("-inf")
        self._reminded_at = 0.0
        self._reason: RedisTrouble | None = None
        self._reported = False
        self._told: set[str] = set()  #: the reasons that this outage has had

    @property
    def active(self) -> bool:
        """Whether there is an outage."""
        return self._active

    @property
    def unproven(self) -> bool:
        """Whether `over` is still to come: since the start, or since trouble."""
        return self._since is not None or not self._connected

    def note(self, reason: RedisTrouble) -> None:
        """Take in a failed call."""
        now = monotonic()
        if self._since is None:
            self._since = now
            if now - self._ended_at >= RELAPSE_SECONDS:
                self._tries = 0
        self._attempts += 1
        self._tries += 1
        about = (reason.code, reason.commands)
        changed = self._reason is None or (self._reason.code, self._reason.commands) != about
        self._reason = reason
        fields = {"code": reason.code, "sentence": reason.trouble.sentence, "fix": reason.trouble.fix}
        if self._attempts == 1 and self._forgives(reason, now):
            log.debug("redis.connection_lost", code=reason.code)
            return
        if changed or not self._active:
            self._on_edge(RedisState.OUTAGE, *about)
        if reason.code not in self._told:  # each reason once an outage: two that alternate are not logged for ever
            event = "redis.outage_changed" if self._active else "redis.outage_started"
            log.warning(event, **fields, detail=reason.detail or None)
            self._told.add(reason.code)
        if not self._active:
            self._active, self._reminded_at = True, now
            return
        if now - self._reminded_at >= REMIND_SECONDS:
            self._reminded_at = now
            seconds = now - self._since
            log.warning("redis.outage_continues", **fields, seconds=round(seconds), attempts=self._attempts)
            if self._reports and not self._reported:
                self._reported = True
                sentry.redis_outage(reason.code, reason.trouble.sentence, seconds)

    def delay(self) -> float:
        """Return how long to wait before the next try: the first at once, then full jitter up to the cap."""
        return 0.0 if self._reason is None else delay_after(self._tries, self._reason)

    def over(self) -> None:
        """Take in a call that succeeded."""
        if self._since is None and self._connected:
            return
        if self._since is not None:
            self._ended_at = monotonic()
            if self._active:
                seconds = round(self._ended_at - self._since, 1)
                log.info("redis.outage_ended", seconds=seconds, attempts=self._attempts)
        edge = self._active or not self._connected
        self._since, self._reason, self._attempts, self._reported = None, None, 0, False
        self._told.clear()
        self._active, self._connected = False, True
        if edge:
            self._on_edge(RedisState.CONNECTED, "", "")

    def _forgives(self, reason: RedisTrouble, now: float) -> bool:
        """Whether this first failure may be a connection that was closed while nothing was wrong."""
        if not self._connected or reason.code != "reset" or now - self._forgiven_at < FORGIVE_SECONDS:
            return False
        self._forgiven_at = now
        return True


def delay_after(tries: int, reason: RedisTrouble) -> float:
    """Return how long to wait in seconds after so many failed tries: the first retry is at once, then full jitter."""
    eagerness = reason.trouble.eagerness
    if eagerness is Eagerness.SLOWLY:
        return backoff.full_jitter(tries, base=CAP_SECONDS / 2, cap=CAP_SECONDS)
    if tries <= 1:
        return 0.0
    caps = {Eagerness.PROMPTLY: PROMPT_CAP_SECONDS, Eagerness.SOON: SOON_CAP_SECONDS}
    return backoff.full_jitter(tries - 1, base=BASE_SECONDS, cap=caps.get(eagerness, CAP_SECONDS))
