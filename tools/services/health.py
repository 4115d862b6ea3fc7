"""The health endpoint of a running service."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx

from tools.services.outcome import Outcome, Request, failed, skipped, unreached
from worker.diagnosis.report import Status

_PATHS = ("/livez", "/readyz", "/healthz")
_WAKES = "A free instance on Render sleeps after 15 minutes and takes about a minute to wake: try --timeout 90."


def check_health(request: Request) -> Outcome:
    """GET the URL as it is, or its three probes when it has no path."""
    url = request.health_url or request.environ.get("RENDER_EXTERNAL_URL", "")
    if not url:
        return skipped("health", "no --health URL, and RENDER_EXTERNAL_URL is not set")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return failed("health", "That is no http:// or https:// URL.", "Give the service's URL, like https://HOST.")
    paths = _PATHS if parts.path in ("", "/") else (parts.path,)
    base = f"{parts.scheme}://{parts.netloc}"
    answers: dict[str, Any] = {}
    for path in paths:
        try:
            answer = httpx.get(base + path, timeout=request.timeout)
        except httpx.HTTPError as error:
            outcome = unreached("health", error, "the URL")
            return failed("health", outcome.says, f"{outcome.fix} {_WAKES}", **outcome.facts)
        answers[path] = {"http_status": answer.status_code, **_body(answer)}
    return _judge(answers)


def _judge(answers: dict[str, Any]) -> Outcome:
    words = ", ".join(
        f"{path} {seen['http_status']} {seen.get('status', '')}".strip() for path, seen in answers.items()
    )
    bad = [path for path, seen in answers.items() if seen["http_status"] != httpx.codes.OK]
    if not bad:
        reason = next((str(seen["reason"]) for seen in answers.values() if seen.get("status") == "degraded"), "")
        if reason:
            return Outcome("health", Status.WARNING, f"{words}. Its reason: {reason}", facts=answers)
        return Outcome("health", Status.OK, f"{words}.", facts=answers)
    seen = answers[bad[0]]
    if "status" not in seen:
        return failed("health", f"{words}. Another server than this worker answers there.", "Check the URL.", **answers)
    return failed("health", f"{words}. Its reason: {seen.get('reason', 'none')}", "See the service's log.", **answers)


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return {name: body[name] for name in ("status", "reason") if name in body} if isinstance(body, dict) else {}
