"""Redis over Upstash's REST API (https://upstash.com/docs/redis/features/restapi)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
import httpx

from .deadline import DeadlineBackend, deadline
from .errors import Misconfigured, Refused
from .transport import Command, Passing, Transport, raise_for

#: A longer answer is given up.
MAX_ANSWER_BYTES: Final = 32 * 1024 * 1024


class RestTransport(Transport):
    """One database behind `url` with its `token`; thread-safe. Raises `Misconfigured`."""

    def __init__(self, url: str, token: str) -> None:
        self._base = _checked_url(url)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Misconfigured(
                "UPSTASH_REDIS_REST_TOKEN is empty or holds characters that no token has. Copy it from the REST part "
                "of the database's page, without quotes."
            )
        self._headers: dict[bytes | str, bytes | str] = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "worthit-producer/1 (python)",
        }
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=10,
            keepalive_expiry=30.0,
            retries=0,
            network_backend=DeadlineBackend(),
        )

    def __repr__(self) -> str:
        return "RestTransport(…)"

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _once(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        single = len(commands) == 1
        body = json.dumps(list(commands[0]) if single else [list(row) for row in commands]).encode()
        status, text, after = self._post(self._base + ("/" if single else "/pipeline"), body, seconds)
        if status == 429 or status >= 500:
            raise Passing(f"Redis's REST API is in trouble (HTTP status {status}).", after)
        try:
            answer = json.loads(text)
        except ValueError:
            raise Refused(
                f"What answered (HTTP status {status}) is not Redis's REST API. Check UPSTASH_REDIS_REST_URL."
            ) from None
        if status == 401:
            raise_for("WRONGPASS")
        entries = answer if isinstance(answer, list) else [answer]
        for entry in entries:
            if not isinstance(entry, dict) or not ("result" in entry or "error" in entry):
                raise Refused(f"Redis's REST API answered in a form that it should not have (HTTP status {status}).")
            if entry.get("error") is not None:
                raise_for(str(entry["error"]))
        if len(entries) != len(commands) or status != 200:
            raise Refused(f"Redis's REST API answered in a form that it should not have (HTTP status {status}).")
        return [entry["result"] for entry in entries]

    def _post(self, url: str, body: bytes, seconds: float) -> tuple[int, bytes, float]:
        """Return status, body and the seconds of Retry-After."""
        token = deadline.set(monotonic() + seconds)
        try:
            with self._pool.stream(
                "POST", url, headers=self._headers, content=body, extensions={"timeout": {"pool": seconds}}
            ) as response:
                parts, size = [], 0
                for part in response.iter_stream():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_ANSWER_BYTES:
                        raise Refused("Redis's REST API answered more than 32 MB.")
                return response.status, b"".join(parts), _retry_after(response.headers)
        except httpcore.TimeoutException:
            raise Passing("Redis's REST API did not answer in time.") from None
        except httpcore.ConnectError as error:
            if "CERTIFICATE" in str(error):
                raise Refused(
                    "The REST URL's TLS certificate cannot be trusted. Check UPSTASH_REDIS_REST_URL."
                ) from None
            raise Passing("Redis's REST API cannot be reached (no such host, or nothing listens).") from None
        except (httpcore.NetworkError, httpcore.ProtocolError):
            raise Passing("The connection to Redis's REST API broke.") from None
        finally:
            deadline.reset(token)


def _retry_after(headers: Sequence[tuple[bytes, bytes]]) -> float:
    for name, value in headers:
        if name.lower() == b"retry-after" and value.strip().isdigit():
            return float(value)
    return 0.0


def _checked_url(url: str) -> str:
    def wrong(what: str) -> Misconfigured:
        return Misconfigured(
            f"UPSTASH_REDIS_REST_URL {what}. Copy it from the REST part of the database's page; it looks like "
            f"https://NAME.upstash.io"
        )

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong("is not a URL") from None
    if parts.scheme in ("redis", "rediss"):
        raise wrong("is the address for TCP; that one belongs into REDIS_URL")
    if parts.scheme not in ("https", "http") or not parts.hostname or not url.isascii() or not url.isprintable():
        raise wrong("is not a URL that begins with https://")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise wrong("must have no user, password, query or fragment")
    if parts.scheme == "http" and not _is_near(parts.hostname):
        raise wrong("begins with http://, which would send the token in the clear")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _is_near(host: str) -> bool:
    """Whether a stub or emulator may listen there: this host, or a container's bare name."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return "." not in host
