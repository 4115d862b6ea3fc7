"""Who may open the console, and who may act there.

Closed by default. A password opens it (Basic, two users), or a header of a proxy that has asked for a login, or, on a
developer's machine, `MONITOR_OPEN`. Failed attempts slow their address down.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from time import monotonic
from typing import Any, Final

from worker.settings import Settings

#: Failed attempts of one address that cost it nothing; each further one doubles its wait, up to the longest.
FREE_ATTEMPTS: Final = 5
LONGEST_WAIT_SECONDS: Final = 60.0
#: After so long without an attempt an address begins anew.
FORGET_SECONDS: Final = 900.0
#: Addresses, and logins that were right, that are remembered.
MOST_REMEMBERED: Final = 2000
#: Names under which a browser reaches its own machine. With another one, a page of a stranger whose name has come to
#: mean 127.0.0.1 would read an open console.
_OWN_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `who` is what the audit shows."""

    name: str
    address: str
    may_act: bool

    @property
    def who(self) -> str:
        """Name and address."""
        return f"{self.name}@console ({self.address})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a visitor is not let in: the status of HTTP, a sentence, and headers."""

    status: HTTPStatus
    sentence: str
    headers: Mapping[str, str]


class Access:
    """The door. It is asked for each request but those for probes."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = monotonic) -> None:
        self._open = settings.monitor_open
        secrets = {"operator": settings.monitor_password, "viewer": settings.monitor_view_password}
        self._logins = {
            user: _digest(user, secret.get_secret_value()) for user, secret in secrets.items() if secret is not None
        }
        self._header = (settings.monitor_proxy_header or "").upper().replace("-", "_")
        self._proxies = tuple(ipaddress.ip_network(network) for network in settings.monitor_proxy_addresses)
        self._operators = settings.monitor_proxy_operators
        self._attempts = Attempts(clock)

    def enter(self, environ: Mapping[str, Any]) -> Visitor | Refusal:
        """Return who asks, or why he is refused."""
        peer, address = str(environ.get("REMOTE_ADDR", "")), address_of(environ)
        if self._open:
            return self._local(environ, peer)
        user = str(environ.get(f"HTTP_{self._header}", "")) if self._header else ""
        if user and _is_in(peer, self._proxies):
            return Visitor(user, address, bool({"*", user} & set(self._operators)))
        if not self._logins:
            return Refusal(HTTPStatus.FORBIDDEN, "Only the proxy's users may open this page.", {})
        return self._login(str(environ.get("HTTP_AUTHORIZATION", "")), address)

    def _local(self, environ: Mapping[str, Any], peer: str) -> Visitor | Refusal:
        host = str(environ.get("HTTP_HOST", ""))
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in _OWN_NAMES:
            return Refusal(
                HTTPStatus.FORBIDDEN, "This console is open to its own machine alone: ask for it as 127.0.0.1.", {}
            )
        return Visitor("local", peer, may_act=True)

    def _login(self, authorization: str, address: str) -> Visitor | Refusal:
        given = _basic(authorization)
        if given is None:
            return _ask("Log in as operator or viewer, with the password that was set for it.")
        user, password = given
        digest = _digest(user, password)
        wait = self._attempts.wait(address, digest)
        if wait > 0:
            seconds = str(int(wait) + 1)
            sentence = f"Too many wrong passwords came from your address. Try again in {seconds} s."
            return Refusal(HTTPStatus.TOO_MANY_REQUESTS, sentence, {"Retry-After": seconds})
        found = ""
        for name, right in self._logins.items():  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, right):
                found = name
        if not found:
            self._attempts.failed(address)
            return _ask("User name or password are not right. The users are operator and viewer.")
        self._attempts.succeeded(address, digest)
        return Visitor(found, address, may_act=found == "operator")


class Attempts:
    """Counts wrong passwords by address. Who has been right from there is never slowed by his neighbours."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()  #: address → how many, when the last was
        self._right: OrderedDict[tuple[str, bytes], None] = OrderedDict()

    def wait(self, address: str, digest: bytes) -> float:
        """Return the seconds until an address may try again; 0 = now."""
        with self._lock:
            count, last = self._failures.get(address, (0, 0.0))
            if count <= FREE_ATTEMPTS or (address, digest) in self._right:
                return 0.0
            longest = min(2.0 ** min(count - FREE_ATTEMPTS, 10), LONGEST_WAIT_SECONDS)
            return max(0.0, last + longest - self._clock())

    def failed(self, address: str) -> None:
        """Note a wrong password."""
        with self._lock:
            now = self._clock()
            count, last = self._failures.pop(address, (0, 0.0))
            self._failures[address] = (count + 1 if now - last < FORGET_SECONDS else 1, now)
            while len(self._failures) > MOST_REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, digest: bytes) -> None:
        """Note a right one."""
        with self._lock:
            self._right[address, digest] = None
            self._right.move_to_end((address, digest))
            while len(self._right) > MOST_REMEMBERED:
                self._right.popitem(last=False)


def same_origin(environ: Mapping[str, Any]) -> bool:
    """Whether a request was made by a page of this console, and not by a stranger's page in the same browser.

    Browsers say so in `Sec-Fetch-Site`, but only over TLS and on loopback; elsewhere `Origin` must be this host.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return str(site) == "same-origin"
    origin, host = str(environ.get("HTTP_ORIGIN", "")), str(environ.get("HTTP_HOST", ""))
    return bool(host) and origin.partition("://")[2].lower() == host.lower()


def address_of(environ: Mapping[str, Any]) -> str:
    """Return the address of a visitor: the peer's, or behind a proxy in a private network the last public one that the
    proxies name. Everything before that may be made up."""
    peer = str(environ.get("REMOTE_ADDR", ""))
    if not _is_private(peer):
        return peer
    for named in reversed(str(environ.get("HTTP_X_FORWARDED_FOR", "")).split(",")[-10:]):
        name = named.strip()
        if name and not _is_private(name):
            return name if _parsed(name) else peer
    return peer


def _ask(sentence: str) -> Refusal:
    challenge = 'Basic realm="worker console", charset="UTF-8"'
    return Refusal(HTTPStatus.UNAUTHORIZED, sentence, {"WWW-Authenticate": challenge})


def _basic(authorization: str) -> tuple[str, str] | None:
    """Return user and password of the header; None if there is none that can be read."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip().encode("latin-1"), validate=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def _digest(user: str, password: str) -> bytes:
    """Return something of one length to compare, whatever was given."""
    return hashlib.sha256(f"{user}:{password}".encode()).digest()


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None


def _is_private(address: str) -> bool:
    parsed = _parsed(address)
    return parsed is not None and not parsed.is_global


def _is_in(address: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)
