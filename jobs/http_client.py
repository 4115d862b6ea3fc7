"""An HTTP client that cannot be lured into the private network, nor kept waiting.

httpx's requests and responses over httpx's own engine, httpcore, on a guarded network (`jobs.connecting`).
`httpx.Client` itself stays out: it logs every URL, and those of callbacks hold secrets. No proxy or
certificate setting of the environment is read: a proxy would resolve names unchecked.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import httpcore
import httpx

from jobs.connecting import GuardedBackend, Resolver, resolve
from jobs.urls import origin
from worker.retry import PermanentError, RetryLater


class GuardedClient:
    """Sends requests that must all end within `seconds` from now; `tls` replaces the public authorities."""

    def __init__(self, seconds: float, *, resolver: Resolver = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._network = GuardedBackend(seconds, resolver)
        self._tls = tls

    @contextmanager
    def send(self, request: httpx.Request) -> Iterator[httpx.Response]:
        """Send `request` over a connection of its own and give the response, its body unread.

        Follows no redirect. Inside the block too, raises `RetryLater` for timeouts and lost connections, and
        `PermanentError` for a refused address or a bad certificate.
        """
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        connection = httpcore.HTTPConnection(
            url.origin,
            ssl_context=(self._tls or _public_tls()) if url.scheme == b"https" else None,
            network_backend=self._network,
        )
        try:
            with _translated_errors(request.url):
                answer = connection.handle_request(
                    httpcore.Request(request.method, url, headers=request.headers.raw, content=request.stream)
                )
                yield httpx.Response(
                    answer.status,
                    headers=answer.headers,
                    stream=_Body(answer),
                    extensions=answer.extensions,
                    request=request,
                )
        finally:
            connection.close()


class _Body(httpx.SyncByteStream):
    """The raw bytes of a response."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()


@contextmanager
def _translated_errors(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise RetryLater(f"{origin(url)} did not answer completely within the time limit") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            reason = error.__cause__.verify_message
            raise PermanentError(f"{origin(url)} has a certificate that does not verify: {reason}") from error
        raise RetryLater(f"the connection to {origin(url)} failed: {error or type(error).__name__}") from error


@cache
def _public_tls() -> ssl.SSLContext:
    # Reading the authorities takes some 20 ms: once per process, and only when a job needs them.
    return httpx.create_ssl_context(trust_env=False)
