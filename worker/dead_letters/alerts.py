"""Alerts people when a kind of failure becomes frequent: DEAD_LETTER_ALERT_RATE, to DEAD_LETTER_ALERT_URL.

An alert is an ordinary job, `jobs.notifications.notify`, whose id is made from the fingerprint. It exists as long as
the rate's window, and RQ refuses a second job of the same id: each window has one alert, of whichever instance.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError

from worker import logs
from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.trim import Census
from worker.settings import Settings

log = logs.get_logger()

FUNCTION: Final = "jobs.notifications.notify"
_NAME: Final = "dead-letter-alert-"


class Alerts:
    """Counts the letters that a pass finds; makes alerts when the pass is over."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._most, self._window = settings.dead_letter_alert_rate or (0, 0)
        self._newest: dict[str, DeadLetter] = {}
        self._counts: Counter[str] = Counter()

    def count(self, letter: DeadLetter, now: float) -> None:
        """Count a letter if it is of the window. Alerts that failed are not counted."""
        if self._most and letter.moment > now - self._window and not letter.job_id.startswith(_NAME):
            self._counts[letter.fingerprint] += 1
            self._newest[letter.fingerprint] = letter  # they come oldest first

    def send(self, census: Census) -> None:
        """Make an alert for each kind that has passed the rate, unless there is one already."""
        for fingerprint, count in self._counts.items():
            if fingerprint and count >= self._most:
                self._alert(self._newest[fingerprint], count, census.now)
        self._counts.clear()
        self._newest.clear()

    def _alert(self, letter: DeadLetter, count: int, now: float) -> None:
        settings, url = self._settings, self._settings.dead_letter_alert_url
        if url is None:
            return
        name = f"{_NAME}{letter.fingerprint}"
        serializer = "pickle" if "pickle" in settings.worker_serializers else "json"
        try:
            Queue(settings.worker_queues[0], connection=self._redis, serializer=serializer).enqueue(
                FUNCTION,
                args=(url.get_secret_value(), self._payload(letter, count), f"{name}-{int(now)}"),
                job_id=name,
                unique=True,
                result_ttl=self._window,
                failure_ttl=self._window,
                description=f"alert: {count} dead letters of the kind {letter.fingerprint}",
            )
        except DuplicateJobError:
            return  # there was an alert within the window
        kind = {"fingerprint": letter.fingerprint, "function": letter.function, "reason": letter.reason}
        log.warning("dead_letters.alert", **kind, letters=count, seconds=self._window, job_id=name)

    def _payload(self, letter: DeadLetter, count: int) -> dict[str, Any]:
        record = letter.record
        return {
            "event": "dead_letters.rate",
            "letters": count,
            "seconds": self._window,
            "newest": {"id": letter.job_id, "failed_at": letter.ended_at},
            "queue": letter.origin,
            "next_step": f"python -m worker dead list --fingerprint {letter.fingerprint}",
            **{
                name: record.get(name, "")
                for name in ("fingerprint", "function", "reason", "exception", "message", "release")
            },
        }
