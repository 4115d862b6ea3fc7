"""Upstash's REST API, which producers on Netlify use: PING, then a write that is read back and expires."""

from __future__ import annotations

import secrets
from typing import Any

import httpx
from rq.defaults import RQ_KEY_PREFIX

from tools.services.outcome import Outcome, Request, failed, skipped, unreached
from worker.diagnosis.course import STEPS, diagnose
from worker.diagnosis.report import Status
from worker.diagnosis.start import case_of
from worker.diagnosis.steps.rest import TOKEN_VARIABLE, URL_VARIABLE
from worker.keys import Keys

_REST = tuple(step for step in STEPS if step.name == "rest")


def check_upstash(request: Request) -> Outcome:
    """PING with the token, and write, read and delete a key."""
    url, token = request.environ.get(URL_VARIABLE, ""), request.environ.get(TOKEN_VARIABLE, "")
    if not url and not token:
        return skipped("upstash", f"{URL_VARIABLE} is not set")
    step = diagnose(case_of(request.environ, "", timeout=request.timeout), _REST).steps[0]
    if step.status is Status.FAILED:
        return failed("upstash", step.findings[0].says, step.findings[0].fix, code=step.findings[0].code)
    text = secrets.token_hex(8)
    key = Keys(RQ_KEY_PREFIX).diagnosis(text, "rest")
    commands = [["SET", key, text, "EX", 60], ["GET", key], ["DEL", key]]
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/pipeline",
            json=commands,
            headers={"Authorization": f"Bearer {token}"},
            timeout=request.timeout,
        )
    except httpx.HTTPError as error:
        return unreached("upstash", error, URL_VARIABLE)
    results = _results(answer)
    if results[1:2] != [text]:
        return failed(
            "upstash",
            "PING works, but a written key cannot be read back.",
            "The token may be the read-only one: copy the standard token from the console's REST section.",
            http_status=answer.status_code,
        )
    return Outcome("upstash", Status.OK, f"PING, write, read and delete work; {step.says}.", facts=step.facts)


def _results(answer: httpx.Response) -> list[Any]:
    try:
        body = answer.json()
    except ValueError:
        return []
    return [part.get("result") if isinstance(part, dict) else None for part in body] if isinstance(body, list) else []
