"""Say in the log why the first connection to Redis does not come.

The roles only tell that they cannot connect. At the start that mostly is a wrong environment, so the dispatcher's
process then takes the steps of ``worker/diagnosis`` beside its work, once.
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

#: How often the state of the connection is looked at, and for how long at most.
_LOOK_SECONDS: Final = 0.1
_LOOK_FOR_SECONDS: Final = 60.0
#: What a step may take here.
_STEP_SECONDS: Final = 5.0


def explain_trouble(settings: Settings, slot: Slot) -> Thread:
    """Watch the first connection of the child in `slot` from a thread; diagnose once if it fails."""
    thread = Thread(target=_watch, args=(settings, slot), daemon=True, name="boot-diagnosis")
    thread.start()
    return thread


def _watch(settings: Settings, slot: Slot) -> None:
    until = monotonic() + _LOOK_FOR_SECONDS
    while slot.redis_state == RedisState.UNKNOWN and monotonic() < until:
        sleep(_LOOK_SECONDS)
    if slot.redis_state == RedisState.OUTAGE:
        _diagnose(settings)


def _diagnose(settings: Settings) -> None:
    # Imported when it is needed: a service that connects at once does not pay for it.
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
        log.info("redis.diagnosis", failed=None, conclusion="Redis can be reached by now.", steps=steps)
