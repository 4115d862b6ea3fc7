"""JSON as templates write it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.products.reading.loose_json import parse_json


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": "b"}', [{"a": "b"}]),
        ('{"a": 1.50, "b": 12}', [{"a": "1.50", "b": "12"}]),
        ("", []),
        ('"just a text"', []),
        ('/* a */ {"a":"b", // x\n "c":"d"}', [{"a": "b", "c": "d"}]),
        ('{"a":["1","2",],}', [{"a": ["1", "2"]}]),
        ('["1",,"2"]', [["1", "2"]]),
        ('{"a":"b"};', [{"a": "b"}]),
        ('{"a":"b"; "c":"d"}', [{"a": "b", "c": "d"}]),
        ('{"a":"b"}\n{"c":"d"}', [{"a": "b"}, {"c": "d"}]),
        ('[{"a":"b"}{"c":"d"}]', [[{"a": "b"}, {"c": "d"}]]),
        ('window.x = {"a":"b"};', [{"a": "b"}]),
        ('var x = JSON.parse("{\\"a\\":\\"b\\"}");', [{"a": "b"}]),
        ('{"a":"x\ty\nz"}', [{"a": "x\ty\nz"}]),
        ("{'a':'it\\'s', b: undefined, c: none}", [{"a": "it's", "b": None, "c": "none"}]),
        ('{"a":"27" monitor","b":"c"}', [{"a": '27" monitor', "b": "c"}]),
        ('{"a":"say "hi" now",}', [{"a": 'say "hi" now'}]),
        ('{"a":"x\\\'y \\x41 \\q"}', [{"a": "x'y A q"}]),
        ('{"a":"x"\n"b":"y"}', [{"a": "x", "b": "y"}]),
        ('\ufeff{"a":\u200b"b"}', [{"a": "b"}]),
        ("{&quot;a&quot;:&quot;x &amp;amp; y&quot;}", [{"a": "x &amp; y"}]),
        ('"{\\"a\\": \\"b\\"}"', [{"a": "b"}]),
        ('{\\"a\\":\\"b\\"}', [{"a": "b"}]),
        ("%7B%22a%22%3A%22b%22%7D", [{"a": "b"}]),
        ('{"price": 12,50, "c":"EUR"}', [{"price": "12,50", "c": "EUR"}]),
        ('{"price": , "c": }', [{"price": None, "c": None}]),
        ('{"a":007,"b":.5}', [{"a": "007", "b": ".5"}]),
        ('// <![CDATA[\n{"a":"b"}\n// ]]>', [{"a": "b"}]),
        ('/* <![CDATA[ */ {"a":"b"} /* ]]> */', [{"a": "b"}]),
        ('<!--//--><![CDATA[//><!--\n{"a":"b"}\n//--><!]]>', [{"a": "b"}]),
        ('//<![CDATA[{"a":"b"}//]]>', [{"a": "b"}]),
        ('<!-- SEO plugin -->\n{"a":"b"}', [{"a": "b"}]),
        ('{"a":"b"<!-- c -->,"d":"e"}', [{"a": "b", "d": "e"}]),
        ('{"u":"http://a.b/c", "d":"a /* no */ <!-- x -->",}', [{"u": "http://a.b/c", "d": "a /* no */ <!-- x -->"}]),
        ('{"a":{"b":"c"}', [{"a": {"b": "c"}}]),
        ('{"a":[{"b":"c"}}', [{"a": [{"b": "c"}]}]),
        ('{"a":"19.', []),
        ('{"a":{"b":19', []),
    ],
)  # fmt: skip
def test_what_leaves_no_doubt_is_read(text: str, values: list[Any]) -> None:
    assert parse_json(text) == values


_JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4))
def test_strict_json_is_read_as_json_reads_it(value: dict[str, Any]) -> None:
    assert parse_json(json.dumps(value)) == [value]


@settings(deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(alphabet="ab :,{}[]\\n/*é", max_size=12), min_size=1
    )
)
def test_a_trailing_comma_changes_nothing_else(value: dict[str, str]) -> None:
    assert parse_json(json.dumps(value)[:-1] + ",}") == [value]


@settings(deadline=None)
@given(st.text(alphabet="{}[]\"':,;/*<!->ab1 \\\n`&", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    assert all(isinstance(value, dict | list) for value in parse_json(text))
