"""Which child no longer does what it should: pure judgement over the scoreboard, no clock and no signals."""

from __future__ import annotations

from typing import Final

from worker.process.scoreboard import Header
from worker.process.slot import Role, Slot, State

#: A loop that has not turned for this long is stuck. Every loop ticks at least every 15 s, outage or not.
STALL_SECONDS: Final = 60.0
#: An idle consumer that has left jobs waiting for this long is deaf. Idle ones claim within milliseconds of a wake-up.
DEAF_SECONDS: Final = 20.0
#: How long a job may go on after its timeout, or after an order to end, before its process is killed. An exception in
#: the job comes first.
TIMEOUT_GRACE_SECONDS: Final = 5.0
#: From the end of the shutdown grace (exception in the job) to the kill. Dispatcher and health get as long to stop.
HARD_STOP_SECONDS: Final = 2.0
#: Why a consumer is killed that outlives the stop; its stacks are not logged.
SHUTDOWN: Final = "shutdown"


def reason(slot: Slot, header: Header, now: float) -> str | None:
    """Return why the child in `slot` must be killed, None if it need not be."""
    if header.stopping and slot.role == Role.CONSUMER:
        return SHUTDOWN if now >= header.deadline + HARD_STOP_SECONDS else None
    own_job = slot.job_started_at >= slot.spawned_at  # not a predecessor's
    if own_job and slot.job_deadline and now >= slot.job_deadline + TIMEOUT_GRACE_SECONDS:
        return "timeout"
    if slot.overdue_beside(now - TIMEOUT_GRACE_SECONDS):
        return "timeout"
    if any(now - since > TIMEOUT_GRACE_SECONDS for since in _ordered_since(slot)):
        return "ordered"
    if slot.state != State.BUSY and now - slot.heartbeat > STALL_SECONDS:
        return "stalled"
    if slot.deaf_for(now) > DEAF_SECONDS:
        return "deaf"
    return None


def ordered(slot: Slot) -> bool:
    """Whether a job that runs was told to end."""
    return bool(_ordered_since(slot))


def _ordered_since(slot: Slot) -> list[float]:
    if not slot.order_at:
        return []
    own = [run for run in slot.running() if run.began_at >= slot.spawned_at]
    orders = [(run, slot.order_for(run)) for run in own]
    return [max(given.given_at, run.began_at) for run, given in orders if given is not None]
