"""An HTTP client that cannot be lured into the private network, nor kept waiting.

httpx's requests and responses over httpx's own engine, httpcore, on a guarded network (`worker.outbound.connecting`).
`httpx.Client` itself stays out: it logs every URL, and those of callbacks hold secrets. No proxy or
certificate setting of the environment is read: a proxy would resolve names unchecked.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import httpcore
import httpx
from structlog import get_logger

from worker import context
from worker.outbound.connecting import GuardedBackend, Resolver, Unreached, resolve
from worker.retry import PermanentError, RetryLater

log = get_logger()


class GuardedClient:
    """Sends requests that must all end within `seconds` from now; `tls` replaces the public authorities.

    `allow_private` admits loopback and private addresses; None: as the running job's context says.
    """

    def __init__(
        self,
        seconds: float,
        *,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
        allow_private: bool | None = None,
    ) -> None:
        allowed = context.current().allow_private_addresses if allow_private is None else allow_private
        self._network = GuardedBackend(seconds, resolver, allow_private=allowed)
        self._tls = tls

    @contextmanager
    def send(self, request: httpx.Request) -> Iterator[httpx.Response]:
        """Send `request` over a connection of its own and give the response, its body unread.

        Follows no redirect. Inside the block too, raises `RetryLater` for timeouts and lost connections, and
        `PermanentError` for a bad certificate. A refused address, an unknown name and a closed port are one error
        with one text, because whoever gave the URL may be told it; the log says which it was.
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
    except Unreached as error:
        log.warning("request.unreached", site=origin(url), reason=str(error))
        raise RetryLater(f"{origin(url)} cannot be reached from here; check the address") from error
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


def origin(url: httpx.URL) -> str:
    """Return scheme, host and port: what messages name, because paths and queries may hold what is nobody's business.

    As in a browser: lower case, punycode, no default port.
    """
    host, port = url.raw_host.decode("ascii"), "" if url.port is None else f":{url.port}"
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}{port}"


def is_admitted(url: httpx.URL, origins: Sequence[str]) -> bool:
    """Whether a request to `url` is to one of these sites; none listed = any."""
    return not origins or origin(url) in (origin(httpx.URL(site)) for site in origins)
