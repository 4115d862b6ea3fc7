from __future__ import annotations

import pytest

from worker.console import charts
from worker.console.templating import MOST_CHARACTERS, ROOT, ago, cut, dur, environment, num, soon

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202egnp.exe\"'"


def rendered(template: str, **data: object) -> str:
    return environment().from_string(template).render(**data)


def test_style_and_script_stay_small() -> None:
    assert len((ROOT / "static" / "console.css").read_bytes()) <= 15_000
    assert len((ROOT / "static" / "console.js").read_bytes()) <= 10_000


def test_whatever_a_template_prints_is_escaped_spelt_out_and_cut() -> None:
    shown = rendered('<p title="{{ text }}">{{ text }}</p>{{ text|cut(20) }}{{ many }}', text=HOSTILE, many="x" * 10**7)
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\\x1b[31m\\u202egnp.exe" in shown
    assert len(shown) < MOST_CHARACTERS + 2000
    assert "left out" in shown


def test_bytes_that_are_no_text_are_shown_and_not_sent() -> None:
    assert rendered("{{ text }}", text=b"\xff\xfe".decode(errors="surrogateescape")) == "\\udcff\\udcfe"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, ">0<"),
        (7, ">7<"),
        (9999, ">9,999<"),
        (12_400, ">12.4 k<"),
        (1_000_000, ">1 m<"),
        (2.5, ">2.5<"),
        (None, "–"),
    ],
)
def test_numbers_are_short_and_exact_on_hover(number: float | None, shown: str) -> None:
    assert shown in num(number)
    if number and number > 10_000:
        assert f'title="{number:,}"' in num(number)


def test_times_are_words_in_time_elements_with_the_exact_value() -> None:
    assert ago(1_000_000.0, now=1_000_045.0) == (
        '<time datetime="1970-01-12T13:46:40.000+00:00" title="Mon 1970-01-12 13:46:40 UTC">45 s ago</time>'
    )
    assert ">in 3.0 h<" in ago(1_000_000.0, now=1_000_000.0 - 3 * 3600)
    assert ">now<" in ago(1_000_000.0, now=1_000_000.5)
    assert ago(None) == ago(1e30) == ago(float("nan")) == "–"
    assert dur(0.137) == '<time datetime="PT0.137S" title="0.137 s">137 ms</time>'
    assert dur(None) == "–"
    assert "late" in soon(-30.0)


def test_what_was_cut_is_there_on_hover_and_escaped_there_too() -> None:
    assert cut("short") == "short"
    shown = cut(HOSTILE + "y" * 100, 20)
    assert "<script" not in shown
    assert shown.startswith('<span title="&lt;script&gt;')


def test_a_curve_keeps_its_peaks_its_gaps_and_a_hostile_title() -> None:
    drawn = charts.spark([0.0] * 300 + [9.0] + [None] * 100 + [1.0, 2.0], HOSTILE)
    assert "<script" not in drawn
    assert drawn.count("M") >= 4, "two pieces, each a line and an area"
    assert " 3.0" in drawn, "the highest point touches the top"
    assert "path" not in charts.spark([1.0, None], "x"), "one point is no curve"
    assert 'width="100.0"' in charts.bar(7, 5, "full")
    assert 'width="0.0"' in charts.bar(7, 0, "of nothing")
