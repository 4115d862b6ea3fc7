"""Which URLs jobs take, and what becomes of them."""

from __future__ import annotations

import pytest

from jobs.urls import canonical, checked
from worker.retry import PermanentError


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
