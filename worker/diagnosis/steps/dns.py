"""Step `dns`: which addresses does the host name stand for?"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from threading import Thread
from typing import Any, Final

from worker.diagnosis.case import Address, Case, Found, skipped
from worker.diagnosis.report import Finding
from worker.redis.troubles import trouble

_FAMILIES: Final = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
#: getaddrinfo's answers for a name that exists, but not in this family.
_NO_DATA: Final = {getattr(socket, name) for name in ("EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)}
_RESOLV_CONF: Final = Path("/etc/resolv.conf")
_DNS_PORT: Final = 53

Resolve = Callable[..., Iterable[tuple[Any, ...]]]
Answer = list[str] | OSError | None


def check_dns(case: Case, resolve: Resolve = socket.getaddrinfo) -> Found:
    """Resolve the host as the worker does, IPv4 and IPv6 apart; tell unknown names from silent name servers."""
    target = case.there
    if target.is_unix:
        return skipped("a socket of this machine has no host name")
    futures = {kind: _ask(resolve, target.host, target.port, family) for kind, family in _FAMILIES.items()}
    answers = {kind: _wait(future, case.left) for kind, future in futures.items()}
    case.addresses = [
        Address(_FAMILIES[kind], ip, target.port)
        for kind, answer in answers.items()
        if isinstance(answer, list)
        for ip in answer
    ]
    facts = {kind: answer if isinstance(answer, list) else _words(answer) for kind, answer in answers.items()}
    if case.addresses:
        literal = _is_address(target.host)
        named = "the Sentinels name" if target.sentinels else "the URL names"
        says = f"{named} an address" if literal else ", ".join(map(str, case.addresses))
        return Found(says, facts=facts)
    cause, fix = _cause(list(answers.values()))
    return Found("no address", [Finding.of(trouble("dns"), cause, fix=fix)], facts)


def _ask(resolve: Resolve, host: str, port: int, family: int) -> Future[list[str]]:
    """Resolve in a thread: the C library waits 5 s and more for each name server, and nothing can stop it."""
    future: Future[list[str]] = Future()

    def run() -> None:
        try:
            found = resolve(host, port, family, socket.SOCK_STREAM)
            future.set_result(list(dict.fromkeys(str(row[4][0]) for row in found)))
        except (OSError, UnicodeError) as error:
            future.set_exception(error)

    Thread(target=run, daemon=True, name="resolve").start()
    return future


def _wait(future: Future[list[str]], seconds: float) -> Answer:
    try:
        return future.result(timeout=seconds)
    except FutureTimeoutError:
        return None
    except UnicodeError:  # a label that is too long or empty
        return socket.gaierror(socket.EAI_NONAME, "not a host name")
    except OSError as error:
        return error


def _words(answer: OSError | None) -> str:
    if answer is None:
        return "no answer in time"
    return "none" if answer.errno in _NO_DATA else (answer.strerror or "failed")


def _cause(answers: list[Answer]) -> tuple[str, str]:
    """Return why there is no address, and a fix where the table's is not the best."""
    codes = {answer.errno for answer in answers if isinstance(answer, OSError)}
    if socket.EAI_NONAME in codes:
        return "The name servers do not know this name (NXDOMAIN).", ""
    if codes and codes <= _NO_DATA:
        return "The name exists, but has no address.", ""
    if not _has_network():
        return "This machine has no network.", "Bring the network of this machine up: no name server can be reached."
    words = "do not answer in time" if None in answers else "cannot be reached or fail"
    return (
        f"The name servers of this machine {words}.",
        "The host may be right: check name resolution here (/etc/resolv.conf, a firewall on port 53), then try again.",
    )


def _has_network() -> bool:
    """Whether the kernel has a route to a name server; sends nothing."""
    try:
        lines = _RESOLV_CONF.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    for server in servers or ["192.0.2.1"]:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((server, _DNS_PORT))
            except OSError as error:
                if error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
                    return True
            else:
                return True
    return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
