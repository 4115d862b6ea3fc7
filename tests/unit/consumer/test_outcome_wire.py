"""What crosses the pipe between a forked job and its consumer arrives as it was, and nothing else is taken."""

from __future__ import annotations

import pytest

from worker.consumer.outcome_wire import ENDED, OUTCOME, Garbled, Message
from worker.engine.records import Buried, Claim, Finished, Outcome, Retried

CLAIM = Claim("job", "w1", "default", "default", {})
LETTER = {"reason": "failed", "history": [{"message": "é \x00 \ud800"}], "attempts": 3}


@pytest.mark.parametrize(
    "outcome",
    [
        Finished(CLAIM, 1.5, 2.25, 500, b"eA==", in_group=True),
        Finished(CLAIM, 1.5, 2.25, -1),
        Retried(CLAIM, 1.0, 2.0, 0.5, True, {"attempts": 1, "last_error": "ValueError: \udcff\n", "b": b"\xff\n"}),
        Buried(CLAIM, 1.0, 2.0, 60, "dead-letter", b"eJw=", {"dead_letter": "{}", "attempts": 3}, LETTER),
    ],
)
def test_an_outcome_arrives_as_it_was(outcome: Outcome) -> None:
    line = Message(OUTCOME, (1, 0, 2), outcome).line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Message.read(line, CLAIM) == Message(OUTCOME, (1, 0, 2), outcome)


def test_a_message_without_an_outcome_arrives() -> None:
    assert Message.read(Message(ENDED, (1, 0, 0)).line(), CLAIM) == Message(ENDED, (1, 0, 0))


@pytest.mark.parametrize(
    "line",
    [
        b"odd",
        b"\xff\xfe",
        b"[]",
        b'{"kind": "outcome"}',
        b'{"kind": "outcome", "counts": [1, 2]}',
        b'{"kind": "outcome", "counts": [0, 0, 0], "outcome": ["Popen", {}]}',
        b'{"kind": "outcome", "counts": [0, 0, 0], "outcome": ["finished", {"claim": 1}]}',
        b"[" * 100_000,
    ],
)
def test_anything_else_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        Message.read(line, CLAIM)
