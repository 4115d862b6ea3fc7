"""Resolving: a name server's answers as the C library tells them."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from worker.diagnosis.case import Case, target_of
from worker.diagnosis.start import case_of
from worker.diagnosis.steps import dns


def case(url: str = "redis://redis.example:6379", timeout: float = 30.0) -> Case:
    made = case_of({}, url, timeout=timeout)
    made.target = target_of(url)
    return made


def failing(code: int) -> Any:
    def resolve(*_arguments: Any) -> Any:
        raise socket.gaierror(code, "said the C library")

    return resolve


def test_an_unknown_name_may_have_been_deleted() -> None:
    found = dns.check_dns(case(), failing(socket.EAI_NONAME))
    assert "NXDOMAIN" in found.findings[0].says
    assert "deleted or renamed" in found.findings[0].fix


def test_a_name_without_addresses_exists() -> None:
    found = dns.check_dns(case(), failing(socket.EAI_NODATA))
    assert "The name exists, but has no address." in found.findings[0].says


@pytest.mark.parametrize("network", [True, False])
def test_failing_name_servers_are_told_from_no_network(network: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_has_network", lambda: network)
    found = dns.check_dns(case(), failing(socket.EAI_AGAIN))
    says, fix = found.findings[0].says, found.findings[0].fix
    assert ("cannot be reached or fail" in says) is network
    assert ("This machine has no network" in says) is not network
    assert "The host may be right" in fix if network else "network of this machine" in fix


def test_silent_name_servers_do_not_hold_the_step_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns, "_has_network", lambda: True)
    never = threading.Event()

    def resolve(*_arguments: Any) -> Any:
        never.wait(30)
        return []

    asked = case(timeout=0.3)
    found = dns.check_dns(asked, resolve)
    never.set()
    assert "do not answer in time" in found.findings[0].says


def test_one_family_that_fails_is_no_failure() -> None:
    def resolve(host: str, port: int, family: int, kind: int) -> Any:
        if family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NODATA, "no address of this family")
        return [(family, kind, 6, "", (ip, port)) for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]

    asked = case()
    found = dns.check_dns(asked, resolve)
    assert not found.findings
    assert [address.ip for address in asked.addresses] == ["192.0.2.1", "192.0.2.2"]
    assert found.facts == {"IPv4": ["192.0.2.1", "192.0.2.2"], "IPv6": "none"}


def test_a_name_that_is_none_is_told() -> None:
    label = "x" * 70
    found = dns.check_dns(case(f"redis://{label}.example:6379"))
    assert found.findings[0].code == "dns"
