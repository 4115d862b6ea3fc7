"""Tell another service that something happened: a signed callback that may safely arrive twice.

The receiver gets ``POST`` with a JSON body in UTF-8 and these headers:

* ``Idempotency-Key``: the same for every delivery of one notification; ignore a key that was handled before.
* ``Webhook-Signature: t=<Unix seconds>,v1=<hex>,v2=<hex>``: HMAC-SHA256 with NOTIFY_SECRET as the key. v2 is over
  ``<t>\\n<origin>\\n<Idempotency-Key>\\n<body>``, where origin is your own as browsers write it
  (``https://me.example``); v1, over ``<t>.<body>``, is for receivers that knew it before there was v2.

To verify it, compute v2 over the raw body and your own origin, compare with ``hmac.compare_digest``, refuse a ``t``
more than five minutes off, and keep keys longer than that: then a recorded callback cannot be replayed, neither to you
nor, by another receiver, to you. v1 binds neither origin nor key. Answer 2xx. A 5xx, 408, 409, 425 or 429 is tried
again, with Retry-After honoured; anything else is given up, redirects too: a signed body goes to nobody but the address
it was meant for. With WORKER_CALLBACK_ORIGINS set it goes to the sites listed there only.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any, TypedDict

import httpx

from jobs.responses import check_status
from jobs.urls import checked
from worker import context
from worker.outbound.client import GuardedClient, is_admitted, origin
from worker.retry import PermanentError, RetryLater, RetryPolicy, with_policy

#: Seconds for one delivery. Receivers should take the callback, answer, and work on it afterwards.
DELIVERY_SECONDS = 15.0
#: The receiver is at work on an earlier delivery of the same key.
_CONFLICT = frozenset({409})


class Receipt(TypedDict):
    """The answer of `notify`: what the receiver answered, and the key it got."""

    status: int
    idempotency_key: str


@with_policy(RetryPolicy(max_attempts=8, base=2.0, cap=900.0, retry_on=(RetryLater,)))
def notify(url: str, payload: Any, event_id: str | None = None) -> Receipt:
    """Deliver `payload` (anything JSON can carry) to `url`.

    `event_id` (printable ASCII) becomes the idempotency key; without it the key is derived from the job's id,
    so retries and replays of the job carry the same. Raises `RetryLater` for trouble that may pass, and
    `PermanentError` for the rest, for a site that WORKER_CALLBACK_ORIGINS leaves out, and without NOTIFY_SECRET.
    """
    job = context.current()
    address = checked(url)
    if not is_admitted(address, job.callback_origins):
        raise PermanentError(
            f"{origin(address)} is none of the sites that callbacks may go to; add it to WORKER_CALLBACK_ORIGINS in "
            f"the worker's environment and replay this job"
        )
    body = _json(payload)
    key = _idempotency_key(event_id, job.job_id, url, body)
    timestamp, secret = int(time.time()), _secret(job)
    signatures = f"v1={signature(secret, timestamp, body)},v2={bound_signature(secret, timestamp, address, key, body)}"
    request = httpx.Request(
        "POST",
        address,
        content=body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "WorthIt-worker/1 (notification)",
            "Idempotency-Key": key,
            "Webhook-Signature": f"t={timestamp},{signatures}",
        },
    )
    job.progress(10, "sending the notification")
    with GuardedClient(DELIVERY_SECONDS).send(request) as response:
        check_status(response, also_transient=_CONFLICT)
    job.progress(100, "delivered")
    return Receipt(status=response.status_code, idempotency_key=key)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Return v1, the hex HMAC-SHA256 of ``<timestamp>.<body>``."""
    return hmac.new(secret.encode(), b"%d.%b" % (timestamp, body), hashlib.sha256).hexdigest()


def bound_signature(secret: str, timestamp: int, receiver: httpx.URL, key: str, body: bytes) -> str:
    """Return v2, which holds for one receiver and one idempotency key."""
    text = b"%d\n%b\n%b\n%b" % (timestamp, origin(receiver).encode(), key.encode(), body)
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def _secret(job: context.JobContext) -> str:
    if job.notify_secret is None or not (secret := job.notify_secret.get_secret_value()):
        raise PermanentError(
            "NOTIFY_SECRET is not set, so the notification cannot be signed; set it in the worker's "
            "environment to a random text that the receiver knows too, e.g. from `openssl rand -hex 32`, "
            "and replay this job"
        )
    return secret


def _json(payload: Any) -> bytes:
    try:
        text = json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"the payload cannot be sent as JSON: {error}") from error


def _idempotency_key(event_id: str | None, job_id: str, url: str, body: bytes) -> str:
    if event_id is None:
        # URL and body too: one job may notify several receivers, or one of several things.
        return hashlib.sha256(b"\n".join((job_id.encode(), url.encode(), body))).hexdigest()[:32]
    if not isinstance(event_id, str) or not 0 < len(event_id) <= 255 or not event_id.isascii():
        raise PermanentError("event_id must be text of 1 to 255 ASCII characters; it becomes a header")
    if not event_id.isprintable() or event_id != event_id.strip():
        raise PermanentError("event_id has control characters or space at its ends; it becomes a header")
    return event_id
