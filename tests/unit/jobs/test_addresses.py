"""Which addresses jobs may connect to, and which URLs they take."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.addresses import refusal
from jobs.urls import canonical, checked, origin
from worker.retry import PermanentError

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


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (None, "is of type NoneType"),
        (b"https://x.example/", "is of type bytes"),
        ("", "not an absolute http or https URL"),
        ("shop.example/lamp", "not an absolute http or https URL"),
        ("//shop.example/lamp", "not an absolute http or https URL"),
        ("https:///lamp", "not an absolute http or https URL"),
        ("file:///etc/passwd", "not an absolute http or https URL"),
        ("gopher://x.example/", "not an absolute http or https URL"),
        ("ftp://x.example/", "not an absolute http or https URL"),
        ("https://me:pass@shop.example/", "carries a user name or password"),
        ("https://shop example/", "characters that no host name has"),
        ("https://shop.example:0/", "has the port 0"),
        ("https://shop.example:65536/", "has the port 65536"),
        ("https://shop.example:abc/", "cannot be read"),
        ("https://shop.example/\r\nX-Evil: 1", "cannot be read"),
        ("https://x.example/" + "a" * 5000, "has 5,018 characters"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained(url: object, complaint: str) -> None:
    with pytest.raises(PermanentError, match=complaint) as raised:
        checked(url)
    assert "pass@" not in str(raised.value)


@pytest.mark.parametrize(
    ("given_url", "canonical_url"),
    [
        ("HTTPS://Shop.Example:443/Lamp#reviews", "https://shop.example/Lamp"),
        ("http://shop.example.:80", "http://shop.example/"),
        ("http://shop.example:8080/a", "http://shop.example:8080/a"),
        ("https://shop.example/a/../b?utm_source=x&id=3&utm_medium=y&gclid=z", "https://shop.example/b?id=3"),
        ("https://shop.example/?fbclid=1", "https://shop.example/"),
        ("https://shop.example/?b=2&a=1&flag&x=", "https://shop.example/?b=2&a=1&flag&x="),
        ("https://shop.example/?q=a%20b&utm_campaign=%C3%BC", "https://shop.example/?q=a%20b"),
        ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
        ("  https://shop.example/ ", "https://shop.example/"),
        ("http://[2606:4700::1111]:80/x", "http://[2606:4700::1111]/x"),
    ],
)
def test_links_to_one_page_become_one_url(given_url: str, canonical_url: str) -> None:
    address = canonical(checked(given_url))
    assert str(address) == canonical_url
    assert canonical(checked(str(address))) == address


def test_messages_name_the_origin_only() -> None:
    assert origin(checked("https://shop.example:8443/hook/T0K3N?key=1")) == "https://shop.example:8443"
    assert origin(checked("http://[::1]:80/x")) == "http://[::1]"
