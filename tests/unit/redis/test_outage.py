"""An outage is a state with a beginning, a reason and an end; how long to wait in it depends on the trouble."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.process.slot import RedisState
from worker.redis import outage as outage_module
from worker.redis.outage import Outage, delay_after
from worker.redis.trouble import Eagerness
from worker.redis.troubles import TROUBLES, trouble

CUT = trouble("reset")
REFUSED = trouble("refused")
FULL = trouble("max_clients")


class Watched:
    """An outage with everything it says."""

    def __init__(self) -> None:
        self.edges: list[tuple[RedisState, str]] = []
        self.commands: list[str] = []
        self.outage = Outage(self.edge)

    def edge(self, state: RedisState, code: str, commands: str) -> None:
        self.edges.append((state, code))
        self.commands.append(commands)


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    with capture_logs() as lines:
        monkeypatch.setattr(
            outage_module, "log", outage_module.logs.get_logger()
        )  # not the one that an earlier test has cached
        yield lines


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the outage; tests set its only item."""
    now = [1000.0]
    monkeypatch.setattr(outage_module, "monotonic", lambda: now[0])
    return now


def test_an_outage_is_logged_at_its_edges_and_seen_by_whoever_watches(watched: Watched, logged: list[Any]) -> None:
    outage = watched.outage
    outage.over()
    outage.note(FULL)
    assert outage.active
    assert outage.delay() == 0.0, "the first retry is at once"
    for _ in range(20):
        outage.note(FULL)
        assert 0 <= outage.delay() <= outage_module.CAP_SECONDS
    outage.over()
    outage.over()
    assert not outage.active
    assert [line["event"] for line in logged] == ["redis.outage_started", "redis.outage_ended"]
    assert logged[0]["code"] == "max_clients"
    assert logged[0]["sentence"]
    assert logged[0]["fix"]
    assert logged[1]["attempts"] == 21
    assert watched.edges == [(RedisState.CONNECTED, ""), (RedisState.OUTAGE, "max_clients"), (RedisState.CONNECTED, "")]


def test_a_lasting_outage_is_logged_once_a_minute(watched: Watched, logged: list[Any], clock: list[float]) -> None:
    for _ in range(300):
        watched.outage.note(FULL)
        clock[0] += 1
    assert [line["event"] for line in logged] == ["redis.outage_started"] + ["redis.outage_continues"] * 4
    assert logged[-1]["seconds"] == 240


def test_a_cut_connection_that_is_back_at_once_is_no_outage(watched: Watched, logged: list[Any]) -> None:
    watched.outage.over()
    watched.outage.note(CUT)
    assert watched.outage.delay() == 0.0
    assert not watched.outage.active
    watched.outage.over()
    assert watched.edges == [(RedisState.CONNECTED, "")]
    assert [line["log_level"] for line in logged] == ["debug"]


def test_a_cut_connection_that_stays_away_is_an_outage_since_the_cut(
    watched: Watched, logged: list[Any], clock: list[float]
) -> None:
    watched.outage.over()
    watched.outage.note(CUT)
    clock[0] += 3
    watched.outage.note(FULL)
    watched.outage.over()
    assert watched.edges[1:] == [(RedisState.OUTAGE, "max_clients"), (RedisState.CONNECTED, "")]
    assert logged[-1]["event"] == "redis.outage_ended"
    assert (logged[-1]["seconds"], logged[-1]["attempts"]) == (3, 2)


def test_connections_that_are_cut_again_and_again_are_an_outage(watched: Watched, clock: list[float]) -> None:
    watched.outage.over()
    for _ in range(2):
        watched.outage.note(CUT)
        watched.outage.over()
        clock[0] += outage_module.FORGIVE_SECONDS / 2
    assert (RedisState.OUTAGE, "reset") in watched.edges


def test_a_cut_before_anything_ever_worked_is_an_outage(watched: Watched) -> None:
    watched.outage.note(CUT)
    assert watched.edges == [(RedisState.OUTAGE, "reset")]


def test_a_loop_of_which_one_call_works_and_another_fails_does_not_spin(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setattr(
        outage_module.backoff,
        "full_jitter",
        lambda attempt, *, base, cap: outage_module.backoff.exponential(attempt, base=base, cap=cap),
    )
    delays = []
    for _ in range(12):
        watched.outage.over()
        watched.outage.note(FULL)
        delays.append(watched.outage.delay())
        clock[0] += delays[-1]
    assert delays[0] == 0.0
    assert delays[-1] == outage_module.CAP_SECONDS
    watched.outage.over()
    clock[0] += outage_module.RELAPSE_SECONDS
    watched.outage.note(FULL)
    assert watched.outage.delay() == 0.0, "after a while of health it is a new outage"


def test_a_wrong_password_is_retried_slowly(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        outage_module.backoff, "full_jitter", lambda attempt, *, base, cap: min(cap, base * 2 ** (attempt - 1))
    )
    watched.outage.note(trouble("wrong_password"))
    assert watched.outage.delay() == outage_module.CAP_SECONDS / 2


def test_each_reason_of_an_outage_is_logged_once(watched: Watched, logged: list[Any]) -> None:
    for error in (FULL, REFUSED, FULL, REFUSED, REFUSED):
        watched.outage.note(error)
    told = [(line["event"], line["code"]) for line in logged]
    assert told == [("redis.outage_started", "max_clients"), ("redis.outage_changed", "refused")]
    codes = [code for _, code in watched.edges]
    assert codes == ["max_clients", "refused", "max_clients", "refused"], "the scoreboard has the present reason"


@pytest.mark.parametrize("code", TROUBLES)
def test_no_wait_exceeds_the_cap_of_its_policy(code: str) -> None:
    reason = trouble(code)
    soon = reason.trouble.eagerness is Eagerness.SOON
    cap = outage_module.SOON_CAP_SECONDS if soon else outage_module.CAP_SECONDS
    assert all(0 <= delay_after(tries, reason) <= cap for tries in range(1, 200))


def test_a_server_that_may_come_back_at_any_moment_is_asked_every_second(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        outage_module.backoff,
        "full_jitter",
        lambda attempt, *, base, cap: outage_module.backoff.exponential(attempt, base=base, cap=cap),
    )
    delays = []
    for _ in range(8):
        watched.outage.note(REFUSED)
        delays.append(watched.outage.delay())
    assert delays == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_the_commands_that_are_refused_are_handed_on_as_soon_as_they_are_known(watched: Watched) -> None:
    watched.outage.note(trouble("no_permission", "no permission for XADD"))
    watched.outage.note(trouble("no_permission", "no permission for HSET, SCRIPT LOAD, XADD"))
    watched.outage.note(trouble("no_permission", "no permission for HSET, SCRIPT LOAD, XADD"))
    watched.outage.note(trouble("no_permission", "user bob may not touch the key secret"))
    watched.outage.over()
    assert watched.commands == ["XADD", "HSET, SCRIPT LOAD, XADD", "", ""]
