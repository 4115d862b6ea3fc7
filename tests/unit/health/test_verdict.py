"""Verdicts over scoreboards that are written by hand: each test names one situation of an instance."""

from __future__ import annotations

import pytest

from worker.health import verdict
from worker.health.verdict import ProbeStatus
from worker.process import children, overdue, supervisor
from worker.process.scoreboard import Scoreboard
from worker.process.slot import RedisState, Slot, State

NOW = 10_000.0


def board(consumers: int = 2, *, age: float = 1000.0) -> Scoreboard:
    """A healthy instance: everybody ticked a second ago, connected, idle."""
    board = Scoreboard(max_consumers=4)
    header = board.header
    header.supervisor_pid, header.wanted_consumers, header.ever_connected = 100, consumers, 1
    header.started_at, header.heartbeat = NOW - age, NOW - 0.5
    for pid, slot in enumerate([*board.consumers[:consumers], board.dispatcher, board.health], start=101):
        spawn(slot, pid, at=header.started_at)
    return board


def spawn(slot: Slot, pid: int, *, at: float) -> None:
    slot.pid, slot.spawned_at, slot.heartbeat, slot.state = pid, at, NOW - 1, State.WAITING
    slot.generation += 1
    slot.redis_state, slot.redis_since = RedisState.CONNECTED, at


def outage(slot: Slot, reason: bytes, *, seconds: float) -> None:
    slot.redis_state, slot.redis_reason, slot.redis_since = RedisState.OUTAGE, reason, NOW - seconds


def busy(slot: Slot, *, since: float, deadline: float) -> None:
    slot.state, slot.job_id = State.BUSY, b"job-1"
    slot.job_started_at = slot.heartbeat = NOW - since
    slot.job_deadline = deadline


def answers(board: Scoreboard) -> tuple[bool, bool, bool]:
    return (
        verdict.live(board, NOW).passed,
        verdict.ready(board, NOW).passed,
        verdict.healthy(board, NOW).passed,
    )


def test_an_idle_connected_instance_passes_all_three() -> None:
    assert answers(board()) == (True, True, True)
    assert verdict.healthy(board(), NOW).status is ProbeStatus.OK


def test_a_supervisor_that_does_not_tick_fails_all_three() -> None:
    sick = board()
    sick.header.heartbeat = NOW - verdict.SUPERVISOR_STALE_SECONDS - 1
    assert answers(sick) == (False, False, False)
    assert verdict.live(sick, NOW).reason == "The supervisor has not ticked for 16 s."


@pytest.mark.parametrize("child", ["consumer", "dispatcher"])
def test_a_child_that_does_not_tick_outside_a_job_is_stuck(child: str) -> None:
    sick = board()
    slot = sick.consumers[1] if child == "consumer" else sick.dispatcher
    slot.heartbeat = NOW - verdict.CHILD_STALE_SECONDS - 1
    assert answers(sick) == (False, False, False)
    assert verdict.healthy(sick, NOW).status is ProbeStatus.STUCK
    assert "has not ticked for 76 s" in verdict.healthy(sick, NOW).reason


def test_a_consumer_within_its_jobs_timeout_is_alive_however_long_it_is_silent() -> None:
    working = board()
    busy(working.consumers[0], since=3000, deadline=NOW + 600)
    working.consumers[0].spawned_at = NOW - 5000
    assert answers(working) == (True, True, True)


def test_the_supervisor_has_time_to_kill_a_job_that_exceeds_its_timeout() -> None:
    working = board()
    busy(working.consumers[0], since=300, deadline=NOW - verdict.KILL_GRACE_SECONDS + 1)
    assert verdict.live(working, NOW).passed
    working.consumers[0].job_deadline = NOW - verdict.KILL_GRACE_SECONDS - 1
    late = verdict.live(working, NOW)
    assert (late.passed, late.reason) == (False, "Consumer 0 runs a job that is 16 s past its timeout.")


def test_a_job_without_a_timeout_is_never_late() -> None:
    working = board(age=10**6)
    busy(working.consumers[0], since=900_000, deadline=0.0)
    assert answers(working) == (True, True, True)


def test_a_predecessors_job_does_not_make_a_fresh_consumer_busy_or_late() -> None:
    reborn = board()
    busy(reborn.consumers[0], since=300, deadline=NOW - 200)
    spawn(reborn.consumers[0], 200, at=NOW - 2)
    assert not verdict.runs_job(reborn.consumers[0])
    assert verdict.live(reborn, NOW).passed


