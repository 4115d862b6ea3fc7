"""What an HTTP status means for the job that got it: done, later, or never."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import httpx

from worker.outbound.client import origin
from worker.retry import PermanentError, RetryLater

#: A shopper does not wait longer than this, in seconds; servers that ask for more are tried again after it.
MAX_RETRY_AFTER = 3600.0

#: Statuses below 500 that speak of the moment, not of the request: timeout, too early, too many requests.
_TRANSIENT = frozenset({408, 425, 429})
_ADVICE = {
    401: "it wants a login; give a page that everybody can see",
    403: "it does not let this service in; give a page that everybody can see",
    404: "there is no such page; check the address",
    410: "the page is gone for good; check the address",
    451: "it may not show the page here, by law; give a page that everybody can see",
}


class AccessRefused(PermanentError):
    """The server answered 401, 403 or 451."""


class PageGone(PermanentError):
    """The server answered 404 or 410."""


_PERMANENT: dict[int, type[PermanentError]] = {
    **dict.fromkeys((401, 403, 451), AccessRefused),
    **dict.fromkeys((404, 410), PageGone),
}


def check_status(response: httpx.Response, *, also_transient: frozenset[int] = frozenset()) -> None:
    """Return if `response` has a 2xx status.

    Raises `RetryLater` for 5xx, 408, 425, 429 and `also_transient`, and `PermanentError` for the rest: `AccessRefused`
    for 401, 403 and 451, `PageGone` for 404 and 410.
    """
    status = response.status_code
    where = origin(response.request.url)
    if response.is_success:
        return
    if status >= 500 or status in _TRANSIENT or status in also_transient:
        after = retry_after(response.headers, now=time.time())
        raise RetryLater(f"{where} answered {status} {response.reason_phrase}".rstrip(), after)
    advice = _ADVICE.get(status, "trying again would not change that; check the address")
    raise _PERMANENT.get(status, PermanentError)(f"{where} answered {status}: {advice}")


def retry_after(headers: httpx.Headers, *, now: float) -> float | None:
    """Return the seconds that a Retry-After header (RFC 9110 §10.2.3) asks for, at most `MAX_RETRY_AFTER`.

    A date is measured against the server's own Date header where there is one, so its clock may be wrong,
    else against `now` (Unix time). None when the header is missing or unreadable.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])  # digits without end would not fit a float, and nobody waits for them
    else:
        at = _unix_time(text)
        if at is None:
            return None
        sent = _unix_time(headers.get("date", ""))
        seconds = at - (now if sent is None else sent)
    return min(MAX_RETRY_AFTER, max(0.0, seconds))


def _unix_time(http_date: str) -> float | None:
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, OverflowError):
        return None
