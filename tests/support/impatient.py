"""A job package that shortens waits of whole minutes in every process of a service: name it in WORKER_JOB_MODULES.

The supervisor imports job packages before it forks, so all children have it. Only times are changed, no behaviour.
"""

from __future__ import annotations

from worker.dispatcher import maintenance
from worker.health import verdict
from worker.process import overdue
from worker.redis import outage
from worker.settings import pace

outage.REMIND_SECONDS = 1.0  # type: ignore[misc]
maintenance.AFTER_SECONDS = 2.0  # type: ignore[misc]
pace.QUEUE_LOOK_SECONDS = 1.0  # type: ignore[misc]
overdue.DEAF_SECONDS = 4.0  # type: ignore[misc]
verdict.UNRESPONSIVE_SECONDS = 1.0  # type: ignore[misc]
