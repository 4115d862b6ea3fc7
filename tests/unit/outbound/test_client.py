"""What guarded requests call a site, and to which they go."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import httpx
import pytest
from structlog.testing import capture_logs

from tests.support.ports import free_port
from worker.outbound.client import GuardedClient, is_admitted, origin
from worker.outbound.connecting import Resolver
from worker.retry import RetryLater


def test_messages_name_the_origin_only() -> None:
    assert origin(httpx.URL("https://shop.example:8443/hook/T0K3N?key=1")) == "https://shop.example:8443"
    assert origin(httpx.URL("http://[::1]:80/x")) == "http://[::1]"
    assert origin(httpx.URL("https://BÜCHER.example/ä")) == "https://xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("url", "admitted"),
    [
        ("https://me.example/hook", True),
        ("https://ME.example:443/other", True),
        ("http://me.example/hook", False),
        ("https://me.example:8443/hook", False),
        ("https://me.example.evil.example/hook", False),
        ("https://me.example./hook", False),
        ("http://127.0.0.1:9/x", True),
    ],
)
def test_a_list_of_sites_admits_those_only(url: str, admitted: bool) -> None:
    assert is_admitted(httpx.URL(url), ("https://Me.example", "http://127.0.0.1:9")) is admitted
    assert is_admitted(httpx.URL(url), ())


# -- strangers do not learn what is behind a name ----------------------------------------------------------------------


def unknown(_host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def failure(resolver: Resolver, port: int, *, allow_private: bool = False) -> tuple[type[Exception], str, float | None]:
    client = GuardedClient(5, resolver=resolver, allow_private=allow_private)
    request = httpx.Request("GET", f"http://one.example:{port}/")
    with pytest.raises(RetryLater) as raised, client.send(request):
        pass
    return type(raised.value), str(raised.value), raised.value.after


def test_a_private_an_unknown_and_a_closed_address_read_the_same() -> None:
    port = free_port()
    with capture_logs() as logs:
        told = {
            failure(lambda *_: ["10.1.2.3"], port),
            failure(lambda *_: ["169.254.169.254"], port),
            failure(unknown, port),
            failure(lambda *_: ["127.0.0.1"], port),
            failure(lambda *_: [], port),
            failure(lambda *_: ["127.0.0.1"], port, allow_private=True),
        }
    assert told == {(RetryLater, f"http://one.example:{port} cannot be reached from here; check the address", None)}
    assert [line["reason"].partition(" and")[0] for line in logs] == [
        "it leads to a private address",
        "it leads to a link-local or metadata address",
        "it does not resolve",
        "it leads to a loopback address",
        "it has no address",
        "[Errno 111] Connection refused",
    ]


def test_a_resolver_that_does_not_answer_costs_no_more_than_the_time_limit() -> None:
    over = threading.Event()

    def hang(_host: str, _port: int) -> Sequence[str]:
        over.wait(60)
        return ["127.0.0.1"]

    client = GuardedClient(0.1, resolver=hang, allow_private=True)
    with pytest.raises(RetryLater, match="cannot be reached"), client.send(httpx.Request("GET", "http://one.example/")):
        pass
    assert not over.is_set()
    over.set()
