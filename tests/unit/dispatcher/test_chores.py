"""One chore's trouble is its own."""

from __future__ import annotations

from time import monotonic

import pytest
from redis.exceptions import ResponseError

from worker.dispatcher.chores import CAP_SECONDS, Independent
from worker.redis.troubles import trouble


class Chore:
    """Raises what it is given, once for each."""

    def __init__(self, *errors: Exception) -> None:
        self.due = 0.0
        self.runs = 0
        self._errors = list(errors)

    def run(self) -> None:
        self.runs += 1
        if self._errors:
            raise self._errors.pop(0)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("3 " * 5000),
        RecursionError(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        ResponseError("WRONGTYPE"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_chore_that_fails_is_tried_again_later_and_said_once(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    chore = Chore(error, error)
    independent = Independent("odd", chore)
    for _ in range(3):
        independent.run()
    assert chore.runs == 3
    out = capsys.readouterr().out
    assert (out.count("chore.failed"), out.count("chore.recovered")) == (1, 1)


def test_a_chore_that_fails_falls_due_later() -> None:
    independent = Independent("odd", Chore(ValueError()))
    independent.run()
    assert 0.0 < independent.due <= monotonic() + CAP_SECONDS


def test_the_commands_that_are_refused_to_a_chore_are_known_until_it_succeeds() -> None:
    independent = Independent("odd", Chore(trouble("no_permission", "no permission for LPOS, ZRANGE")))
    independent.run()
    assert independent.refused == "LPOS, ZRANGE"
    independent.run()
    assert independent.refused == ""


def test_a_server_that_is_away_is_trouble_of_all() -> None:
    independent = Independent("odd", Chore(trouble("refused")))
    with pytest.raises(Exception, match="refuses"):
        independent.run()
