"""Error reports: one event for every job that failed for good, none for an attempt that is tried again; and traces.

Names and tags follow sentry-sdk's own RQ integration (transaction = function name, context ``rq-job``), which is not
used itself: it patches RQ's `perform_job`, which our consumers do not run. Argument values are never sent. sentry-sdk
is only imported when a DSN is set, and only set up after the fork, because its transport owns a thread.

A team may bring its own Sentry: a job module or a `lifecycle` hook has called `sentry_sdk.init`. Then its client gets
the same events and transactions, by its own options, without SENTRY_DSN. A trace that a producer has begun is
continued: sentry-sdk puts its headers into the job's meta when its RQ integration is on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from worker import logs

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

    from worker.settings import Settings

log = logs.get_logger()

#: Where sentry-sdk keeps the headers of the trace in which a job was enqueued.
_TRACE_HEADERS: Final = "_sentry_trace_headers"
#: Characters of a job's id and of its queue's name, which its producer has chosen.
_MOST_CHARACTERS: Final = 255
#: Used instead of a transaction when none is wanted; one for all jobs, because it has no state.
_UNTRACED: Final = nullcontext()


def init(settings: Settings, role: str) -> None:
    """Turn reports on in this process if SENTRY_DSN is set."""
    if settings.sentry_dsn is None:
        return
    import sentry_sdk  # noqa: PLC0415 — costs 140 ms and 20 MB, which services without Sentry do not pay

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        release=settings.release,
        server_name=settings.instance,
        traces_sample_rate=settings.sentry_traces_sample_rate,
        send_default_pii=False,
        include_local_variables=False,  # locals of job code hold argument values
        default_integrations=False,  # none of them knows a forked consumer; excepthook and logging would double events
        auto_enabling_integrations=False,
        max_request_body_size="never",
        shutdown_timeout=2,
        before_send=_without_secrets,
        before_send_transaction=_without_secrets,
    )
    sentry_sdk.set_tag("role", role)


def _client() -> Any:
    """Return the client of this process, ours or the team's own; None where there is none. Imports nothing."""
    sdk = sys.modules.get("sentry_sdk")
    client = sdk.get_client() if sdk is not None else None
    return client if client is not None and client.is_active() else None


def become_fork() -> None:
    """Send by means of one's own, in a fork that runs a job: what waits to be sent, its consumer sends."""
    client = _client()
    if client is None:
        return
    from sentry_sdk.transport import make_transport  # noqa: PLC0415

    client.transport = make_transport(client.options)


def isolated(*, new_trace: bool = False) -> AbstractContextManager[object]:
    """Give the block scopes of its own: what it sets (user, tags, breadcrumbs, transaction) is gone behind it.

    With `new_trace` its events belong to no trace of what ran before. It works for a client that somebody else has set
    up, too, and costs nothing where sentry-sdk is not loaded.
    """
    return _own_scopes(new_trace) if "sentry_sdk" in sys.modules else _UNTRACED


@contextmanager
def _own_scopes(new_trace: bool) -> Iterator[None]:
    import sentry_sdk  # noqa: PLC0415

    with sentry_sdk.isolation_scope() as scope:
        if new_trace:
            scope.set_new_propagation_context()
        yield


def trace(*, job_id: str, queue: str, function: str, attempt: int, meta: object) -> AbstractContextManager[object]:
    """Make the block, a run of job code, one transaction; it costs nothing when no traces are wanted.

    It belongs to the trace in which the job was enqueued, if there is one, and so do the events of the block. Names
    are those of Sentry's queues module (op ``queue.task``, data ``messaging.*``). An exception that ends the
    block marks it as an error.
    """
    client = _client()
    if client is None:
        return _UNTRACED
    import sentry_sdk  # noqa: PLC0415

    headers = _trace_headers(meta)
    if not (client.options.get("traces_sample_rate") or client.options.get("traces_sampler")):
        if headers:
            sentry_sdk.continue_trace(headers)  # for the job's events
        return _UNTRACED
    transaction = sentry_sdk.start_transaction(
        sentry_sdk.continue_trace(headers, op="queue.task", name=function, source="task")
    )
    transaction.set_data("messaging.destination.name", queue[:_MOST_CHARACTERS])
    transaction.set_data("messaging.message.id", job_id[:_MOST_CHARACTERS])
    transaction.set_data("messaging.message.retry.count", attempt - 1)
    transaction.set_status("ok")  # an exception writes over it
    return transaction


def _trace_headers(meta: object) -> dict[str, str]:
    headers = meta.get(_TRACE_HEADERS) if isinstance(meta, dict) else None
    if not isinstance(headers, dict):
        return {}
    return {name: value for name, value in headers.items() if isinstance(name, str) and isinstance(value, str)}


def job_failed(
    error: BaseException | None,
    *,
    job_id: str,
    queue: str,
    function: str,
    attempt: int = 0,
    reason: str,
    message: str,
) -> None:
    """Report a job that failed for good; `message` is used where there is no exception (a crash, a refusal)."""
    if _client() is None:
        return
    import sentry_sdk  # noqa: PLC0415

    with sentry_sdk.new_scope() as scope:
        scope.set_transaction_name(function or "unknown function")
        scope.set_tag("queue", queue)
        scope.set_tag("function", function)
        scope.set_tag("reason", reason)
        about = {"job_id": job_id[:_MOST_CHARACTERS], "func": function, "queue": queue, "attempt": attempt}
        scope.set_context("rq-job", about)
        if error is not None:
            scope.capture_exception(error)
        else:
            scope.capture_message(f"{function or 'job'}: {message}", level="error")


def redis_outage(code: str, sentence: str, seconds: float) -> None:
    """Report an outage of Redis that lasts; once an outage."""
    if _client() is None:
        return
    import sentry_sdk  # noqa: PLC0415

    with sentry_sdk.new_scope() as scope:
        scope.set_tag("redis", code)
        scope.fingerprint = ["redis-outage", code]
        scope.capture_message(f"Redis is away ({code}) for {seconds:.0f} s: {sentence}", level="error")


def flush(seconds: float) -> None:
    """Send what is pending; call before the process ends."""
    if _client() is None:
        return
    import sentry_sdk  # noqa: PLC0415

    sentry_sdk.flush(timeout=seconds)


def _without_secrets(event: Event, _hint: Hint) -> Event:
    """Cut passwords of URLs out of all that jobs and libraries put into an event: messages, breadcrumbs, extras."""
    cleaned: Event = _cleaned(event)
    return cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return logs.scrub(value) if "://" in value else value
    if isinstance(value, dict):
        return {name: _cleaned(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(held) for held in value]
    return value
