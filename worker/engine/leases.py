"""Leases: how long a claim lives without a heartbeat of its worker, what prolongs it, and which workers are dead.

A worker is alive while its record exists. Each claim sets the record's time to live, each heartbeat prolongs it. A
worker whose record is gone while it still holds claims is dead, and its claims are orphans (``rescue.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from worker.redis import scripts
from worker.redis.calls import ScriptCalls, Value
from worker.text import name_of

#: Seconds that a claim's registry entry and execution record outlive their last heartbeat. RQ's own cleaning
#: (`rq info`, dashboards, plain workers) fails a started job only after that, so it must exceed any outage that we
#: wait out; our rescue does not wait for it.
LEASE_SECONDS: Final = 900
#: A worker that holds claims and has sent no heartbeat for this long is dead.
BUSY_TTL_SECONDS: Final = 30
#: The same for an idle worker, which has no claims to lose: long, so that idling costs next to no commands. RQ's
#: default worker_ttl (420) plus its grace of 60.
IDLE_TTL_SECONDS: Final = 480
#: First letter of our executions' names. RQ's are hex UUIDs, which never begin with it; RQ's rules apply to those.
EXECUTION_MARK: Final = "w"


#: Workers whose claims one call keeps alive, hundreds each perhaps: some ms of the server's time.
WORKERS_A_CALL: Final = 4


def heartbeat(calls: ScriptCalls, worker_names: Iterable[str], memory_mb: Mapping[str, int] | None = None) -> list[str]:
    """Keep workers and their claims alive; returns the names of those that must register again."""
    names, memory, lost = list(worker_names), memory_mb or {}, []
    for first in range(0, len(names), WORKERS_A_CALL):
        some = names[first : first + WORKERS_A_CALL]
        pairs: list[Value] = [value for name in some for value in (name, memory.get(name, ""))]
        lost += calls.call(scripts.HEARTBEAT, LEASE_SECONDS, BUSY_TTL_SECONDS, IDLE_TTL_SECONDS, *pairs)
    return list(map(name_of, lost))


@dataclass(frozen=True, slots=True)
class Orphans:
    """Who left claims behind: our `dead` workers, and made-up names for `abandoned` claims of plain RQ workers.

    `living` counts the claims of our living workers; -1: the server's clock was set forth, and nobody was looked for.
    """

    dead: list[str]
    abandoned: list[str]
    living: int


def orphans(calls: ScriptCalls, queues: Iterable[str]) -> Orphans:
    """Look for claims on `queues` whose worker is gone."""
    asked_at, latest = monotonic(), calls.clock.latest()
    served, queue, rank = list(queues), "", 0
    found = Orphans([], [], 0)
    while True:
        living, dead, abandoned, moment, name, rank = calls.call(
            scripts.ORPHANS, EXECUTION_MARK, BUSY_TTL_SECONDS, latest, queue, rank, *served
        )
        calls.clock.hear(float(moment), asked_at)
        known = set(found.dead)
        found = Orphans(
            found.dead + [worker for worker in map(name_of, dead) if worker not in known],
            found.abandoned + list(map(name_of, abandoned)),
            found.living + living,
        )
        if not name:
            return found
        asked_at, latest, queue = monotonic(), calls.clock.latest(), name_of(name)
