"""What the scoreboard means to a probe: three questions, answered from shared memory alone.

* `live`: does every loop turn? A "no" means that restarting this instance would help.
* `ready`: would a job that is enqueued now be claimed by this instance?
* `healthy`: should the platform keep this instance? Strict until Redis was reached once, so that a deploy
  with a wrong URL never goes live; afterwards an outage is a "yes, degraded": restarting would not help.

Pure functions of a scoreboard and a ``time.monotonic()``. A reason is one plain sentence, built only from numbers, the
words of this file, names of commands and the table in ``troubles.py``, never from a server's words or a URL: it can
hold no host and no secret.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.process.scoreboard import Scoreboard
from worker.process.slot import RedisState, Role, Slot
from worker.redis.troubles import TROUBLES
from worker.text import counted

#: Seconds without a tick after which the supervisor counts as stuck; it ticks every half second.
SUPERVISOR_STALE_SECONDS: Final = 15.0
#: The same for a child outside job code, and the seconds that a job may exceed its timeout. The supervisor kills such
#: a child sooner, so that a probe fails only when the supervisor does not.
CHILD_STALE_SECONDS: Final = 75.0
KILL_GRACE_SECONDS: Final = 15.0
#: Report a consumer as unresponsive when jobs have waited this long while it is idle. The supervisor replaces it after
#: 20 s, so that `CHILD_STALE_SECONDS` covers this case, too.
UNRESPONSIVE_SECONDS: Final = 5.0
#: Seconds that a wanted child may be missing: boot, and replacement with backoff.
REPLACE_SECONDS: Final = 15.0

#: What each code of a Redis outage means: the sentences of the one table, which hold no host and no secret.
CAUSES: Final[Mapping[str, str]] = {code: trouble.sentence for code, trouble in TROUBLES.items() if code != "unknown"}
#: The cause when a child reported no code, or one that is not in the table.
UNKNOWN_CAUSE: Final = "unknown"


class ProbeStatus(enum.StrEnum):
    """One word for machines; the reason beside it is for people."""

    OK = "ok"
    DEGRADED = "degraded"
    STARTING = "starting"
    QUIET = "quiet"
    STOPPING = "stopping"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer to a probe: whether it passes, one word, one sentence."""

    passed: bool
    status: ProbeStatus
    reason: str


@dataclass(frozen=True, slots=True)
class RedisView:
    """The state of this instance's connections to Redis, all children taken together.

    `state` is ``connected``, ``outage`` (any child's) or ``unknown`` (none has connected or failed yet);
    `cause` is a key of `CAUSES` or `UNKNOWN_CAUSE` during an outage, else None; `seconds` is how long the
    state has lasted; `commands` are those that the server refuses, if it is about some: ``HSET, XADD``.
    """

    state: str
    cause: str | None
    seconds: float
    commands: str = ""


def live(board: Scoreboard, now: float) -> Verdict:
    """Return whether the supervisor, the dispatcher and every wanted consumer turn their loops.

    A consumer whose job is within its timeout (plus the time to kill it) is alive, however long ago it last ticked; a
    job without a timeout is never late.
    """
    silence = now - board.header.heartbeat
    if silence > SUPERVISOR_STALE_SECONDS:
        return Verdict(False, ProbeStatus.STUCK, f"The supervisor has not ticked for {silence:.0f} s.")
    if board.header.stopping:
        return Verdict(True, ProbeStatus.STOPPING, "The worker is stopping: running jobs may finish.")
    for problem in _problems(board, now):
        return Verdict(False, ProbeStatus.STUCK, problem)
    children = counted(living_children(board), "child", "children")
    return Verdict(True, ProbeStatus.OK, f"The supervisor and {children} tick.")


def healthy(board: Scoreboard, now: float) -> Verdict:
    """Return whether the platform should keep this instance and, in a deploy, let it replace the old one."""
    alive = live(board, now)
    if not alive.passed or alive.status is ProbeStatus.STOPPING:
        return alive
    if not board.header.ever_connected:
        return _not_yet_connected(board, now)
    redis = redis_view(board, now)
    if redis.state == "outage":
        return Verdict(True, ProbeStatus.DEGRADED, f"{_outage(redis)} The worker keeps trying by itself.")
    for slot, seconds in _unresponsive(board, now, UNRESPONSIVE_SECONDS):
        return Verdict(True, ProbeStatus.DEGRADED, _ignores(slot, seconds))
    for slot in _absent(board):
        return Verdict(True, ProbeStatus.DEGRADED, f"{_name(slot)} has ended and is being replaced.")
    if refused := board.dispatcher.chores_refused.decode("ascii", "replace"):
        sentence = f"{CAUSES['no_permission']} Jobs run, but these chores do not: {refused}. The worker keeps trying."
        return Verdict(True, ProbeStatus.DEGRADED, sentence)
    if stopped := _claims_nothing(board):
        return Verdict(True, ProbeStatus.QUIET, stopped)
    if closed := board.header.closed.bit_count():
        but = counted(closed, "paused queue")
        return Verdict(True, ProbeStatus.OK, f"Connected to Redis and consuming, but for {but}.")
    return Verdict(True, ProbeStatus.OK, "Connected to Redis and consuming.")


