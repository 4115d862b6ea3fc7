"""Where commands cost, fewer are sent."""

from __future__ import annotations

import pytest

from worker.settings import Settings
from worker.settings.pace import Pace


@pytest.mark.parametrize(
    ("interval", "pace"),
    [
        (1, Pace(False, 30, silence=9.5, queue_look=60, dead_letter_look=45, claim_check=60, command_ping=30)),
        (10, Pace(False, 30, silence=10.5, queue_look=60, dead_letter_look=45, claim_check=60, command_ping=30)),
        (15, Pace(True, 0, silence=300, queue_look=600, dead_letter_look=600, claim_check=600, command_ping=300)),
        (60, Pace(True, 0, silence=300, queue_look=600, dead_letter_look=600, claim_check=600, command_ping=300)),
        (0, Pace(True, 0, silence=300, queue_look=600, dead_letter_look=600, claim_check=600, command_ping=0)),
    ],
)
def test_the_schedulers_interval_says_what_commands_may_cost(interval: float, pace: Pace) -> None:
    assert Settings(worker_scheduler_interval=interval).pace == pace
