"""Log why the first connection to Redis fails.

The roles only log that they cannot connect. At the start the usual cause is a wrong environment, so the dispatcher's
process then runs the diagnosis once, in a thread beside its work.
"""

from __future__ import annotations

import os
from threading import Thread
from time import monotonic, sleep
from typing import Final

from worker import logs
from worker.process.slot import RedisState, Slot
from worker.settings import Settings

log = logs.get_logger()

#: How often the thread reads the state of the connection, and after how long it gives up.
_POLL_SECONDS: Final = 0.1
_GIVE_UP_SECONDS: Final = 60.0
#: Time limit of a step.
_STEP_SECONDS: Final = 5.0


def explain_trouble(settings: Settings, slot: Slot) -> Thread:
    """Follow the first connection of the child in `slot` from a thread; diagnose once if it fails."""
    thread = Thread(target=_follow, args=(settings, slot), daemon=True, name="boot-diagnosis")
    thread.start()
    return thread


def _follow(settings: Settings, slot: Slot) -> None:
    until = monotonic() + _GIVE_UP_SECONDS
    while slot.redis_state == RedisState.UNKNOWN and monotonic() < until:
        sleep(_POLL_SECONDS)
    if slot.redis_state == RedisState.OUTAGE:
        _diagnose(settings)


def _diagnose(settings: Settings) -> None:
    # Imported only when needed, so that a service that connects at once does not pay for it.
    from worker.diagnosis.anonymous import anonymous  # noqa: PLC0415
    from worker.diagnosis.course import REACHING, diagnose  # noqa: PLC0415
    from worker.diagnosis.start import case_of  # noqa: PLC0415

    url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    report = diagnose(case_of(os.environ, url, timeout=_STEP_SECONDS), REACHING)
    steps = {step.name: step.status.value for step in report.steps}
    if report.exit_code:
        failed = next(name for name, status in steps.items() if status == "failed")
        log.warning("redis.diagnosis", failed=failed, conclusion=anonymous(report.conclusion, report), steps=steps)
    else:
        log.info("redis.diagnosis", failed=None, conclusion="Redis can be reached now.", steps=steps)
