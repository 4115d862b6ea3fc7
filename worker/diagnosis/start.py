"""Begin a diagnosis: from an environment, whatever else is wrong with that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rq.defaults import RQ_KEY_PREFIX

from worker.diagnosis.case import Case
from worker.errors import SettingsError
from worker.settings import Settings
from worker.settings.load import load

#: What a step may take, seconds.
TIMEOUT_SECONDS: Final = 5.0


def case_of(environ: Mapping[str, str], url: str, *, timeout: float = TIMEOUT_SECONDS) -> Case:
    """Make a case of `url`; queues come from the environment, or are the defaults when that is not good."""
    try:
        settings = load({**environ, "REDIS_URL": ""}, need_redis_url=False)
    except SettingsError:
        settings = Settings.model_validate({})
    # Consumers, the dispatcher's client, its doorbell for each queue and its orders.
    connections = settings.worker_processes + len(settings.worker_queues) + 2
    return Case(
        url=url,
        timeout=timeout,
        prefix=RQ_KEY_PREFIX,
        queues=settings.worker_queues,
        letters_queue=settings.dead_letter_queue,
        connections=connections,
        environ=environ,
    )
