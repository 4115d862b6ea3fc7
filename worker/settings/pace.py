"""How often the service asks Redis something only to be sure: less often where every command is billed.

WORKER_SCHEDULER_INTERVAL says what commands may cost. At 15 s, the default on Upstash, and above they are rare on
purpose: an idle instance sends about a hundred an hour (``dispatcher/scheduled_jobs.py``). 0 turns the scheduler off,
and with it all looks that nothing calls for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

#: From this scheduler interval on no command is sent only to check a connection: a PING before use would double them.
RARE_INTERVAL_SECONDS: Final = 15.0
#: A connection that was silent for this long is checked with a PING before it is used again.
HEALTH_CHECK_SECONDS: Final = 30
#: With the read timeout of 5 s a silent server is noticed within 15 s, or 5 s after the scheduler's next look.
SILENCE_SECONDS: Final = 9.5
QUEUE_LOOK_SECONDS: Final = 60.0
#: What others failed is a dead letter within a minute.
DEAD_LETTER_LOOK_SECONDS: Final = 45.0
#: From a claim to the consumer's look for claims that it does not know of, and where commands are rare.
CLAIM_CHECK_SECONDS: Final = 60.0
RARE_CLAIM_CHECK_SECONDS: Final = 600.0
#: A connection for RQ's commands that died without a word is noticed within this and `ANSWER_SECONDS`, …
COMMAND_PING_SECONDS: Final = 30.0
#: … or by TCP, within 14 s where the network is dead, and within this where only what stands in between is.
RARE_COMMAND_PING_SECONDS: Final = 300.0
#: Where commands are rare TCP still finds a dead connection; a server that stands still may go unnoticed for this long
#: by an idle instance that does not look for scheduled jobs.
RARE_SILENCE_SECONDS: Final = 300.0
RARE_DEAD_LETTER_LOOK_SECONDS: Final = 600.0
RARE_QUEUE_LOOK_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals in seconds."""

    rare: bool  #: whether commands are
    health_check: int  #: of silence, before a connection is checked with a PING; 0 = it never is
    silence: float  #: of the server, before the dispatcher asks whether it is there
    queue_look: float  #: between looks at a queue on which consumers block, for one that is deaf
    dead_letter_look: float  #: between looks for failures that others recorded
    claim_check: float  #: from a claim to the look for claims that the consumer does not know of
    command_ping: float  #: of silence, before the connection for RQ's commands is checked with a PING; 0 = it never is

    @classmethod
    def of(cls, scheduler_interval: float) -> Self:
        """Choose by WORKER_SCHEDULER_INTERVAL (seconds, 0 = off)."""
        if not scheduler_interval or scheduler_interval >= RARE_INTERVAL_SECONDS:
            return cls(
                rare=True,
                health_check=0,
                silence=RARE_SILENCE_SECONDS,
                queue_look=RARE_QUEUE_LOOK_SECONDS,
                dead_letter_look=RARE_DEAD_LETTER_LOOK_SECONDS,
                claim_check=RARE_CLAIM_CHECK_SECONDS,
                command_ping=RARE_COMMAND_PING_SECONDS if scheduler_interval else 0,
            )
        return cls(
            rare=False,
            health_check=HEALTH_CHECK_SECONDS,
            silence=max(SILENCE_SECONDS, scheduler_interval + 0.5),
            queue_look=QUEUE_LOOK_SECONDS,
            dead_letter_look=DEAD_LETTER_LOOK_SECONDS,
            claim_check=CLAIM_CHECK_SECONDS,
            command_ping=COMMAND_PING_SECONDS,
        )
