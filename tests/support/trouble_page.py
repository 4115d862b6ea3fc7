"""docs/redis-trouble.md: the parts that are generated from the code, and from what was measured."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING, Final

from tests.support.service import ROOT
from worker.redis.outage import CAP_SECONDS, PROMPT_CAP_SECONDS, SOON_CAP_SECONDS
from worker.redis.trouble import Eagerness
from worker.redis.troubles import TROUBLES

if TYPE_CHECKING:
    from tests.faults.outages import Row

PAGE: Final = ROOT / "docs" / "redis-trouble.md"
_AGAIN: Final = {
    Eagerness.PROMPTLY: f"at once, then up to {PROMPT_CAP_SECONDS:g} s apart",
    Eagerness.SOON: f"at once, then up to {SOON_CAP_SECONDS:g} s apart",
    Eagerness.RETRY: f"at once, then up to {CAP_SECONDS:g} s apart",
    Eagerness.SLOWLY: f"up to {CAP_SECONDS / 2:g} s, then up to {CAP_SECONDS:g} s apart",
}


def line(row: Row) -> str:
    """One row as a line of a Markdown table."""
    noticed = "–" if row.noticed is None else f"{row.noticed:.1f}"
    codes = ", ".join(f"`{code}`" for code in sorted(row.codes)) or "no outage"
    state = "busy" if row.load else "idle"
    return (
        f"| {row.fault.title} | {state} | {codes} | {noticed} | {row.recovered:.1f} | {row.jobs} of {row.jobs} once |"
    )


def sentences() -> str:
    """The table of troubles, from the code."""
    lines = ["| Code | What is wrong | What to do | Tried again |", "|---|---|---|---|"]
    lines += [
        f"| `{code}` | {trouble.sentence} | {trouble.fix} | {_AGAIN[trouble.eagerness]} |"
        for code, trouble in TROUBLES.items()
    ]
    return "\n".join(lines)


def measured(rows: list[Row]) -> str:
    """The table of trials, with where they were run."""
    head = "| What was done to Redis | Worker | Called | Noticed after (s) | First job after its end (s) | Jobs |"
    return "\n".join(
        [
            f"Measured on {os.cpu_count()} cores, Python {platform.python_version()}, the server on the same machine.",
            "",
            head,
            "|---|---|---|---:|---:|---|",
            *map(line, rows),
        ]
    )


def part(page: str, name: str) -> str:
    """Return a generated part of the page."""
    found = re.search(_between(name), page, re.DOTALL)
    assert found, f"the page has no part {name}"
    return found[1].strip()


def put(page: str, name: str, text: str) -> str:
    """Return the page with another text in that part."""
    return re.sub(_between(name), lambda _: f"<!-- {name} -->\n{text}\n<!-- /{name} -->", page, flags=re.DOTALL)


def write(rows: list[Row] | None = None) -> None:
    """Renew the generated parts; without rows only the sentences."""
    page = put(PAGE.read_text(), "troubles", sentences())
    if rows is not None:
        page = put(page, "measured", measured(rows))
    PAGE.write_text(page)


def _between(name: str) -> str:
    return f"<!-- {name} -->\n(.*?)<!-- /{name} -->"


if __name__ == "__main__":
    write()
