"""What a line of a job's log is, and what readers make of a list in Redis."""

from __future__ import annotations

import pytest

from worker.context import OfflineContext
from worker.job_log import LINE_BYTES, MOST_LINES, JobLog, LogLine, cut, parsed

CREATED = b"2026-12-01T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("fetched 3 pages", "fetched 3 pages"),
        (7, "7"),
        ("x" * LINE_BYTES, "x" * LINE_BYTES),
        ("x" * (LINE_BYTES + 1), "x" * (LINE_BYTES - 3) + "…"),
        ("ä" * LINE_BYTES, "ä" * ((LINE_BYTES - 3) // 2) + "…"),
        ("half \ud800 a pair", "half ? a pair"),
    ],
)
def test_a_line_is_cut_to_its_bytes_and_never_inside_a_character(said: object, kept: str) -> None:
    assert cut(said) == kept.encode()
    assert len(cut(said)) <= LINE_BYTES


def test_lines_are_read_back_with_their_time_attempt_and_percentage() -> None:
    entries = [CREATED + b" 7", b"1700000000.250 1 - a b", b"1700000001.000 2 40 ", b"somebody's"]
    lines = (LogLine(1700000000.25, 1, None, "a b"), LogLine(1700000001.0, 2, 40, ""))
    assert parsed(entries, CREATED) == JobLog(lines, 7)


@pytest.mark.parametrize("head", [b"", b"x", b"2026-12-01T10:00:00.000000Z", b"2026-11-01T10:00:00.000000Z 0"])
def test_what_is_another_jobs_or_nobodys_is_not_shown(head: bytes) -> None:
    assert parsed([head, b"1700000000.250 1 - a"], CREATED) == JobLog((), 0)
    assert parsed([], CREATED) == JobLog((), 0)


def test_outside_a_worker_the_last_lines_stay_in_memory_as_a_consumer_would_cut_them() -> None:
    ctx = OfflineContext()
    ctx.log("x" * 1000)
    ctx.progress(10, "fetching")
    assert ctx.logged == [cut("x" * 1000).decode(), "fetching"]
    for number in range(MOST_LINES + 5):
        ctx.log(number)
    assert (len(ctx.logged), ctx.logged[0], ctx.logged[-1]) == (MOST_LINES, "5", str(MOST_LINES + 4))
