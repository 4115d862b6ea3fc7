"""Step `rest`: does Upstash's REST API answer, where UPSTASH_REDIS_REST_URL and _TOKEN are set?"""

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
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble

URL_VARIABLE: Final = "UPSTASH_REDIS_REST_URL"
TOKEN_VARIABLE: Final = "UPSTASH_REDIS_REST_TOKEN"  # noqa: S105 — a variable's name
#: How much of an error is read: Upstash's own are shorter, and a longer one is another server's page.
_ERROR_CHARACTERS: Final = 200


def check_rest(case: Case) -> Found:
    """PING over HTTPS with the token, as Netlify functions use it."""
    url, token = case.environ.get(URL_VARIABLE, "").strip(), case.environ.get(TOKEN_VARIABLE, "").strip()
    if not url and not token:
        return skipped(f"{URL_VARIABLE} is not set")
    if wrong := _wrong(case.environ):
        return Found("not usable as set", wrong)
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
    body = _json(answer)
    if body.get("result") == "PONG":
        return found
    if answer.status_code in (401, 403):
        found.add(
            Status.FAILED,
            "The REST API rejects the token.",
            f"Copy {TOKEN_VARIABLE} from the console's REST section again: it is not the password of the Redis URL.",
            "rest_token",
        )
        return found
    complaint = str(body.get("error", ""))[:_ERROR_CHARACTERS]
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
    """Name why the request was not answered."""
    if reason := cause_of(error):
        says, code = f"cannot be reached ({reason.code})", reason.code
    elif isinstance(error, httpx.TimeoutException):
        says, code = "did not answer in time", trouble("connect_timeout").code
    else:
        says, code = "cannot be reached", trouble("unreachable").code
    return Finding(
        status=Status.FAILED,
        says=f"The REST API {says}.",
        fix=f"Check the host in {URL_VARIABLE}, and whether this machine reaches https:// hosts.",
        code=f"rest_{code}",
    )


def cause_of(error: httpx.HTTPError) -> RedisTrouble | None:
    """Translate the system's error, which httpx keeps among the causes of its own; None when there is none."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and (reason := translate(link)) is not None:
            return reason
        link = link.__cause__ or link.__context__
    return None


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
