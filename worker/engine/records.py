"""What a worker and the server tell each other: outcomes go there, claims come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from worker.engine.meta import MetaChange
from worker.redis.calls import Value
from worker.text import name_of


@dataclass(frozen=True, slots=True)
class Claim:
    """One job in our hands: its id, the execution that owns it, where it came from, its hash as it was queued."""

    job_id: str
    execution_id: str
    origin: str
    queue: str
    fields: dict[bytes, bytes] = field(repr=False)


@dataclass(slots=True)
class Finished:
    """The job returned. `value` is the return value as RQ stores it (base64), b"" for None."""

    claim: Claim
    started: float
    ended: float
    result_ttl: int
    value: bytes = field(repr=False, default=b"")
    in_group: bool = False
    tries: int = 0  #: how often it was sent before, and may have been written in part
    notes: Any = field(repr=False, default=None)  #: what the caller needs again when RQ's code must finish the job


@dataclass(slots=True)
class Retried:
    """The attempt failed and another one follows after `delay` seconds; `fields` are written on the job's hash."""

    claim: Claim
    started: float
    ended: float
    delay: float
    at_front: bool
    fields: dict[str, Value] = field(repr=False)
    tries: int = 0
    notes: Any = field(repr=False, default=None)


@dataclass(slots=True)
class Buried:
    """The job failed for good. `exc_string` as RQ stores it; `fields` are written on the job's hash."""

    claim: Claim
    started: float
    ended: float
    failure_ttl: int
    letters_queue: str
    exc_string: bytes = field(repr=False)
    fields: dict[str, Value] = field(repr=False)
    letter: dict[str, Any] = field(repr=False)  #: the record that `fields` hold as JSON (``dead_letter.py``)
    meta: MetaChange | None = field(repr=False, default=None)  #: what puts the record into the job's meta
    tries: int = 0
    by_force: bool = False  #: end it although keys of its own hold something else
    forced: bool = False  #: bury it although others (dependents, webhooks, a rate limit) must hear of it
    traceback: str = field(repr=False, default="")  #: of what it raised, for the log
    notes: Any = field(repr=False, default=None)


Outcome: TypeAlias = Finished | Retried | Buried


@dataclass(frozen=True, slots=True)
class Paused:
    """What was paused when the server was asked for claims: (function, queue), "" for any of them.

    `ends_in`: seconds until the first of these pauses ends by itself; infinity = none does.
    """

    what: tuple[tuple[str, str], ...] = ()
    ends_in: float = float("inf")

    @classmethod
    def read(cls, reply: Sequence[bytes]) -> Paused:
        """Read what ``scripts/_claim.lua`` lists: function, queue, seconds left, …"""
        names = tuple((name_of(reply[at]), name_of(reply[at + 1])) for at in range(0, len(reply), 3))
        left = [float(seconds) for seconds in reply[2::3] if float(seconds) >= 0]
        return cls(names, min(left, default=float("inf")))

    def closes(self, queue: str) -> bool:
        """Whether nothing is claimed from a queue."""
        return any(not function and paused in ("", queue) for function, paused in self.what)

    def holds(self, function: str, queue: str) -> bool:
        """Whether jobs of a function, on a queue that is not closed, must wait."""
        return any(name == function and paused in ("", queue) for name, paused in self.what)

    @property
    def functions(self) -> bool:
        """Whether it concerns single functions."""
        return any(function for function, _ in self.what)


NOTHING_PAUSED: Final = Paused()


@dataclass(slots=True)
class ClaimReply:
    """What the server answered to outcomes and a request for claims."""

    claims: list[Claim] = field(default_factory=list)
    suspended: bool = False
    asked: bool = True  #: False: the server was not asked for claims
    registered: bool = True  #: False: the worker's own hash is gone and must be written again
    left: int = 0  #: ids that remained on the queues (only counted when the batch is full)
    problem: str = ""  #: what the server answered when it refused to let a queue be claimed from; the others were
    moment: float = 0.0  #: the server's time (Unix seconds)
    paused: Paused | None = None  #: None: nobody looked, because no claims were asked for
    fenced: list[str] = field(default_factory=list)  #: executions whose outcome was dropped: the claim was lost
    unsettled: list[str] = field(default_factory=list)  #: executions that RQ's own code must finish

    @classmethod
    def read(cls, reply: Any, *, settled: bool) -> ClaimReply:
        """Read what ``scripts/settle.lua`` replied, or without `settled` ``scripts/claim.lua``."""
        claimed, fenced, unsettled = reply if settled else (reply, (), ())
        suspended, registered, left, problem, moment, paused, *rows = claimed
        claims = [
            Claim(name_of(job_id), name_of(execution), name_of(origin), name_of(queue), pairs(flat))
            for job_id, execution, origin, queue, flat in rows
        ]
        return cls(
            claims,
            suspended=bool(suspended),
            registered=bool(registered),
            left=left,
            problem=problem.decode(errors="replace"),
            moment=float(moment),
            paused=None if isinstance(paused, bytes) else Paused.read(paused) if paused else NOTHING_PAUSED,
            fenced=list(map(name_of, fenced)),
            unsettled=list(map(name_of, unsettled)),
        )


@dataclass(slots=True)
class LeftBehind:
    """What a dead worker left: how many claims were released, and the job whose code was running, if any."""

    released: int
    running: list[Claim]

    @classmethod
    def read(cls, reply: Any) -> LeftBehind:
        """Read what ``scripts/rescue.lua`` replied."""
        released, *running = reply
        claims = [
            Claim(name_of(job_id), name_of(execution), name_of(origin), name_of(origin), pairs(flat))
            for job_id, execution, origin, flat in running
        ]
        return cls(released, claims)


def pairs(flat: Sequence[bytes]) -> dict[bytes, bytes]:
    """Turn a flat HGETALL reply into a dict."""
    fields = iter(flat)
    return dict(zip(fields, fields, strict=True))
