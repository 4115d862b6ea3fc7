"""Step: does Upstash's REST API answer, where UPSTASH_REDIS_REST_URL and _TOKEN are set?"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from redis.exceptions import ResponseError

from worker.diagnosis.case import Case, Found, skipped
from worker.diagnosis.report import Finding, Status
from worker.redis.translate import translate
from worker.redis.troubles import trouble

URL_VARIABLE: Final = "UPSTASH_REDIS_REST_URL"
TOKEN_VARIABLE: Final = "UPSTASH_REDIS_REST_TOKEN"  # noqa: S105 — a variable's name
#: Upstash's documented errors are these; anything longer is somebody else's page.
_ERROR_CHARACTERS: Final = 200


def check_rest(case: Case) -> Found:
    """PING over HTTPS with the token, as Netlify functions use it."""
    url, token = case.environ.get(URL_VARIABLE, "").strip(), case.environ.get(TOKEN_VARIABLE, "").strip()
    if not url and not token:
        return skipped(f"{URL_VARIABLE} is not set")
    if wrong := _wrong(case.environ):
        return Found("not usable as it is set", wrong)
    began = monotonic()
    try:
        answer = httpx.post(
            url, json=["PING"], headers={"Authorization": f"Bearer {token}"}, timeout=case.left, follow_redirects=False
        )
    except httpx.HTTPError as error:
        return Found("no answer", [_unreached(error)])
    seconds = monotonic() - began
    found = Found(f"HTTP {answer.status_code} after {seconds * 1000:.0f} ms", facts={"http_status": answer.status_code})
    found.facts["seconds"] = round(seconds, 6)
    told = _json(answer)
    if told.get("result") == "PONG":
        return found
    if answer.status_code in (401, 403):
        found.add(
            Status.FAILED,
            "The REST API rejects the token.",
            f"Copy {TOKEN_VARIABLE} from the console's REST section again: it is not the password of the Redis URL.",
            "rest_token",
        )
        return found
    complaint = str(told.get("error", ""))[:_ERROR_CHARACTERS]
    reason = translate(ResponseError(complaint)) if complaint else None
    found.findings.append(
        Finding.of(reason)
        if reason is not None
        else Finding(
            status=Status.FAILED,
            says=f"What answers at {URL_VARIABLE} is not Upstash's REST API.",
            fix="Copy the URL from the console's REST section: https://NAME.upstash.io, without a path.",
            code="rest_not_upstash",
        )
    )
    return found


def _wrong(environ: Mapping[str, str]) -> list[Finding]:
    findings = []
    for variable in (URL_VARIABLE, TOKEN_VARIABLE):
        value = environ.get(variable, "")
        if not value:
            findings.append(_finding(f"{variable} is not set, but its companion is.", "Set both, or neither."))
        elif value != value.strip().strip("\"'"):
            findings.append(_finding(f"{variable} has quotes or spaces around it.", "Set the bare text."))
    parts = urlsplit(environ.get(URL_VARIABLE, "").strip("\"' "))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        findings.append(_finding(f"{URL_VARIABLE} is not an https:// URL.", "It looks like https://NAME.upstash.io."))
    elif parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        findings.append(_finding(f"{URL_VARIABLE} sends the token in plain text.", "Use https:// instead of http://."))
    return findings


def _finding(says: str, fix: str) -> Finding:
    return Finding(status=Status.FAILED, says=says, fix=fix, code="rest_settings")


def _unreached(error: httpx.HTTPError) -> Finding:
    """Name what kept the request from being answered; httpx keeps the system's error among its causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and (reason := translate(cause)) is not None:
            return Finding(
                status=Status.FAILED,
                says=f"The REST API cannot be reached ({reason.code}).",
                fix=f"Check the host in {URL_VARIABLE}, and whether this machine reaches https:// hosts.",
                code=f"rest_{reason.code}",
            )
        cause = cause.__cause__ or cause.__context__
    kind = "did not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    return Finding(
        status=Status.FAILED,
        says=f"The REST API {kind}.",
        fix=f"Check the host in {URL_VARIABLE}, and whether this machine reaches https:// hosts.",
        code="rest_" + trouble("connect_timeout" if "time" in kind else "unreachable").code,
    )


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
