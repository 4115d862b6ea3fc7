"""Which addresses jobs may connect to, and which URLs they take."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.outbound.addresses import refusal

PUBLIC = [
    "8.8.8.8",
    "93.184.215.14",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::",
]
LOOPBACK = [
    *("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"),
    *("64:ff9b::7f00:1", "2002:7f00:1::", "2002:7f00:0001:dead:beef::1"),
]
PRIVATE = [
    *(
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "fd00::1",
        "192.0.2.1",
        "198.18.0.1",
        "2001:db8::1",
    ),
    *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"),
]
NEVER = [
    *("169.254.169.254", "fe80::1", "fe80::1%eth0", "168.63.129.16", "100.100.100.200", "fd00:ec2::254"),
    *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "192.0.0.192", "fd20:ce::254"),
    *("0.0.0.0", "::", "255.255.255.255", "240.0.0.1", "224.0.0.1", "239.255.255.250", "ff02::1"),
    *("2606:4700::5efe:808:808", "2606:4700::200:5efe:808:808", "fe80::5efe:a00:1", "::200:5efe:7f00:1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "::ffff:0:808:808", "::0:5efe:10.0.0.1", "fd00::5efe:a9fe:a9fe"),
    *("::8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b:1::1", "2001:0:1::1", "fec0::1", "192.88.99.1", "3fff::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize("address", LOOPBACK + PRIVATE + NEVER)
def test_everything_else_is_refused(address: str) -> None:
    assert refusal(address) is not None


@pytest.mark.parametrize("address", LOOPBACK + PRIVATE)
def test_the_development_switch_admits_loopback_and_private_addresses(address: str) -> None:
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_the_development_switch_admits_nothing_more(address: str) -> None:
    assert refusal(address, allow_private=True) is not None


def test_the_kind_of_address_is_named() -> None:
    assert refusal("::ffff:127.0.0.1") == "a loopback address"
    assert refusal("169.254.169.254") == "a link-local or metadata address"
    assert refusal("10.1.2.3") == "a private address"


@settings(deadline=None)
@given(st.ip_addresses(v=4))
def test_wrapping_an_ipv4_address_changes_nothing(address: object) -> None:
    number = int(address)  # type: ignore[call-overload]
    kind = refusal(str(address))
    assert refusal(f"::ffff:{address}") == kind
    assert refusal(f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}") == kind
    assert refusal(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1") == kind


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.integers(0, 2**64 - 1), st.sampled_from([0x5EFE, 0x02005EFE]))
def test_no_tunnel_leads_to_an_ipv4_address(address: object, prefix: int, mark: int) -> None:
    """ISATAP: any prefix, then 5efe and the address."""
    wrapped = IPv6Address(prefix << 64 | mark << 32 | int(address))  # type: ignore[call-overload]
    assert refusal(str(wrapped)) is not None