def ready(board: Scoreboard, now: float) -> Verdict:
    """Return whether every wanted consumer is up, connected and allowed to claim."""
    alive = live(board, now)
    if not alive.passed:
        return alive
    if alive.status is ProbeStatus.STOPPING:
        return Verdict(False, alive.status, alive.reason)
    if not board.header.ever_connected:
        return _not_yet_connected(board, now)
    redis = redis_view(board, now)
    if redis.state == "outage":
        return Verdict(False, ProbeStatus.DEGRADED, _outage(redis))
    if stopped := _claims_nothing(board):
        return Verdict(False, ProbeStatus.QUIET, stopped)
    wanted = board.header.wanted_consumers
    connected = sum(1 for slot in board.consumers if slot.pid and slot.redis_state == RedisState.CONNECTED)
    if not wanted:
        return Verdict(False, ProbeStatus.QUIET, "No consumer is wanted: their number was reduced to 0.")
    if connected < wanted:
        return Verdict(False, ProbeStatus.STARTING, f"{connected} of {counted(wanted, 'consumer')} connected to Redis.")
    return Verdict(True, ProbeStatus.OK, f"{counted(connected, 'consumer')} connected to Redis.")


def redis_view(board: Scoreboard, now: float) -> RedisView:
    """Sum up the children's connections; an outage is as old as its oldest child's."""
    living = [slot for slot in board.living() if slot.role != Role.HEALTH]
    for state in (RedisState.OUTAGE, RedisState.CONNECTED):
        slots = [slot for slot in living if slot.redis_state == state]
        if slots:
            oldest = min(slots, key=lambda slot: slot.redis_since)
            cause = cause_of(oldest) if state is RedisState.OUTAGE else None
            names = {name for slot in slots for name in slot.redis_commands.decode("ascii", "replace").split(", ")}
            commands = ", ".join(sorted(names - {""})) if state is RedisState.OUTAGE else ""
            return RedisView(state.name.lower(), cause, max(0.0, now - oldest.redis_since), commands)
    return RedisView("unknown", None, max(0.0, now - board.header.started_at))


def cause_of(slot: Slot) -> str:
    """Return the code of the slot's outage if it is one of `CAUSES`, else `UNKNOWN_CAUSE`."""
    code = slot.redis_reason.decode("ascii", "replace")
    return code if code in CAUSES else UNKNOWN_CAUSE


def living_consumers(board: Scoreboard) -> int:
    """Count the consumers that exist."""
    return sum(1 for slot in board.consumers if slot.pid)


def living_children(board: Scoreboard) -> int:
    """Count the children that exist, whatever their role."""
    return sum(1 for _ in board.living())


def runs_job(slot: Slot) -> bool:
    """Return whether job code runs in the slot's child now; a job that a predecessor left there does not count."""
    return bool(slot.pid and slot.job_id and slot.job_started_at >= slot.spawned_at)


def _problems(board: Scoreboard, now: float) -> Iterator[str]:
    """Yield a sentence for each child that is stuck, or missing for longer than a replacement takes."""
    for slot in board.living():
        if runs_job(slot):
            late = now - slot.job_deadline if slot.job_deadline else 0.0
            if late > KILL_GRACE_SECONDS:
                yield f"{_name(slot)} runs a job that is {late:.0f} s past its timeout."
        else:
            silence = now - max(slot.heartbeat, slot.spawned_at)
            if silence > CHILD_STALE_SECONDS:
                yield f"{_name(slot)} has not ticked for {silence:.0f} s."
    for slot, seconds in _unresponsive(board, now, CHILD_STALE_SECONDS):
        yield _ignores(slot, seconds)
    for slot in _absent(board):
        gone = now - max(slot.heartbeat, board.header.started_at)
        if gone > REPLACE_SECONDS:
            yield f"{_name(slot)} has been missing for {gone:.0f} s."


def _unresponsive(board: Scoreboard, now: float, seconds: float) -> Iterator[tuple[Slot, float]]:
    """Yield idle consumers for which jobs have waited longer than `seconds`, and how long."""
    for slot in board.consumers:
        waited = slot.deaf_for(now) if slot.pid else 0.0
        if waited > seconds:
            yield slot, waited


def _ignores(slot: Slot, seconds: float) -> str:
    return f"{_name(slot)} is idle although jobs have waited for it for {seconds:.0f} s."


def _claims_nothing(board: Scoreboard) -> str:
    """Say why the instance claims nothing although all is well with it; "" if it claims."""
    if board.header.quiet:
        return "The worker is quiet: it claims no jobs until it is resumed."
    if board.header.suspended:
        return "All queues are suspended (rq suspend): nothing is claimed until `rq resume`."
    if board.header.all_closed:
        return "Every queue of this worker is paused: nothing is claimed until `python -m worker resume`."
    return ""


def _absent(board: Scoreboard) -> list[Slot]:
    """Return the wanted children that do not exist now; a dispatcher is wanted once it was ever spawned."""
    wanted = board.consumers[: board.header.wanted_consumers]
    if board.dispatcher.generation:
        wanted = [board.dispatcher, *wanted]
    return [slot for slot in wanted if not slot.pid]


def _not_yet_connected(board: Scoreboard, now: float) -> Verdict:
    redis = redis_view(board, now)
    reason = _outage(redis) if redis.state == "outage" else "Redis has not answered yet."
    return Verdict(False, ProbeStatus.STARTING, f"Not yet connected since the start. {reason}")


def _outage(redis: RedisView) -> str:
    cause = CAUSES.get(redis.cause or "", "The cause is in the worker's log.")
    named = f" Refused: {redis.commands}." if redis.commands else ""
    return f"Redis has been away for {redis.seconds:.0f} s. {cause}{named}"


def _name(slot: Slot) -> str:
    return f"Consumer {slot.index}" if slot.role == Role.CONSUMER else f"The {Role(slot.role).name.lower()}"
