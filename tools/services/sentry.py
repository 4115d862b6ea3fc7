"""Sentry: does it accept an event of this project?"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
from sentry_sdk.consts import EndpointType
from sentry_sdk.envelope import Envelope
from sentry_sdk.utils import BadDsn, Dsn

from tools.services.outcome import Outcome, Request, failed, skipped, unreached
from worker.diagnosis.report import Status

_CLIENT = "worthit-worker.service-tester"
_FIXES = {
    401: "Copy the DSN from the project's settings (Client Keys) again.",
    403: "The key is disabled, or its project is gone: see the project's settings, Client Keys.",
    404: "There is no such project: copy the DSN from the project's settings again.",
    429: "Sentry limits this project's rate or its quota is used up: see Stats in Sentry.",
}


def check_sentry(request: Request) -> Outcome:
    """Send one event, level info, over HTTP and read Sentry's answer, which its SDK would hide."""
    text = request.environ.get("SENTRY_DSN", "")
    if not text:
        return skipped("sentry", "SENTRY_DSN is not set")
    try:
        auth = Dsn(text).to_auth(_CLIENT)
    except BadDsn:
        return failed("sentry", "SENTRY_DSN is not a DSN.", "It looks like https://KEY@o0.ingest.sentry.io/0.")
    event_id = uuid.uuid4().hex
    envelope = Envelope(headers={"event_id": event_id, "sent_at": datetime.now(UTC).isoformat()})
    event: Any = {
        "event_id": event_id,
        "timestamp": datetime.now(UTC).isoformat(),
        "platform": "python",
        "level": "info",
        "logger": _CLIENT,
        "message": "Test event of tools.service_tester",
        "release": request.environ.get("RENDER_GIT_COMMIT") or None,
        "environment": "test",
    }
    envelope.add_event(event)
    try:
        answer = httpx.post(
            auth.get_api_url(EndpointType.ENVELOPE),
            content=envelope.serialize(),
            headers={"X-Sentry-Auth": auth.to_header(), "Content-Type": "application/x-sentry-envelope"},
            timeout=request.timeout,
        )
    except httpx.HTTPError as error:
        return unreached("sentry", error, "SENTRY_DSN")
    if answer.status_code == httpx.codes.OK:
        says = f"It accepted the test event {event_id}: look for it in Issues, environment test."
        return Outcome("sentry", Status.OK, says, facts={"event_id": event_id})
    fix = _FIXES.get(answer.status_code, "See status.sentry.io, and whether the DSN's host is Sentry.")
    return failed("sentry", f"It refuses events (HTTP {answer.status_code}).", fix, http_status=answer.status_code)
