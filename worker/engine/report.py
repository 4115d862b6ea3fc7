"""Report how an attempt ended, to the log and to Sentry: the one writer of `job.failed` and `job.buried`.

Whoever decides about a job reports here: the consumer that ran it, the successor of a dead one, the dispatcher that
rescues, and the one that collects what plain RQ workers have failed.
"""

from __future__ import annotations

from typing import Any

from worker import logs, sentry
from worker.engine.records import Buried, Outcome, Retried

log = logs.get_logger()


def ended(outcome: Outcome, function: str, error: BaseException | None = None, **more: Any) -> None:
    """Report an attempt that failed, or a burial; `more` are further fields of the log line."""
    claim = outcome.claim
    if isinstance(outcome, Retried):
        about: dict[str, Any] = {"job_id": claim.job_id, "queue": claim.origin, "function": function}
        about["attempt"] = outcome.fields["attempts"]
        delay, last_error = outcome.delay, outcome.fields["last_error"]
        log.warning("job.failed", **about, retry_in=round(delay, 1), error=last_error, **more)
    elif isinstance(outcome, Buried):
        buried(claim.job_id, outcome.letter, error, outcome.traceback, **more)


def buried(
    job_id: str, letter: dict[str, Any], error: BaseException | None = None, traceback: str = "", **more: Any
) -> None:
    """Report a burial by its record (``dead_letter.py``); `error` is the exception itself, where it is at hand.

    `traceback` is its text, where that was made already.
    """
    about = {name: letter[name] for name in ("queue", "function", "reason")}
    attempt, message = letter["attempts"], letter["message"]
    log.error(
        "job.buried",
        job_id=job_id,
        **about,
        attempt=attempt,
        error=message,
        fingerprint=letter["fingerprint"],
        **more,
        **({"exception": traceback.removesuffix("\n")} if traceback else {"exc_info": error}),
    )
    message = message if error is not None else f"{letter['exception']} {message}".strip()
    sentry.job_failed(error, job_id=job_id, **about, attempt=attempt, message=message)
