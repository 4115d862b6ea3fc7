"""What is wrong with a REDIS_URL, in sentences that never quote it: any part of it may be the rest of a password."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from worker.errors import Problem
from worker.settings import sentinel_url

SCHEMES: Final = ("redis", "rediss", "unix", *sentinel_url.SCHEMES)
#: Options after the ? that are obeyed, and what each must hold.
_USED: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "db": (lambda number: re.fullmatch(r"[0-9]+", number) is not None, "a database number"),
    "username": (bool, "a user name"),
    "password": (bool, "a password"),
    "protocol": (("2", "3").__contains__, "2 or 3"),
}
_USED_WITH_TLS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "ssl_ca_certs": (lambda path: Path(path).is_file(), "a file that exists"),
    "ssl_ca_path": (lambda path: Path(path).is_dir(), "a folder that exists"),
    "ssl_certfile": (lambda path: Path(path).is_file(), "a file that exists"),
    "ssl_keyfile": (lambda path: Path(path).is_file(), "a file that exists"),
    "ssl_password": (bool, "a password"),
    "ssl_ca_data": (bool, "a certificate"),
    "ssl_cert_reqs": (("none", "optional", "required").__contains__, "none, optional or required"),
    "ssl_check_hostname": (bool, "true or false"),
    "ssl_ciphers": (bool, "names of ciphers"),
}
#: Options that other programs may need in the same URL. The worker uses its own values: its promises rest on them.
IGNORED: Final = frozenset(
    {
        "health_check_interval",
        "max_connections",
        "retry_on_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
    }
)
_EXAMPLE: Final = "rediss://default:PASSWORD@host:6379"
_SENTINEL_EXAMPLE: Final = "redis+sentinel://:PASSWORD@one:26379,two:26379,three:26379/mymaster/0"


def problems(url: str | None, *, needed: bool) -> list[Problem]:
    """List what is wrong with REDIS_URL; a missing one is a problem only if it is `needed`."""
    if not url:
        return [Problem("REDIS_URL", "nothing", "the URL of your Redis", "redis://localhost:6379/0")] * needed
    found = _of_text(url)
    if not found and sentinel_url.is_sentinel(url):
        found = _of_sentinels(url)
    elif not found:
        found = _of_parts(url) or _of_options(url) or _of_upstash(url)
    return [found] if found else []


def host(url: str) -> str:
    """Return the host that a URL names, "" when there is none."""
    try:
        return urlsplit(url.strip("\"' ")).hostname or ""
    except ValueError:
        return ""


def is_upstash(name: str) -> bool:
    """Whether a host is one of Upstash's."""
    return name.rstrip(".").endswith(".upstash.io")


def _wrong(got: str, wants: str, example: str = _EXAMPLE) -> Problem:
    return Problem("REDIS_URL", got, wants, example)


def _of_text(url: str) -> Problem | None:
    """Find what goes wrong when a URL is copied and pasted."""
    if url != url.strip() or url[0] in "\"'" or url[-1] in "\"'":
        return _wrong("a URL with quotes or spaces around it", "the bare URL")
    if not url.isprintable() or " " in url:  # unprintable: line breaks, tabs, zero-width spaces of a web page
        return _wrong("a URL with spaces or line breaks in it, perhaps invisible ones", "one URL without them")
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in SCHEMES:
        plain = re.fullmatch(r"[A-Za-z][A-Za-z+.-]{1,11}", scheme)  # anything else may be part of a secret
        got = f"a URL that begins with {scheme}://" if plain and separator else "a text that is no Redis URL"
        got = got if separator else "a text without ://"
        return _wrong(got, f"a URL that begins with {', '.join(f'{name}://' for name in SCHEMES)}")
    return None


def _of_parts(url: str) -> Problem | None:
    """Find what is wrong with user, password, host, port and database."""
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        fits = rest.startswith("/") or "@/" in rest
        return None if fits else _wrong("no path", "the socket's path", "unix:///run/redis.sock")
    if found := _of_login(rest):
        return found
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _wrong("a port that is not a number from 0 to 65535", "a port number after the host, or none")
    if not parts.hostname:
        return _wrong("a URL without a host", "a host name after ://")
    if parts.username and parts.password is None:
        return _wrong("a user name without a password", "a colon before the password: redis://:PASSWORD@host")
    if port == 0:
        return _wrong("port 0", "the server's port")
    if not re.fullmatch(r"[0-9]*", parts.path.strip("/")):
        return _wrong("a database that is not a number", "a database number after the last /", "redis://host:6379/0")
    return None


