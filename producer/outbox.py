"""Enqueue exactly what a database has committed: the part of an outbox that no database is needed for.

A job that is enqueued inside a transaction may run before the commit, or although there is none; one that is enqueued
after the commit is lost with the process. So the call is written into a table, in the transaction, and a relay sends it
on: docs/outbox.md, with tables for SQLAlchemy and Django in examples/outbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from .client import Producer
from .errors import InvalidJob, KeyReused
from .options import Call, Debounce, Options, RateLimit, Retry, Throttle
from .record import record

#: Options that are objects, and what they are made of again.
_FORMS: Final[dict[str, Any]] = {
    "retry": Retry,
    "rate_limit": RateLimit,
    "debounce": Debounce,
    "throttle": Throttle,
}
#: Options by which calls make one job already.
_ONCE: Final = ("unique", "rerun_after", "idempotency_key", "throttle", "debounce")


def packed(function: str, *args: Any, **options: Any) -> dict[str, Any]:
    """Check a call and return it as JSON, for a row of the outbox.

    Raises `InvalidJob`, so that what can never be sent ends the transaction. A `delay` counts from the sending.
    """
    call = Call(function, *args, **options)
    record(call, "")
    plain = {name: _plain(value) for name, value in options.items() if value is not None}
    return {"function": function, "args": list(args), "options": plain}


def send(producer: Producer, rows: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Enqueue rows (a key of one's own, and what `packed` returned) in one request; each key makes one job.

    So a row may be sent again, for a day, when it is not known whether it was. Returns what cannot be sent: key → why;
    the others were sent. Raises `Unreachable` and `Refused`: then all rows must be sent again.
    """
    calls = [(key, _call(key, row)) for key, row in rows]
    if not calls:
        return {}
    try:
        producer.enqueue_many([call for _, call in calls])
    except (InvalidJob, KeyReused):
        return _one_by_one(producer, calls)
    return {}


def _one_by_one(producer: Producer, calls: list[tuple[str, Call]]) -> dict[str, str]:
    problems = {}
    for key, call in calls:
        try:
            producer.enqueue_many([call])
        except (InvalidJob, KeyReused) as error:
            problems[key] = str(error)
    return problems


def _call(key: str, row: dict[str, Any]) -> Call:
    options: Options = {**row["options"]}  # type: ignore[typeddict-item]  # as `packed` had them
    for name, form in _FORMS.items():
        if isinstance(value := options.get(name), dict):
            options[name] = form(**value)  # type: ignore[literal-required]
    if not any(name in options for name in _ONCE):
        options["idempotency_key"] = f"outbox {key}"
    return Call(row["function"], *row["args"], **options)


def _plain(value: Any) -> Any:
    if isinstance(value, Retry | RateLimit | Debounce | Throttle):
        return {name: list(field) if isinstance(field, tuple) else field for name, field in asdict(value).items()}
    if isinstance(value, datetime):
        return value.timestamp()
    return value.total_seconds() if isinstance(value, timedelta) else value
