"""The leader's chore that finds strays, jobs in no list although their status promises one, and puts them back.

Plain RQ workers leave strays when they die between two commands, producers when they write a job in two steps and lose
the second. The chore looks at every job's hash, a bounded number at a time, seldom, and while this instance is idle. A
job is put back when it was astray at two looks, `GRACE_SECONDS` apart by the server's clock, and has not moved between.
The second look and the putting back are one script, so a job is never put back twice, and never while its producer
still writes it. A scheduled job is only named: another program may keep it, a scheduler that we do not know, and when
it is due stands nowhere else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from worker import logs
from worker.dispatcher.leader import Lead, NotLeader
from worker.engine.leases import EXECUTION_MARK, LEASE_SECONDS
from worker.keys import Keys
from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.text import name_of

log = logs.get_logger()

#: Between two passes over all jobs.
PASS_SECONDS: Final = 6 * 3600.0
#: A pass that is due waits this long for a calm moment, and looks for one this often.
MOST_POSTPONED_SECONDS: Final = 24 * 3600.0
POSTPONE_SECONDS: Final = 900.0
#: Between the two looks: producers that write a job in two steps need far less.
GRACE_SECONDS: Final = 120.0
#: Keys that one SCAN looks at.
PAGE: Final = 500
#: Pages of one run, so that the dispatcher's other chores are kept waiting for milliseconds only.
PAGES: Final = 5
#: Of jobs that are left alone, one log line names so many.
NAMED: Final = 10
SCHEDULED: Final = "scheduled"
UNKNOWN_KEEPER: Final = (
    "They are scheduled, and neither RQ's scheduler nor rq-scheduler has them. If another program keeps them, all is "
    "well; else enqueue them again or delete them: nobody knows when they are due."
)
#: Strays that are remembered from the first look; more wait for the next pass.
MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Stray:
    """A job that stands in no list. `mark` changes when it moves."""

    job_id: str
    status: str
    queue: str
    mark: str


def page(calls: ScriptCalls, cursor: int) -> tuple[int, list[Stray]]:
    """Look at one page of keys; returns the next cursor (0 = that was all) and the strays. Changes nothing."""
    lead_in = Keys(calls.prefix).job("")
    reply: Any = calls.redis.scan(cursor, match=f"{lead_in}*", count=PAGE)
    ids = [key[len(lead_in) :] for key in reply[1] if key[len(lead_in) :][:1] != b":"]  # rq:job::<id>:dependencies
    found = calls.call(scripts.STRAYS, *ids) if ids else []
    return int(reply[0]), [Stray(*(part.decode(errors="replace") for part in row)) for row in found]


def all_strays(calls: ScriptCalls) -> Iterator[Stray]:
    """Look at every job once. Changes nothing."""
    cursor = -1
    while cursor:
        cursor, found = page(calls, max(cursor, 0))
        yield from found


class StrayChore:
    """`calm` says whether this instance is idle; `put_back` is called after jobs were put back: some may be orphans."""

    name = "reconcile"  # stands in Redis (`rq:agenda`), where instances of other releases read it

    def __init__(self, calls: ScriptCalls, calm: Callable[[], bool], put_back: Callable[[], None]) -> None:
        self._calls = calls
        self._calm = calm
        self._put_back = put_back
        self._cursor = 0
        self._seen: dict[str, Stray] = {}
        self._second_look_at = 0.0
        self._due_since: float | None = None

    def run(self, lead: Lead) -> float:
        """Take the next step: a look at some pages, or after the last one the second look at what was found."""
        if self._second_look_at:
            return self._look_again(lead)
        if not self._cursor and not self._may_begin():
            return POSTPONE_SECONDS
        for _ in range(PAGES):
            self._cursor, found = page(self._calls, self._cursor)
            self._seen |= {stray.job_id: stray for stray in found[: MOST - len(self._seen)]}
            if not self._cursor:
                break
        if self._cursor:
            return 0.2
        self._due_since = None
        if not self._seen:
            return _next_pass()
        self._second_look_at = lead.server_time + GRACE_SECONDS
        return GRACE_SECONDS + 1

    def _may_begin(self) -> bool:
        self._due_since = self._due_since or monotonic()
        return self._calm() or monotonic() - self._due_since > MOST_POSTPONED_SECONDS

    def _look_again(self, lead: Lead) -> float:
        if (wait := self._second_look_at - lead.server_time) > GRACE_SECONDS:  # the server's clock was set back
            self._second_look_at, wait = lead.server_time + GRACE_SECONDS, GRACE_SECONDS
        if wait > 0:
            return wait
        pairs = [part for stray in self._seen.values() for part in (stray.job_id, stray.mark)]
        adopter = EXECUTION_MARK + "0" * 23
        reply: Any = self._calls.call(scripts.RETURN_STRAYS, lead.name, lead.token, adopter, LEASE_SECONDS, *pairs)
        self._seen, self._second_look_at = {}, 0.0
        if reply == -1:
            raise NotLeader
        astray = [tuple(map(name_of, row)) for row in reply]
        returned = [row for row in astray if row[1] != SCHEDULED]
        for job_id, status, queue in returned:
            log.error("job.put_back", job_id=job_id, queue=queue, status=status, why="it stood in no list")
        if returned:
            self._put_back()
        if left := [job_id for job_id, status, _ in astray if status == SCHEDULED]:
            log.warning("jobs.left_alone", jobs=len(left), job_ids=left[:NAMED], why=UNKNOWN_KEEPER)
        return _next_pass()


def _next_pass() -> float:
    return PASS_SECONDS * random.uniform(0.9, 1.1)
