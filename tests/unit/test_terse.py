"""Log lines on a terminal: what a person sees of an event."""

from __future__ import annotations

import pytest

from worker import terse

FINISHED = {
    "timestamp": "2026-12-01T09:41:07.123+00:00",
    "level": "info",
    "event": "job.finished",
    "seconds": 0.1234,
    "attempt": 1,
    "queue": "default",
    "job_id": "d8fe12e2-fcf6-4530-962a-b66a47ef8aee",
    "function": "shop.invoices.send",
    "worker": "vm.1",
}


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_an_ordinary_line_is_short() -> None:
    assert terse.render(FINISHED, colours=False) == (
        "09:41:07  info     job.finished  shop.invoices.send  0.123 s  d8fe12e2"
    )


def test_a_second_attempt_is_told() -> None:
    assert "attempt=2" in terse.render({**FINISHED, "attempt": 2}, colours=False)


def test_it_fits_the_terminal() -> None:
    line = terse.render({**FINISHED, "function": "shop." + "x" * 200}, colours=False)
    assert len(line) == 80
    assert line.endswith("…")


def test_a_warning_keeps_its_fields_and_says_what_to_do_below() -> None:
    event = {
        **FINISHED,
        "level": "warning",
        "event": "redis.outage_started",
        "code": "refused",
        "fix": "Start it. " * 12,
    }
    head, *below = terse.render(event, colours=False).splitlines()
    assert head.startswith("09:41:07  warning  redis.outage_started  ")
    assert "worker=vm.1" in head
    assert " ".join(line.strip() for line in below) == ("Start it. " * 12).strip()
    assert all(line.startswith(" " * 10) and len(line) <= 80 for line in below)


def test_a_traceback_is_whole() -> None:
    shown = terse.render({**FINISHED, "level": "error", "exception": "Traceback\n  x\nValueError: no"}, colours=False)
    assert shown.endswith("\nTraceback\n  x\nValueError: no")


def test_colours_change_nothing_else() -> None:
    plain, coloured = (terse.render(FINISHED, colours=wanted) for wanted in (False, True))
    assert coloured.replace("\x1b[32m", "").replace("\x1b[1m", "").replace("\x1b[0m", "") == plain
