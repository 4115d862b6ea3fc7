"""A job in the main thread: its timeout ends it once."""

from __future__ import annotations

import signal
import time

import pytest
from rq.timeouts import JobTimeoutException

from worker.consumer.main_thread import ALARM_SECONDS, JobTimeout


def test_a_timeout_is_raised_once_however_long_the_job_goes_on() -> None:
    raised = 0
    with JobTimeout(0.05):
        for _ in range(2):
            try:
                time.sleep(0.05 + 3 * ALARM_SECONDS)
            except JobTimeoutException:
                raised += 1
    assert raised == 1
    time.sleep(2 * ALARM_SECONDS)  # the alarm is off


def test_a_job_that_has_missed_its_alarm_hears_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a thread of the job had got the first one while the main thread slept on."""
    guard, heard = JobTimeout(0.05), []

    def miss_the_first(number: int, frame: object) -> None:
        heard.append(number)
        if len(heard) > 1:
            JobTimeout.handle_death_penalty(guard, number, None)

    monkeypatch.setattr(guard, "handle_death_penalty", miss_the_first)
    with pytest.raises(JobTimeoutException), guard:
        time.sleep(30)
    assert heard == [signal.SIGALRM] * 2
