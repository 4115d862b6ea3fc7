"""What only one instance of the fleet does: the leader's chores.

There is no election. A dispatcher takes the lead when one of these chores falls due, keeps it for seconds after its
last write, and resigns when it stops. So a fleet without such chores costs no commands, and when a leader dies over a
chore another takes it up within LEADER_SECONDS (``scripts/_leader.lua``) and a second. Each write of the leader checks
its token inside the script: a leader that was paused is refused once another leads, or has led. All times are the
server's.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from worker import logs
from worker.redis import scripts
from worker.redis.calls import ScriptCalls, Value
from worker.redis.scripts import Script

log = logs.get_logger()

#: Seconds over which instances that wait for the same lead spread their next try.
SPREAD_SECONDS: Final = 1.0


class NotLeader(Exception):
    """Another instance leads by now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The lead at one moment: `server_time` is Unix time on the server's clock when it was taken."""

    name: str
    token: str
    server_time: float


class Leadership:
    """The lead as one dispatcher takes and uses it. Raises `RedisTrouble`."""

    def __init__(self, calls: ScriptCalls, name: str) -> None:
        self._calls = calls
        self.name = f"{name}#{secrets.token_hex(4)}"  # a successor with the same name is another leader
        self._token = 0  #: the last one that was ours
        self.clock = calls.clock

    def take(self, chore: str) -> Lead | float:
        """Take the lead for a chore that may be due; returns the lead, or seconds until it is worth another try."""
        asked_at = monotonic()
        token, wait, moment = (value.decode() for value in self._calls.call(scripts.LEAD, self.name, chore))
        self.clock.hear(float(moment), asked_at)
        if not token:
            return float(wait)
        before, self._token = self._token, int(token)
        if self._token > before + 1 or not before:  # else the lead had lapsed and no other took it: no news
            log.info("leader.elected", leader=self.name, token=self._token)
        return Lead(self.name, token, float(moment))

    def act(self, lead: Lead, script: Script, *args: Value) -> int:
        """Run a script that checks the fence first (``_leader.lua``); raises `NotLeader` when it answers -1."""
        answer = int(self._calls.call(script, lead.name, lead.token, *args))
        if answer < 0:
            raise NotLeader
        return answer

    def done(self, lead: Lead, chore: str, wait: float) -> None:
        """Note in Redis that `chore` is not due for `wait` seconds, in the whole fleet."""
        self.act(lead, scripts.DONE, chore, wait)

    def resign(self) -> None:
        """Give the lead up, if it is ours."""
        if self._token and self._calls.call(scripts.RESIGN, self.name):
            log.info("leader.abdicated", leader=self.name)
        self._token = 0


class LeaderChore(Protocol):
    """A chore that one instance does for the whole fleet. Its writes go through `Leadership.act`."""

    name: str  #: one for the whole fleet, stable over releases

    def run(self, lead: Lead) -> float:
        """Do it once; returns seconds until it is next due: 0 if there is more to do at once."""
        ...


class LeaderOnly:
    """Turns a leader's chore into a chore of the dispatcher; a new instance leaves it alone for `after` seconds."""

    def __init__(self, leadership: Leadership, chore: LeaderChore, *, after: float = 0.0) -> None:
        self._looked_at = monotonic()
        self._due = self._looked_at + after
        self._leadership = leadership
        self._chore = chore

    @property
    def due(self) -> float:
        """When to look next (monotonic); what is due by a clock that was set anew must be found out."""
        return 0.0 if self._leadership.clock.stepped_at > self._looked_at else self._due

    def run(self) -> None:
        """Do it if it is due in the fleet and we may lead."""
        self._looked_at = monotonic()
        lead = self._leadership.take(self._chore.name)
        if not isinstance(lead, Lead):
            self._due = monotonic() + lead + random.uniform(0, SPREAD_SECONDS)
            return
        try:
            wait = self._chore.run(lead)
            if wait > 0:
                self._leadership.done(lead, self._chore.name, wait)
        except NotLeader:
            log.warning("leader.deposed", leader=lead.name, token=int(lead.token), chore=self._chore.name)
            wait = 0.0
        self._due = monotonic() + wait
