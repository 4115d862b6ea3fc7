"""Fetching one page of a web that may be slow, endless, broken or hostile."""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from jobs.products.fetching import Limits, Page, fetch_page
from jobs.products.refusals import BlockedPage
from jobs.responses import AccessRefused, PageGone, retry_after
from tests.support.broken import Authority
from tests.support.shop import Answer, Shop, page, status
from tests.support.waiting import eventually
from worker import context
from worker.context import OfflineContext
from worker.retry import PermanentError, RetryLater

PUBLIC = "93.184.215.14"
PATIENT = Limits(seconds=10)
SHORT = Limits(seconds=0.4)


@pytest.fixture
def private_allowed() -> Iterator[None]:
    with context.use(OfflineContext(allow_private_addresses=True)):
        yield


def fetch(url: str, limits: Limits = PATIENT) -> Page:
    return fetch_page(httpx.URL(url), limits)


# --- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0", "[::1]", "[::ffff:7f00:1]"])
def test_loopback_is_refused_however_it_is_written(shop: Shop, host: str) -> None:
    shop.routes["/"] = page("<p>secret</p>")
    with pytest.raises(RetryLater, match="cannot be reached from here") as raised:
        fetch(shop.url(host=host))
    assert re.match("it leads to a (loopback|reserved) address and is refused", str(raised.value.__cause__))
    assert shop.requests == []


def test_the_refusal_does_not_tell_the_address() -> None:
    with pytest.raises(RetryLater) as raised:
        fetch_page(httpx.URL("http://db.internal/"), PATIENT, resolver=lambda *_: ["10.1.2.3"])
    assert "10.1.2.3" not in f"{raised.value} {raised.value.__cause__}"
    assert str(raised.value) == "http://db.internal cannot be reached from here; check the address"


def test_one_forbidden_address_among_public_ones_is_enough() -> None:
    with pytest.raises(RetryLater) as raised:
        fetch_page(httpx.URL("http://x.example/"), PATIENT, resolver=lambda *_: [PUBLIC, "::1"])
    assert "a loopback address" in str(raised.value.__cause__)


def test_a_name_that_changes_its_answer_gains_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the first answer is public, later ones are ours. Only the checked one is used."""
    answers: Iterator[list[str]] = iter([[PUBLIC], ["127.0.0.1"]])
    connected: list[object] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(RetryLater, match="cannot be reached"):
        fetch_page(httpx.URL(shop.url(host="evil.example")), PATIENT, resolver=lambda *_: next(answers))
    assert connected == [(PUBLIC, shop.port)]


def test_a_public_page_cannot_redirect_to_a_private_address(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections to the public address end at our server, as if it stood there."""
    connect = socket.create_connection
    monkeypatch.setattr(
        socket,
        "create_connection",
        lambda address, *more, **named: connect(("127.0.0.1", address[1]), *more, **named),
    )
    shop.routes["/"] = status(302, Location=f"http://127.0.0.1:{shop.port}/admin")
    shop.routes["/admin"] = page("<p>secret")
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        fetch_page(
            httpx.URL(shop.url(host="shop.example")),
            PATIENT,
            resolver=lambda host, _: [PUBLIC if host == "shop.example" else host],
        )
    assert [request.path for request in shop.requests] == ["/"]


