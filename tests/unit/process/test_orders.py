"""RQ's commands as anybody may publish them: what is none does nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from worker.process.orders import obey, read
from worker.process.scoreboard import Scoreboard
from worker.process.slot import Slot


def slot() -> Slot:
    return Scoreboard(1).consumers[0]


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"null", b"5", b'"stop-job"', b"", None, 3],
    ids=lambda data: repr(data)[:12],
)
def test_what_is_no_command_is_read_as_nothing(data: Any) -> None:
    assert read({"data": data}) == {}


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"command": [1]},
        {"command": "shutdown" + "x" * 99_999},
        {"command": "stop-job"},
        {"command": "stop-job", "job_id": {"a": 1}},
        {"command": "stop-job", "job_id": ["x"], "execution_id": 5},
        {"command": None, "job_id": "x"},
    ],
    ids=str,
)
def test_an_order_that_names_nothing_is_given_to_nobody(payload: dict[str, Any]) -> None:
    ordered = slot()
    obey(ordered, payload, 0)
    assert ordered.orders_given == 0


@pytest.mark.parametrize("job_id", ["\ud800", "x" * 100_000, "é" * 100, "a\x00b"])
def test_an_id_that_no_job_has_stops_nobody(job_id: str) -> None:
    ordered = slot()
    obey(ordered, read({"data": json.dumps({"command": "stop-job", "job_id": job_id})}), 0)
    assert [given.job_id[:1] for given in ordered.orders if given.order] == [job_id.encode(errors="replace")[:1]]
