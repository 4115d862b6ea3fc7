from __future__ import annotations

import base64
from http import HTTPStatus

import pytest

from worker.console.access import FREE_ATTEMPTS, Access, Refusal, Visitor, address_of, same_origin
from worker.settings.load import load

PASSWORD, VIEW = "correct horse: battery", "just-looking-around"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def access(clock: Clock | None = None, **environ: str) -> Access:
    return Access(load({"REDIS_URL": "redis://localhost", **environ}), clock or Clock())


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def asked(authorization: str = "", address: str = "203.0.113.5", **more: str) -> dict[str, str]:
    return {"REMOTE_ADDR": address, "HTTP_HOST": "x.example", "HTTP_AUTHORIZATION": authorization, **more}


def test_each_user_has_the_password_and_the_rights_of_its_setting() -> None:
    door = access(MONITOR_PASSWORD=PASSWORD, MONITOR_VIEW_PASSWORD=VIEW)
    assert door.enter(asked(basic("operator", PASSWORD))) == Visitor("operator", "203.0.113.5", may_act=True)
    assert door.enter(asked(basic("viewer", VIEW))) == Visitor("viewer", "203.0.113.5", may_act=False)
    for user, password in (("operator", VIEW), ("viewer", PASSWORD), ("root", PASSWORD), ("", ""), ("operator", "")):
        refused = door.enter(asked(basic(user, password), address=f"203.0.113.{len(user)}"))
        assert isinstance(refused, Refusal)
        assert refused.status is HTTPStatus.UNAUTHORIZED
        assert refused.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "header", ["", "Bearer x", "Basic", "Basic !!!", "Basic \xff", "Basic b3BlcmF0b3I=", "Basic /w=="]
)
def test_what_is_no_login_is_asked_for_one_and_costs_no_attempt(header: str) -> None:
    door = access(MONITOR_PASSWORD=PASSWORD)
    for _ in range(FREE_ATTEMPTS + 5):
        refused = door.enter(asked(header))
        assert isinstance(refused, Refusal)
        assert refused.status is HTTPStatus.UNAUTHORIZED
    assert isinstance(door.enter(asked(basic("operator", PASSWORD))), Visitor)


def test_wrong_passwords_slow_their_address_down_and_nobody_who_was_right_before() -> None:
    clock = Clock()
    door = access(clock, MONITOR_PASSWORD=PASSWORD)
    known = asked(basic("operator", PASSWORD), address="198.51.100.9")
    assert isinstance(door.enter(known), Visitor)
    for _ in range(FREE_ATTEMPTS + 1):
        assert _status(door.enter(asked(basic("operator", "wrong"), address="198.51.100.9"))) == 401
    slowed = door.enter(asked(basic("operator", "another"), address="198.51.100.9"))
    assert _status(slowed) == 429
    assert isinstance(slowed, Refusal)
    assert int(slowed.headers["Retry-After"]) >= 2
    assert isinstance(door.enter(known), Visitor), "a neighbour behind the same address goes on"
    assert _status(door.enter(asked(basic("operator", "wrong"), address="198.51.100.10"))) == 401
    clock.now += 2.1
    assert _status(door.enter(asked(basic("operator", "wrong"), address="198.51.100.9"))) == 401
    assert _status(door.enter(asked(basic("operator", "wrong"), address="198.51.100.9"))) == 429
    clock.now += 1000
    assert _status(door.enter(asked(basic("operator", "wrong"), address="198.51.100.9"))) == 401


def test_also_the_right_password_waits_when_it_comes_after_many_wrong_ones() -> None:
    door = access(MONITOR_PASSWORD=PASSWORD)
    for _ in range(FREE_ATTEMPTS + 1):
        door.enter(asked(basic("operator", "wrong")))
    assert _status(door.enter(asked(basic("operator", PASSWORD)))) == 429, "else a guess would show itself"


def test_a_proxy_is_believed_from_its_addresses_alone() -> None:
    door = access(
        MONITOR_PROXY_HEADER="X-Forwarded-User",
        MONITOR_PROXY_ADDRESSES="10.0.0.7,10.1.0.0/16",
        MONITOR_PROXY_OPERATORS="ann@example.com",
    )
    named = {"HTTP_X_FORWARDED_USER": "ann@example.com"}
    assert door.enter(asked(address="10.1.2.3", **named)) == Visitor("ann@example.com", "10.1.2.3", may_act=True)
    assert door.enter(asked(address="10.0.0.7", HTTP_X_FORWARDED_USER="bob")) == Visitor("bob", "10.0.0.7", False)
    assert _status(door.enter(asked(address="10.0.0.8", **named))) == 403
    assert _status(door.enter(asked(address="10.0.0.7"))) == 403
    assert _status(door.enter(asked(address="somewhere", **named))) == 403


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        *((host, True) for host in ("127.0.0.1:8080", "localhost", "[::1]:8080", "[::1]", "LOCALHOST:1")),
        *((host, False) for host in ("attacker.example:8080", "", "127.0.0.1.attacker.example", "localhost.")),
    ],
)
def test_an_open_console_is_for_its_own_machine_under_its_own_name(host: str, let_in: bool) -> None:
    door = access(MONITOR_OPEN="true", HEALTH_HOST="127.0.0.1")
    assert isinstance(door.enter(asked(address="127.0.0.1", HTTP_HOST=host)), Visitor) is let_in


@pytest.mark.parametrize(
    ("more", "same"),
    [
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://x.example"}, False),
        ({"HTTP_SEC_FETCH_SITE": "none"}, False),
        ({"HTTP_ORIGIN": "https://x.example"}, True),
        ({"HTTP_ORIGIN": "https://x.example:444"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_ORIGIN": ""}, False),
        ({}, False),
    ],
)
def test_only_a_page_of_this_origin_may_act(more: dict[str, str], same: bool) -> None:
    assert same_origin({"HTTP_HOST": "x.example", **more}) is same
    if "HTTP_SEC_FETCH_SITE" not in more:
        assert not same_origin({**more, "HTTP_HOST": ""})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("10.0.0.1", "8.8.4.4", "8.8.4.4"),
        ("10.0.0.1", "6.6.6.6, 8.8.4.4, 10.0.0.2", "8.8.4.4"),
        ("10.0.0.1", "10.0.0.9", "10.0.0.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::1", "2606:4700::1", "2606:4700::1"),
    ],
)
def test_the_address_is_what_no_client_can_make_up(peer: str, forwarded: str, address: str) -> None:
    assert address_of({"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}) == address


def _status(entered: Visitor | Refusal) -> int:
    assert isinstance(entered, Refusal)
    return entered.status.value
