"""Fetch one HTML page of the public web, within limits of time, size and redirects."""

from __future__ import annotations

import ssl
import zlib
from dataclasses import dataclass

import httpx

from jobs.products.encoding import decode_html
from jobs.products.reading.unreadable import is_challenge
from jobs.products.refusals import BlockedPage
from jobs.responses import check_status
from jobs.urls import checked
from worker.outbound.client import GuardedClient, origin
from worker.outbound.connecting import Resolver, resolve
from worker.retry import PermanentError, RetryLater

_HEADERS = {
    "User-Agent": "WorthIt-worker/1 (product analysis)",
    "Accept": "text/html,application/xhtml+xml;q=0.9",
    "Accept-Encoding": "gzip",
    "Accept-Language": "en;q=1, *;q=0.5",
}
#: Statuses with which shops send captchas and browser checks, and the bytes of such a page that are read.
_REFUSING = frozenset({401, 403, 405, 406, 503})
_REFUSAL_BYTES = 256 * 1024
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one page may cost.

    5 MiB hold the product pages of the largest shops. What a reader makes of them is bounded by `reading.budget`.
    """

    seconds: float = 20.0
    body_bytes: int = 5 * 1024 * 1024  #: after decompression
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page; `url` is where the redirects ended."""

    url: str
    html: str


def fetch_page(
    url: httpx.URL,
    limits: Limits = Limits(),
    *,
    resolver: Resolver = resolve,
    tls: ssl.SSLContext | None = None,
) -> Page:
    """Fetch `url`.

    Raises `RetryLater` for what may pass (timeouts, lost connections, 429, 5xx) and `PermanentError` for what
    will not (404, not HTML, too large, too many redirects); `BlockedPage` when a refusal comes with a captcha or a
    browser check.
    """
    start = url
    client = GuardedClient(limits.seconds, resolver=resolver, tls=tls)
    cookies = httpx.Cookies()  # some shops redirect for ever without
    for _ in range(limits.redirects + 1):
        request = httpx.Request("GET", url, headers=_HEADERS, cookies=cookies)
        with client.send(request) as response:
            if not response.has_redirect_location:
                return _page(response, limits)
            cookies.extract_cookies(response)
            url = _target(response)
    raise PermanentError(
        f"{origin(start)} redirects more than {limits.redirects} times; give the address where it ends"
    )


def _target(response: httpx.Response) -> httpx.URL:
    here = response.request.url
    try:
        target = here.join(response.headers["location"])
    except httpx.InvalidURL as error:
        raise PermanentError(f"{origin(here)} redirects to an unreadable address: {error}") from error
    return checked(str(target), f"the address that {origin(here)} redirects to")


def _page(response: httpx.Response, limits: Limits) -> Page:
    where = origin(response.request.url)
    if response.status_code in _REFUSING and _asks_for_proof(response, where):
        raise BlockedPage
    check_status(response)
    content_type = response.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
    if content_type not in _HTML_TYPES:
        raise PermanentError(f"{where} answered {content_type!r}, not HTML; give the address of a product page")
    body = _read_body(response, limits.body_bytes, where)
    return Page(str(response.request.url), decode_html(body, response.charset_encoding))


def _asks_for_proof(response: httpx.Response, where: str) -> bool:
    """Return whether the page that comes with a refusal asks for what robots cannot give, such as a captcha."""
    try:
        body = _read_body(response, _REFUSAL_BYTES, where)
    except (PermanentError, RetryLater):  # too long, or cut short: the status alone tells
        return False
    # A shop that is down for maintenance (503) may have a captcha in its newsletter's form.
    return is_challenge(decode_html(body, response.charset_encoding), bare=response.status_code != 503)


def _read_body(response: httpx.Response, limit: int, where: str) -> bytes:
    """Read and decompress at most `limit` bytes.

    httpx would inflate whole chunks, and as many layers as the header lists: 64 KiB could become 64 GiB.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip", ""}:
        raise PermanentError(f"{where} sent content encoding {encoding[:40]!r}, though only gzip was accepted")
    inflater = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    body = bytearray()
    for chunk in response.iter_raw():
        try:
            body += inflater.decompress(chunk, limit + 1 - len(body)) if inflater else chunk
        except zlib.error as error:
            raise PermanentError(f"{where} sent a body that is not the gzip it claims to be") from error
        if len(body) > limit:
            raise PermanentError(f"{where} sent more than {limit:,} bytes, too large for a product page")
    if inflater and not inflater.eof:
        raise RetryLater(f"{where} ended its compressed answer too early")
    return bytes(body)