def test_a_fresh_child_is_not_blamed_for_its_predecessors_silence() -> None:
    reborn = board()
    spawn(reborn.consumers[0], 200, at=NOW - 2)
    reborn.consumers[0].heartbeat = NOW - 500
    assert verdict.live(reborn, NOW).passed


def test_a_consumer_being_replaced_is_degraded_then_missing() -> None:
    wounded = board()
    gone = wounded.consumers[1]
    gone.pid, gone.heartbeat = 0, NOW - 3
    assert answers(wounded) == (True, False, True)
    assert verdict.healthy(wounded, NOW).status is ProbeStatus.DEGRADED
    gone.heartbeat = NOW - verdict.REPLACE_SECONDS - 5
    assert answers(wounded) == (False, False, False)
    assert verdict.healthy(wounded, NOW).reason == "Consumer 1 has been missing for 20 s."


def test_a_dispatcher_that_is_gone_for_good_fails() -> None:
    wounded = board()
    wounded.dispatcher.pid, wounded.dispatcher.heartbeat = 0, NOW - 60
    assert answers(wounded) == (False, False, False)


def test_an_instance_without_a_dispatcher_role_does_not_miss_it() -> None:
    plain = board()
    plain.dispatcher.pid = plain.dispatcher.generation = 0
    assert answers(plain) == (True, True, True)


def test_children_that_were_never_spawned_have_the_boot_time_to_come() -> None:
    booting = Scoreboard(max_consumers=4)
    booting.header.wanted_consumers = 2
    booting.header.started_at, booting.header.heartbeat = NOW - 1, NOW
    assert verdict.live(booting, NOW).passed
    assert not verdict.live(booting, NOW + verdict.SUPERVISOR_STALE_SECONDS + 1).passed
    booting.header.heartbeat = NOW + 16
    assert verdict.live(booting, NOW + 16).reason == "Consumer 0 has been missing for 17 s."


def test_before_the_first_connection_the_platform_must_not_switch_over() -> None:
    deploy = board()
    deploy.header.ever_connected = 0
    for slot in deploy.living():
        slot.redis_state = RedisState.UNKNOWN
    assert answers(deploy) == (True, False, False)
    assert verdict.healthy(deploy, NOW).reason == ("Not yet connected since the start. Redis has not answered yet.")
    outage(deploy.consumers[0], b"refused", seconds=12)
    assert verdict.healthy(deploy, NOW).status is ProbeStatus.STARTING
    assert verdict.healthy(deploy, NOW).reason == (
        "Not yet connected since the start. Redis has been away for 12 s. The Redis host refuses the connection."
    )


def test_an_outage_after_the_first_connection_is_degraded_but_not_unhealthy() -> None:
    away = board()
    outage(away.consumers[0], b"dns", seconds=42)
    outage(away.consumers[1], b"refused", seconds=7)
    assert answers(away) == (True, False, True)
    answer = verdict.healthy(away, NOW)
    assert answer.status is ProbeStatus.DEGRADED
    assert answer.reason.startswith("Redis has been away for 42 s. The Redis host name does not resolve.")


def test_the_commands_that_the_server_refuses_are_named() -> None:
    limited = board()
    for slot, commands in zip(limited.consumers, (b"XADD", b"HSET, XADD"), strict=False):
        outage(slot, b"no_permission", seconds=5)
        slot.redis_commands = commands
    assert verdict.healthy(limited, NOW).reason == (
        "Redis has been away for 5 s. The Redis user may not run a command that the worker needs. Refused: HSET, XADD. "
        "The worker keeps trying by itself."
    )


def test_the_commands_that_only_a_chore_needs_are_named() -> None:
    limited = board()
    limited.dispatcher.note_chores("scheduled jobs (ZRANGEBYSCORE), strays (LPOS)")
    answer = verdict.healthy(limited, NOW)
    assert (answer.passed, answer.status) == (True, ProbeStatus.DEGRADED)
    assert "these chores do not: scheduled jobs (ZRANGEBYSCORE), strays (LPOS)." in answer.reason


def test_an_outage_of_the_dispatcher_alone_makes_the_instance_unready() -> None:
    away = board()
    outage(away.dispatcher, b"timeout", seconds=3)
    assert answers(away) == (True, False, True)


