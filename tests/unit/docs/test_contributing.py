"""CONTRIBUTING.md sends people to what is there: its files, and in them the names that it says to extend."""

from __future__ import annotations

import re

from tests.support.service import ROOT
from tests.unit.docs.test_pages import paths_in

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
LISTS = TEXT.split("## Add it")[1].split("## Rules")[0]


def test_it_names_the_files_to_touch_for_each_thing_that_can_be_added() -> None:
    parts = re.split(r"^\*\*(.+?)\*\*", LISTS, flags=re.M)[1:]
    things = dict(zip(parts[::2], parts[1::2], strict=True))
    for thing in ("setting", "metric", "step", "trouble", "chore", "sub-command"):
        (steps,) = [text for name, text in things.items() if thing in name]
        assert len(paths_in(steps)) > 1, thing


def test_the_names_to_extend_are_in_their_files() -> None:
    named = re.findall(r"`([\w./]+\.py)`, `(\w+)`", TEXT)
    assert len(named) > 8
    for path, name in named:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{path}, {name}"


def test_a_tables_heading_that_it_names_is_in_its_page() -> None:
    for heading, page in re.findall(r'the table "([^"]+)" in `([\w./-]+)`', TEXT):
        assert heading in (ROOT / page).read_text(), heading
