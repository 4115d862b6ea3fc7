"""Every claim that a consumer has, in exactly one place.

A claim is *waiting* (it has not begun), *running*, *done* (its outcome is known and the server has not taken it), *for
RQ* (RQ's own code must finish it) or *interrupted* (a hard stop cut it short). Whatever asks what the consumer holds
asks here; a claim that stood in none of these places would be released by `Exchanger.recover` and run a second time.

The consumer's main thread, the threads of its pool and its housekeeper use one object, under one lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from threading import Lock
from time import monotonic
from typing import Any

from rq.job import Job

from worker.engine.records import Buried, Claim, Outcome, Retried
from worker.redis.calls import Value


@dataclass(slots=True, eq=False)
class Ending:
    """A job that RQ's code must finish: `value` if it returned, `error` if it raised, `outcome` if one was decided.

    `context` is a copy of the context in which the object is made: a job's own, or the clean one of whoever decides.
    """

    job: Job | None  #: None: its hash cannot be read, so it was buried without having run
    claim: Claim
    started: float
    value: Any = None
    error: BaseException | None = None
    outcome: Retried | Buried | None = None
    stopped: bool = False
    tries: int = 0
    thread: int = 0  #: the thread that finishes it, by its ident; 0 = whoever settles, -1 = the next free one
    lost: bool = False  #: its claim was handed back while its callbacks ran: what comes of them is dropped
    unwritten: Exception | None = None  #: why RQ's transaction failed, the last time
    letter: tuple[Value, ...] = ()  #: what makes its dead letter, once RQ has been told to fail it
    context: Context = field(default_factory=copy_context, repr=False)


class InFlight:
    """The claims of one consumer. Its length is how many of them have begun or will, in the main thread or the pool."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: deque[Claim] = deque()
        self._running: dict[str, Claim] = {}
        self._done: list[Outcome] = []
        self._for_rq: list[Ending] = []
        self._interrupted: list[Claim] = []
        self._stranded: list[Claim] = []  #: the server takes no outcome of theirs
        self.moved_at = 0.0  #: when (monotonic) claims last came or began

    # -- what is there -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._waiting) + len(self._running) + (len(self.in_callbacks) if self._for_rq else 0)

    @property
    def empty(self) -> bool:
        """Whether nothing is left to run, to settle or to finish."""
        return not (self._waiting or self._running or self._done or self._for_rq)

    @property
    def only_callbacks(self) -> bool:
        """Whether nothing is left but what threads finish."""
        return not (self._waiting or self._running or self._done or self.endings)

    @property
    def waiting(self) -> list[Claim]:
        """The claims that have not begun."""
        return list(self._waiting)

    @property
    def running(self) -> list[Claim]:
        """The claims that have begun and have no outcome."""
        return list(self._running.values())

    @property
    def done(self) -> list[Outcome]:
        """The outcomes that the server has not taken, in their order."""
        return self._done[:]

    @property
    def endings(self) -> list[Ending]:
        """The jobs that RQ's code must finish, in their order, but for those that a thread sees to."""
        return [ending for ending in self._for_rq if not ending.thread]

    @property
    def in_callbacks(self) -> list[Ending]:
        """The jobs that RQ's code finishes in threads."""
        return [ending for ending in self._for_rq if ending.thread]

    @property
    def interrupted(self) -> list[Claim]:
        """The claims that a hard stop cut short."""
        return self._interrupted[:]

    def executions(self) -> frozenset[str]:
        """Return the executions of all claims."""
        with self._lock:
            claims = [*self._waiting, *self._running.values(), *self._interrupted, *self._stranded]
            claims += [outcome.claim for outcome in self._done] + [ending.claim for ending in self._for_rq]
        return frozenset(claim.execution_id for claim in claims)

    # -- how a claim moves -------------------------------------------------------------------------------------------

    def load(self, claims: Iterable[Claim]) -> None:
        """Take in what was claimed; waits while the housekeeper gives claims back, or it would drop these too."""
        with self._lock:
            self._waiting.extend(claims)
            self.moved_at = monotonic()

    def begin(self) -> Claim | None:
        """Begin the next claim; waits while the housekeeper gives claims back."""
        with self._lock:
            self.moved_at = monotonic()
            if not self._waiting:
                return None
            claim = self._waiting.popleft()
            self._running[claim.execution_id] = claim
            return claim

    def finish(self, outcome: Outcome) -> None:
        """Note what became of a claim."""
        with self._lock:
            self._forget(outcome.claim)
            self._done.append(outcome)

    def replace(self, outcome: Outcome, other: Outcome) -> None:
        """Put another outcome of the same claim in the place of one."""
        with self._lock:
            self._done[self._done.index(outcome)] = other

    def strand(self, outcome: Outcome) -> None:
        """Set an outcome aside that the server takes in no form; its claim stays ours, so that nobody runs the job."""
        with self._lock:
            self._done.remove(outcome)
            self._stranded.append(outcome.claim)

    def finish_with_rq(self, ending: Ending) -> None:
        """Note that RQ's code must finish a claim."""
        with self._lock:
            self._forget(ending.claim)
            self._for_rq.append(ending)

    def interrupt(self, claim: Claim) -> None:
        """Note that a hard stop cut a claim short."""
        with self._lock:
            for ending in self._for_rq:
                ending.lost = ending.lost or ending.claim is claim
            self._forget(claim)
            self._interrupted.append(claim)

    def forget(self, claims: Iterable[Claim]) -> None:
        """Forget claims that are ours no more: given back after an interruption, or lost while they ran."""
        with self._lock:
            for claim in claims:
                self._forget(claim)

    def settled(self, sent: Sequence[Outcome], for_rq: Iterable[Ending] = ()) -> None:
        """Forget the first outcomes, which the server has taken; those that it has left to RQ stay, `for_rq`."""
        with self._lock:
            del self._done[: len(sent)]
            self._for_rq.extend(for_rq)

    def finished_by_rq(self, ending: Ending) -> None:
        """Forget a claim that RQ's code has finished, unless it has an outcome now."""
        with self._lock:
            self._forget(ending.claim)

    def leave_to_main_thread(self) -> None:
        """Let the main thread finish what threads have not."""
        with self._lock:
            for ending in self._for_rq:
                ending.thread = 0

    @contextmanager
    def giving_back(self) -> Iterator[list[Claim]]:
        """Take out every claim that has not begun; the block releases them. Until it is over nothing begins.

        If the block fails they stay out: the server may have put them back already, so they must not run here. What it
        still holds in our name, `Exchanger.recover` releases.
        """
        with self._lock:
            claims = list(self._waiting)
            self._waiting.clear()
            yield claims

    def _forget(self, claim: Claim) -> None:
        self._running.pop(claim.execution_id, None)
        if self._interrupted:
            self._interrupted = [one for one in self._interrupted if one is not claim]
        if self._for_rq:
            self._for_rq = [ending for ending in self._for_rq if ending.claim is not claim]