@pytest.mark.parametrize("reason", [b"redis.internal:6379", b"rediss://u:secret@h", b"\xff\xfe", b""])
def test_a_cause_that_is_not_ours_is_never_repeated(reason: bytes) -> None:
    away = board()
    outage(away.consumers[0], reason, seconds=1)
    assert verdict.redis_view(away, NOW).cause == verdict.UNKNOWN_CAUSE
    said = verdict.healthy(away, NOW).reason
    assert said.startswith("Redis has been away for 1 s. The cause is in the worker's log.")


def test_an_outage_of_a_child_that_is_gone_does_not_count() -> None:
    healed = board()
    outage(healed.consumers[3], b"refused", seconds=99)
    assert verdict.redis_view(healed, NOW).state == "connected"


def test_readiness_wants_every_consumer_connected() -> None:
    coming = board()
    coming.consumers[1].redis_state = RedisState.UNKNOWN
    assert answers(coming) == (True, False, True)
    assert verdict.ready(coming, NOW).reason == "1 of 2 consumers connected to Redis."


@pytest.mark.parametrize(("field", "word"), [("suspended", "rq suspend"), ("all_closed", "Every queue")])
def test_an_instance_that_may_claim_nothing_is_healthy_but_not_ready(field: str, word: str) -> None:
    stopped = board()
    setattr(stopped.header, field, 1)
    assert answers(stopped) == (True, False, True)
    assert verdict.healthy(stopped, NOW).status is ProbeStatus.QUIET
    assert word in verdict.healthy(stopped, NOW).reason


def test_an_instance_with_one_paused_queue_says_so() -> None:
    partly = board()
    partly.header.closed = 0b10
    assert answers(partly) == (True, True, True)
    assert verdict.healthy(partly, NOW).reason == "Connected to Redis and consuming, but for 1 paused queue."


def test_a_quiet_instance_is_healthy_but_not_ready() -> None:
    quiet = board()
    quiet.header.quiet = 1
    assert answers(quiet) == (True, False, True)
    assert verdict.healthy(quiet, NOW).status is ProbeStatus.QUIET


def test_a_stopping_instance_may_lose_its_children_but_takes_no_new_work() -> None:
    stopping = board()
    stopping.header.stopping = 1
    for slot in (*stopping.consumers, stopping.dispatcher):
        slot.pid = 0
    assert answers(stopping) == (True, False, True)
    assert verdict.ready(stopping, NOW).status is ProbeStatus.STOPPING


def test_probes_are_more_patient_than_the_supervisor() -> None:
    reaction = children.DUMP_SECONDS + 2 * supervisor.TICK_SECONDS
    assert overdue.STALL_SECONDS + reaction < verdict.CHILD_STALE_SECONDS
    assert overdue.TIMEOUT_GRACE_SECONDS + reaction < verdict.KILL_GRACE_SECONDS
    assert verdict.SUPERVISOR_STALE_SECONDS > 10 * supervisor.TICK_SECONDS


def deaf(slot: Slot, *, seconds: float) -> None:
    slot.claimed_at, slot.unanswered_since = NOW - seconds - 100, NOW - seconds


def test_an_idle_consumer_that_does_not_come_for_waiting_jobs_is_told_and_then_fails_the_probe() -> None:
    sick = board()
    deaf(sick.consumers[1], seconds=12)
    assert answers(sick) == (True, True, True), "the supervisor is about to replace it"
    assert verdict.healthy(sick, NOW).status is ProbeStatus.DEGRADED
    assert verdict.healthy(sick, NOW).reason == "Consumer 1 is idle although jobs have waited for it for 12 s."
    deaf(sick.consumers[1], seconds=verdict.CHILD_STALE_SECONDS + 1)
    assert answers(sick) == (False, False, False), "and did not"


@pytest.mark.parametrize("change", [{"claimed_at": NOW - 1}, {"state": State.BUSY}, {"spawned_at": NOW - 2}])
def test_a_consumer_that_has_claimed_runs_a_job_or_is_new_is_not_deaf(change: dict[str, float]) -> None:
    well = board()
    deaf(well.consumers[0], seconds=12)
    for name, value in change.items():
        setattr(well.consumers[0], name, value)
    assert verdict.healthy(well, NOW).status is ProbeStatus.OK
