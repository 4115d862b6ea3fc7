"""What the functions share with the job: canonical URLs, ids, limits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import products
from jobs.products import analyze_product
from jobs.urls import canonical, checked
from producer.payload import unique_id
from tests.support.node import evaluate, needs_node
from worker.retry import PermanentError

pytestmark = needs_node

CASES: list[list[str]] = json.loads(Path(__file__).with_name("canonical_urls.json").read_text())
CANONICAL = """
import { readFileSync } from "node:fs";
import { canonicalUrl } from "./netlify/lib/urls.mjs";
const urls = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(urls.map((url) => {
  try { return canonicalUrl(url); } catch (error) { return { refused: error.message }; }
})));
"""


def in_python(url: str) -> str | None:
    try:
        return str(canonical(checked(url)))
    except PermanentError:
        return None


@pytest.mark.parametrize(("url", "expected"), CASES)
def test_python_makes_urls_canonical_as_the_table_says(url: str, expected: str) -> None:
    assert in_python(url) == expected
    assert in_python(expected) == expected


def test_javascript_makes_urls_canonical_as_the_table_says() -> None:
    assert evaluate(CANONICAL, [url for url, _ in CASES]) == [expected for _, expected in CASES]
    assert evaluate(CANONICAL, [expected for _, expected in CASES]) == [expected for _, expected in CASES]


PATHS = st.text(st.sampled_from("abcÄ%/.?&=#;'\"<>`{}|^~ +@:_-[]!$*(),25ué😀"), max_size=24)
QUERIES = st.lists(st.sampled_from(["utm_x=1", "gclid=2", "a=1", "b", "=", "", "UTM_y", "ref=utm_z"]), max_size=5)
URLS = st.builds(
    lambda scheme, host, path, query: f"{scheme}://{host}/{path}?{'&'.join(query)}",
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(
        ["shop.example", "SHOP.example.", "shop.example:443", "shop.example:80", "bücher.example", "1.2.3.4"]
    ),
    PATHS,
    QUERIES,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example])
@given(st.lists(URLS, min_size=150, max_size=150))
def test_both_agree_on_any_other_url(urls: list[str]) -> None:
    for url, made in zip(urls, evaluate(CANONICAL, urls), strict=True):
        assert (url, made) == (url, in_python(url))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "must be text"),
        ("shop.example/lamp", "not an absolute http or https URL"),
        ("ftp://shop.example/", "not an absolute http or https URL"),
        ("javascript:alert(1)", "not an absolute http or https URL"),
        ("https:///lamp", "not an absolute http or https URL"),
        ("https://user:pass@shop.example/", "carries a user name or password"),
        ("https://shop.example:0/", "port 0"),
        ("https://shop.example:99999/", "cannot be read"),
        ("https://sh op.example/", "cannot be read"),
        ("https://shop.example/a\nb", "control characters"),
        ("https://shop.example\\@evil.example/", "backslashes"),
        ("https://x.example/" + "a" * 5000, "has 5018 characters"),
    ],
)
def test_a_url_that_cannot_be_used_is_explained(url: str | None, said: str) -> None:
    (answer,) = evaluate(CANONICAL, [url])
    assert said in answer["refused"]
    assert "pass@" not in answer["refused"]


def test_the_function_knows_what_the_job_knows() -> None:
    told = evaluate(
        'import * as f from "./netlify/lib/analysis.mjs";'
        'import { uniqueId } from "./packages/producer-js/src/payload.js";'
        "console.log(JSON.stringify([f.FUNCTION, f.CACHE_VERSION, f.FRESHNESS, await uniqueId(f.FUNCTION, 'ä')]))"
    )
    function = f"{analyze_product.__module__}.{analyze_product.__name__}"
    assert told == [
        function,
        products.CACHE_VERSION,
        products.KEEP_SECONDS - products.FRESH_SECONDS,
        unique_id(function, "ä"),
    ]


HOUSEHOLDS = {
    "192.0.2.7": "192.0.2.7",
    "::ffff:192.0.2.7": "192.0.2.7",
    "::ffff:c000:207": "192.0.2.7",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
    "2001:0DB8:0001:0002::": "2001:db8:1:2::/64",
    "2001:db8::1": "2001:db8:0:0::/64",
    "::1": "0:0:0:0::/64",
    "2001:db8:1:2:3:4:192.0.2.7": "2001:db8:1:2::/64",
    "unknown": "unknown",
    "fe80::1%eth0": "fe80::1%eth0",
    "::::": "::::",
    "": "",
}


def test_one_connection_to_the_internet_is_one_caller() -> None:
    told = evaluate(
        'import { readFileSync } from "node:fs"; import { household } from "./netlify/lib/web.mjs";'
        'console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(household)))',
        list(HOUSEHOLDS),
    )
    assert dict(zip(HOUSEHOLDS, told, strict=True)) == HOUSEHOLDS
