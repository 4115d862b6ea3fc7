"""docs/redis-trouble.md says what the code says."""

from __future__ import annotations

from tests.faults.fault_table import FAULTS
from tests.support import trouble_page
from worker.process.overdue import DEAF_SECONDS
from worker.settings.redis_url import IGNORED


def test_the_sentences_are_those_of_the_code() -> None:
    page = trouble_page.PAGE.read_text()
    assert trouble_page.part(page, "troubles") == trouble_page.sentences(), "python -m tests.support.trouble_page"


def test_every_fault_is_measured_idle_and_busy() -> None:
    measured = trouble_page.part(trouble_page.PAGE.read_text(), "measured")
    for fault in FAULTS:
        for state in ("idle", "busy"):
            assert f"| {fault.title} | {state} |" in measured, "make outages"


def test_numbers_and_names_in_the_text_are_those_of_the_code() -> None:
    text = " ".join(trouble_page.PAGE.read_text().split())
    assert all(f"`{name}`" in text for name in IGNORED)
    assert f"is replaced {DEAF_SECONDS:g} seconds after" in text