def test_not_even_development_may_be_redirected_to_metadata(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = status(302, Location="http://169.254.169.254/latest/meta-data/")
    with pytest.raises(RetryLater, match=r"169\.254\.169\.254 cannot be reached") as raised:
        fetch(shop.url())
    assert "link-local or metadata" in str(raised.value.__cause__)


def test_every_redirect_is_resolved_and_checked_anew(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = status(302, Location=shop.url("/inner", host="rebound.example"))
    shop.routes["/inner"] = page("never")
    asked: list[str] = []

    def resolver(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["169.254.169.254"] if host == "rebound.example" else ["127.0.0.1"]

    with pytest.raises(RetryLater, match=r"rebound\.example:\d+ cannot be reached"):
        fetch_page(httpx.URL(shop.url(host="shop.example")), PATIENT, resolver=resolver)
    assert asked == ["shop.example", "rebound.example"]
    assert [request.path for request in shop.requests] == ["/"]


def test_the_next_address_gets_its_chance(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = page("<p>hello")
    got = fetch_page(httpx.URL(shop.url(host="two.example")), PATIENT, resolver=lambda *_: ["127.0.0.2", "127.0.0.1"])
    assert got.html == "<p>hello"
    assert shop.requests[0].headers["host"] == f"two.example:{shop.port}"


def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    def resolver(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(RetryLater, match=r"gone\.example cannot be reached") as raised:
        fetch_page(httpx.URL("http://gone.example/"), PATIENT, resolver=resolver)
    assert str(raised.value.__cause__) == "it does not resolve"


def test_a_label_too_long_for_dns_does_not_resolve_either() -> None:
    with pytest.raises(RetryLater, match="cannot be reached") as raised:
        fetch(f"http://{'a' * 70}.example/")
    assert str(raised.value.__cause__) == "it does not resolve"


# --- TLS -----------------------------------------------------------------------------------------------


def tls_server(authority: Authority, name: str) -> ssl.SSLContext:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.good(name).configure_cert(server)
    return server


def trusting(authority: Authority) -> ssl.SSLContext:
    client = ssl.create_default_context()
    authority.ca.configure_trust(client)
    return client


def test_tls_and_the_host_header_see_the_name_not_the_pinned_address(
    authority: Authority, private_allowed: None
) -> None:
    server = tls_server(authority, "shop.example")
    names: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    with Shop(tls=server) as shop:
        shop.routes["/"] = page("<p>safe")
        got = fetch_page(
            httpx.URL(shop.url(host="shop.example")),
            PATIENT,
            resolver=lambda *_: ["127.0.0.1"],
            tls=trusting(authority),
        )
    assert got.html == "<p>safe"
    assert names == ["shop.example"]
    assert shop.requests[0].headers["host"] == f"shop.example:{shop.port}"


@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_for_another_name_or_of_a_stranger_is_permanent(
    authority: Authority, private_allowed: None, trusted: bool
) -> None:
    with Shop(tls=tls_server(authority, "other.example" if trusted else "shop.example")) as shop:
        with pytest.raises(PermanentError, match="certificate that does not verify"):
            fetch_page(
                httpx.URL(shop.url(host="shop.example")),
                PATIENT,
                resolver=lambda *_: ["127.0.0.1"],
                tls=trusting(authority) if trusted else None,
            )
    assert shop.requests == []


# --- time ----------------------------------------------------------------------------------------------


def dripping(*, headers_first: bool) -> Answer:
    """Send a byte every 50 ms: each wait is short, all together have no end."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n"
        if headers_first:
            handler.wfile.write(head)
        for byte in b"x" * 1000 if headers_first else head:
            time.sleep(0.05)
            handler.wfile.write(bytes([byte]))

    return answer


@pytest.mark.parametrize("headers_first", [True, False])
def test_a_slow_drip_ends_at_the_time_limit(shop: Shop, private_allowed: None, headers_first: bool) -> None:
    shop.routes["/"] = dripping(headers_first=headers_first)
    started = time.monotonic()
    with pytest.raises(RetryLater, match="did not answer completely within the time limit"):
        fetch(shop.url(), SHORT)
    assert 0.35 < time.monotonic() - started < 20, "the rest would take longer"


def test_redirects_share_one_time_limit(shop: Shop, private_allowed: None) -> None:
    def slow_redirect(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.15)
        status(302, Location="/")(handler)

    shop.routes["/"] = slow_redirect
    with pytest.raises(RetryLater, match="time limit"):
        fetch(shop.url(), SHORT)


def test_a_port_where_nobody_listens_is_tried_again(private_allowed: None) -> None:
    with pytest.raises(RetryLater, match=r"http://127\.0\.0\.1:1 cannot be reached"):
        fetch("http://127.0.0.1:1/hook/T0K3N")


def test_a_connection_that_breaks_is_tried_again(shop: Shop, private_allowed: None) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<p>")

    shop.routes["/"] = cut
    with pytest.raises(RetryLater, match=r"connection to .* failed"):
        fetch(shop.url())


def test_what_is_not_http_is_tried_again(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = lambda handler: handler.wfile.write(b"220 mail.example ESMTP\r\n" * 3) and None
    with pytest.raises(RetryLater, match=r"connection to .* failed"):
        fetch(shop.url())


# --- size and encoding ---------------------------------------------------------------------------------


def test_a_body_above_the_limit_is_refused_while_it_streams(shop: Shop, private_allowed: None) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        for _ in range(2000):
            handler.wfile.write(b"x" * 65536)
            sent += 65536

    shop.routes["/"] = endless
    with pytest.raises(PermanentError, match="more than 1,000,000 bytes"):
        fetch(shop.url(), Limits(body_bytes=1_000_000))
    assert sent < 50_000_000


@pytest.mark.parametrize("code", [200, 404])
def test_a_refused_answer_leaves_no_connection_open(shop: Shop, private_allowed: None, code: int) -> None:
    shop.routes["/"] = page("x" * 5000, code)
    before = open_sockets()
    with pytest.raises(PermanentError) as raised:
        fetch(shop.url(), Limits(body_bytes=10))
    eventually(lambda: open_sockets() <= before)  # less: a socket of an earlier test may close meanwhile
    assert raised.value.__traceback__  # held until here: a garbage collector did not do the closing


def open_sockets() -> int:
    return sum(is_socket(Path("/proc/self/fd", name)) for name in os.listdir("/proc/self/fd"))


def is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except FileNotFoundError:  # listing them was itself an open file
        return False


def test_a_body_of_exactly_the_limit_passes(shop: Shop, private_allowed: None) -> None:
    for headers in ({}, {"Content_Encoding": "gzip"}):
        body = b"x" * 5000
        shop.routes["/"] = page(gzip.compress(body) if headers else body, **headers)
        assert fetch(shop.url(), Limits(body_bytes=5000)).html == "x" * 5000
        with pytest.raises(PermanentError, match="more than 4,999 bytes"):
            fetch(shop.url(), Limits(body_bytes=4999))


def test_a_gzip_bomb_is_refused_before_it_unfolds(shop: Shop, private_allowed: None) -> None:
    squeezer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeezer.compress(bytes(1024 * 1024)) for _ in range(100)) + squeezer.flush()
    assert len(bomb) < 150_000
    shop.routes["/"] = page(bomb, Content_Encoding="gzip")
    tracemalloc.start()
    try:
        with pytest.raises(PermanentError, match="more than 5,242,880 bytes"):
            fetch(shop.url())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 15_000_000  # one chunk of 64 KiB alone would become 67,000,000


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate"])
def test_other_and_layered_encodings_are_refused(shop: Shop, private_allowed: None, encoding: str) -> None:
    shop.routes["/"] = page(b"\x00", Content_Encoding=encoding)
    with pytest.raises(PermanentError, match="only gzip was accepted"):
        fetch(shop.url())


def test_false_gzip_is_permanent_and_truncated_gzip_is_tried_again(shop: Shop, private_allowed: None) -> None:
    shop.routes["/false"] = page("<p>plain", Content_Encoding="gzip")
    shop.routes["/short"] = page(gzip.compress(b"<p>hello" * 100)[:-12], Content_Encoding="gzip")
    with pytest.raises(PermanentError, match="not the gzip it claims to be"):
        fetch(shop.url("/false"))
    with pytest.raises(RetryLater, match="too early"):
        fetch(shop.url("/short"))


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=iso-8859-1", "Föhn – 5 €".encode("cp1252")),
        ("text/html; charset=UTF-8", "Föhn – 5 €".encode()),
        ("text/html", "Föhn – 5 €".encode()),
        ("text/html", b'<meta charset="windows-1252">' + "Föhn – 5 €".encode("cp1252")),
        (
            "text/html",
            b'<meta http-equiv="Content-Type" content="text/html; charset=cp1252">' + "Föhn – 5 €".encode("cp1252"),
        ),
        ("text/html; charset=idna", "Föhn – 5 €".encode()),
        ("text/html; charset=hex", "Föhn – 5 €".encode()),
        ("text/html; charset=latin-1", b"\xef\xbb\xbf" + "Föhn – 5 €".encode()),
        ("application/xhtml+xml", b"\xff\xfe" + "Föhn – 5 €".encode("utf-16-le")),
    ],
)
def test_bytes_become_text_as_in_a_browser(shop: Shop, private_allowed: None, content_type: str, body: bytes) -> None:
    shop.routes["/"] = page(body, Content_Type=content_type)
    assert fetch(shop.url()).html.endswith("Föhn – 5 €")


def test_a_wrong_byte_costs_one_character(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = page(b"caf\xe9 au lait")
    assert fetch(shop.url()).html == "caf\ufffd au lait"


def test_what_is_not_html_is_permanent(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = page("{}", Content_Type="application/json")
    with pytest.raises(PermanentError, match="'application/json', not HTML"):
        fetch(shop.url())


# --- redirects -----------------------------------------------------------------------------------------


def test_redirects_are_followed_with_their_cookies(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = status(301, Location="sub/page?x=1", Set_Cookie="seen=1; Path=/")
    shop.routes["/sub/page"] = page("<p>here")
    got = fetch(shop.url())
    assert got == Page(shop.url("/sub/page?x=1"), "<p>here")
    assert shop.requests[1].headers["cookie"] == "seen=1"


def test_too_many_redirects_are_permanent(shop: Shop, private_allowed: None) -> None:
    shop.routes["/"] = status(302, Location="/")
    with pytest.raises(PermanentError, match="redirects more than 5 times"):
        fetch(shop.url())
    assert len(shop.requests) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x.example/", "http://a:b@x.example/", "http://[x/"])
def test_a_redirect_to_anything_else_is_permanent(shop: Shop, private_allowed: None, target: str) -> None:
    shop.routes["/"] = status(302, Location=target)
    with pytest.raises(PermanentError, match="redirects to"):
        fetch(shop.url())


# --- statuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_trouble_that_may_pass_is_tried_again(shop: Shop, private_allowed: None, code: int) -> None:
    shop.routes["/"] = status(code)
    with pytest.raises(RetryLater, match=f"answered {code}") as raised:
        fetch(shop.url("/?token=T0K3N"))
    assert raised.value.after is None
    assert "T0K3N" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(401, AccessRefused), (403, AccessRefused), (451, AccessRefused), (404, PageGone), (410, PageGone)],
)
def test_refusals_are_told_apart_by_their_class(
    shop: Shop, private_allowed: None, code: int, kind: type[PermanentError]
) -> None:
    shop.routes["/"] = page("<h1>No</h1>", code)
    with pytest.raises(PermanentError) as raised:
        fetch(shop.url())
    assert type(raised.value) is kind


CAPTCHA = "<title>shop.example</title><script src=https://geo.captcha-delivery.com/c.js></script>"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (403, CAPTCHA),
        (403, '<h1>One more step</h1><div class="g-recaptcha"></div>'),
        (401, CAPTCHA),
        (405, CAPTCHA),
        (503, "<title>Just a moment...</title><p>Checking your browser before accessing shop.example</p>"),
        (503, "<title>Robot Check</title>"),
    ],
)
def test_a_refusal_with_a_captcha_is_blocked(shop: Shop, private_allowed: None, code: int, body: str) -> None:
    for headers in ({}, {"Content_Encoding": "gzip"}):
        shop.routes["/"] = page(gzip.compress(body.encode()) if headers else body, code, **headers)
        with pytest.raises(BlockedPage, match="prove that they are people"):
            fetch(shop.url())


@pytest.mark.parametrize(
    "body", ["<h1>Down for maintenance</h1><form><div class=g-recaptcha></div></form>", "", "x" * 300_000]
)
def test_trouble_that_passes_is_not_taken_for_a_captcha(shop: Shop, private_allowed: None, body: str) -> None:
    shop.routes["/"] = page(body, 503)
    with pytest.raises(RetryLater):
        fetch(shop.url())


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 418, 304])
def test_other_refusals_are_permanent(shop: Shop, private_allowed: None, code: int) -> None:
    shop.routes["/"] = status(code)
    with pytest.raises(PermanentError, match=f"answered {code}: "):
        fetch(shop.url())


def test_retry_after_is_honoured_on_429_and_503(shop: Shop, private_allowed: None) -> None:
    shop.routes["/limited"] = status(429, Retry_After="17")
    shop.routes["/down"] = status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    with pytest.raises(RetryLater) as limited:
        fetch(shop.url("/limited"))
    with pytest.raises(RetryLater) as down:
        fetch(shop.url("/down"))
    assert (limited.value.after, down.value.after) == (17.0, 0.0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": " 120 "}, 120.0),
        ({"Retry-After": "9" * 400}, 3600.0),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "1.5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}, 3600.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:18:00 GMT"}, 80.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:18:00 GMT", "Date": "Thu, 01 Jan 1970 00:17:30 GMT"}, 30.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:18:00 GMT", "Date": "nonsense"}, 80.0),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    encoded = httpx.Headers([(name.encode(), value.encode()) for name, value in headers.items()])
    assert retry_after(encoded, now=1000.0) == seconds