def _of_sentinels(url: str) -> Problem | None:
    """Find what is wrong with a URL of Sentinels: with its login and options, with its service, or with one of them."""
    named = sentinel_url.read(url)
    if found := _of_login(url.partition("://")[2]) or _of_parts(named.primary):
        return found
    options = parse_qsl(url.partition("?")[2].partition("#")[0], keep_blank_values=True)
    for name, value in options:
        fits, wants = sentinel_url.OPTIONS.get(name, (bool, ""))
        if wants and not (value and fits(value)):
            return _wrong(f"an option {name} that does not fit", f"{wants} after {name}=", _SENTINEL_EXAMPLE)
    if "sentinel_username" in dict(options) and "sentinel_password" not in dict(options):
        return _wrong("sentinel_username without sentinel_password", "both, or none", _SENTINEL_EXAMPLE)
    for part in (named.primary, named.sentinels[0]):
        if found := _of_options(part, sentinel_url.OPTIONS):
            return found
    if not named.is_named:
        return _wrong(
            "Sentinels without the name of a service",
            "that name, as in the Sentinels' configuration, after the first /",
            _SENTINEL_EXAMPLE,
        )
    if any(not re.match(r"rediss?://[^:]|rediss?://\[", sentinel) for sentinel in named.sentinels):
        return _wrong("a list of Sentinels with an empty place", "host:port,host:port", _SENTINEL_EXAMPLE)
    return next(filter(None, map(_of_parts, named.sentinels)), None)


def _of_login(rest: str) -> Problem | None:
    """Find what is wrong with what stands before the host; `rest` is what comes after ://."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if re.search(r"<[^>]*>|\{[^}]*\}", authority):
        return _wrong(
            "a URL with a placeholder left in it",
            "the real value instead of <…> or {…}; such brackets in a password percent-encoded",
        )
    user_and_password = authority.rpartition("@")[0]
    if ("@" not in authority and "@" in rest) or any(character in user_and_password for character in "@[]"):
        return _wrong(
            "a user name or password with unescaped characters",
            "the characters @ : / ? # % [ ] in them percent-encoded (@ is %40, / is %2F, # is %23, ? is %3F)",
        )
    return None


def _of_options(url: str, others: Collection[str] = ()) -> Problem | None:
    """Find options with which redis-py could make no connection."""
    scheme = url.partition("://")[0]
    usable = {**_USED, **(_USED_WITH_TLS if scheme == "rediss" else {})}
    for name, value in parse_qsl(url.partition("?")[2].partition("#")[0], keep_blank_values=True):
        if name in _USED_WITH_TLS and name not in usable:
            return _wrong(f"the option {name} without TLS", "rediss:// for TLS, or no such option")
        if name in IGNORED:
            continue
        if name not in usable:
            # Only a plain word is quoted: anything else may be the rest of a password with a ? in it.
            shown = name if re.fullmatch(r"[a-z_]{1,30}", name) else "one that is no option"
            return _wrong(f"the option {shown} after the ?", f"none but {', '.join([*usable, *others])}")
        fits, wants = usable[name]
        if not value or not fits(value):
            return _wrong(f"an option {name} that does not fit", f"{wants} after {name}=")
    return None


def _of_upstash(url: str) -> Problem | None:
    """Find what the URL asks of Upstash that Upstash does not have."""
    parts = urlsplit(url)
    if not is_upstash(parts.hostname or ""):
        return None
    if parts.scheme == "redis":
        return _wrong("redis:// on an Upstash host", "rediss://, because Upstash only speaks TLS")
    database = dict(parse_qsl(parts.query)).get("db", parts.path.strip("/"))  # redis-py: ?db= wins over the path
    if database.strip("0"):
        return _wrong("a database number on an Upstash host", "/0 or none: Upstash has only database 0")
    return None
