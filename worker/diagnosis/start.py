"""Begin a diagnosis from an environment, whose other settings may be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rq.defaults import RQ_KEY_PREFIX

from worker.diagnosis.case import Case
from worker.errors import SettingsError
from worker.keys import Keys
from worker.settings import Settings
from worker.settings.load import load

#: Seconds that a step may take.
TIMEOUT_SECONDS: Final = 5.0


def case_of(environ: Mapping[str, str], url: str, *, timeout: float = TIMEOUT_SECONDS) -> Case:
    """Make a case of `url`; the queues come from the environment, or are the defaults when its settings are wrong."""
    try:
        settings = load({**environ, "REDIS_URL": ""}, need_redis_url=False)
    except SettingsError:
        settings = Settings.model_validate({})
    # Each consumer's, a doorbell for each queue, the dispatcher's, and its subscription to RQ's commands.
    connections = settings.worker_processes + len(settings.worker_queues) + 2
    return Case(
        url=url,
        timeout=timeout,
        keys=Keys(RQ_KEY_PREFIX),
        queues=settings.worker_queues,
        letters_queue=settings.dead_letter_queue,
        connections=connections,
        environ=environ,
    )
