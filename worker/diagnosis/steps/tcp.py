"""Step `tcp`: does something accept TCP connections at each address?"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final

from worker.diagnosis.case import Address, Case, Found
from worker.diagnosis.report import Finding, Status
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble

#: Some names stand for dozens of addresses; redis-py tries them in this order.
_MOST_ADDRESSES: Final = 8


def check_tcp(case: Case) -> Found:
    """Connect to every address at once, and to the path of a unix socket."""
    if case.there.is_unix:
        return _unix(case)
    addresses = case.addresses[:_MOST_ADDRESSES]
    with ThreadPoolExecutor(len(addresses)) as pool:
        outcomes = list(pool.map(lambda address: connect(address, case.left), addresses))
    good = [address for address, outcome in zip(addresses, outcomes, strict=True) if isinstance(outcome, float)]
    found = Found(f"{len(good)} of {len(addresses)} addresses accept connections on port {case.there.port}")
    for address, outcome in zip(addresses, outcomes, strict=True):
        if isinstance(outcome, float):
            found.add(Status.OK, f"{address} accepts connections ({outcome * 1000:.1f} ms).")
            found.facts[str(address)] = {"connect_seconds": round(outcome, 6)}
        else:
            status = Status.WARNING if good else Status.FAILED
            found.findings.append(Finding.of(outcome, f"Address: {address}.", status))
            found.facts[str(address)] = {"code": outcome.code}
    if good:
        case.addresses = good
    return found


def connect(address: Address, timeout: float) -> float | RedisTrouble:
    """Connect and hang up; returns the seconds that it took, or what was wrong."""
    began = monotonic()
    try:
        with dial(address, timeout):
            return monotonic() - began
    except OSError as error:
        return name(error)


def dial(address: Address, timeout: float) -> socket.socket:
    """Open a connection; raises `OSError`."""
    return socket.create_connection(address.sockaddr, timeout)


def name(error: OSError) -> RedisTrouble:
    """Name why no connection was made."""
    if isinstance(error, TimeoutError):
        return trouble("connect_timeout")
    return translate(error) or trouble("unknown", type(error).__name__)


def _unix(case: Case) -> Found:
    path = case.there.path
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(case.left)
        try:
            probe.connect(path)
        except FileNotFoundError:
            return Found("no such socket", [Finding.of(trouble("refused"), "There is no file at that path.")])
        except OSError as error:
            return Found("no connection", [Finding.of(name(error))])
    return Found("the socket accepts connections")
