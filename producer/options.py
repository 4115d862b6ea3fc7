"""What a call may ask for besides its arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack


@dataclass(frozen=True, slots=True)
class Retry:
    """RQ's `Retry`: up to `max` further attempts, after `interval` seconds or, one after the other, those of a list."""

    max: int
    interval: int | Sequence[int] = 0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """RQ's `RateLimit`: of the jobs with this `key`, at most `concurrency` are queued or running at a time."""

    key: str
    concurrency: int


@dataclass(frozen=True, slots=True)
class Debounce:
    """The last call wins: one job runs, with its arguments, once nobody has called for `seconds`.

    Counted are calls of one function with one `key`. `max_wait`: it runs so many seconds after the first call, even if
    calls go on. A call while the job runs makes the next one.
    """

    key: str
    seconds: int
    max_wait: int | None = None


@dataclass(frozen=True, slots=True)
class Throttle:
    """The first call wins: at most one job in `seconds`, of the calls of one function with one `key`."""

    key: str
    seconds: int


class Options(TypedDict, total=False):
    """Of `Producer.enqueue` and `Call`. Times are seconds."""

    kwargs: Mapping[str, Any] | None
    queue: str  #: "default" unless told
    job_id: str | None  #: letters, digits, "-" and "_"; made up unless told; one that exists is left as it is
    unique: str | None  #: what the job is about: all jobs of a function about it share one id
    rerun_after: float | None  #: a job of that id that ended so long ago, or longer, is run again, in place
    timeout: int | None  #: 180 unless told
    result_ttl: int | None  #: -1 keeps the result for ever, 0 not at all
    failure_ttl: int | None
    ttl: int | None  #: a job that has not begun by then is dropped
    retry: Retry | int | None
    meta: Mapping[str, Any] | None
    description: str | None  #: what people see; by default the call with its arguments
    at_front: bool
    callback_url: str | None  #: told of the job's end by a signed request from the worker (`jobs.delivery`)
    delay: float | timedelta | None  #: begin so long after now, by Redis's clock, and not before
    at: datetime | float | None  #: begin at that moment, an aware datetime or a Unix time, and not before
    depends_on: str | Sequence[str] | None  #: begin when these jobs have finished; one that is gone counts as finished
    allow_failure: bool  #: a dependency that has failed will do, too
    group: str | None  #: RQ's `Group` of that name has the job
    rate_limit: RateLimit | None
    debounce: Debounce | None
    throttle: Throttle | None
    idempotency_key: str | None  #: calls with this key make one job; the same key with other arguments is an error
    idempotency_ttl: int  #: how long the key is remembered; a day unless told
    traceparent: str | None  #: W3C Trace Context; goes into `meta`, and the worker goes on with the trace
    tracestate: str | None


class Call:
    """One job of `Producer.enqueue_many`: ``Call("jobs.mail.send", 7, delay=60)``, as `Producer.enqueue` takes it."""

    __slots__ = ("args", "function", "options")

    def __init__(self, function: str, *args: Any, **options: Unpack[Options]) -> None:
        unknown = sorted(options.keys() - Options.__annotations__.keys())
        if unknown:
            raise TypeError(f"a job has no option {unknown[0]!r}; there are {', '.join(Options.__annotations__)}")
        self.function = function
        self.args = args
        self.options = options

    def __repr__(self) -> str:
        return f"Call({self.function!r}, …)"
