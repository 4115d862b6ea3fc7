"""What operators do with dead letters: replay, discard, edit, restore. Each call is one atomic script.

However many terminals try, a letter is changed once. Every script writes who did it to the stream
``<prefix>:dead-letter:audit`` in the same step, so a command that is killed in the middle has left its trace.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from redis import Redis

from worker.dead_letters.letter import DeadLetter
from worker.dead_letters.queue import DeadLetterQueue
from worker.keys import Keys
from worker.redis import scripts
from worker.redis.client import Client
from worker.redis.scripts import Script

#: Lines that the audit keeps, about.
MOST_LINES: Final = 10_000
#: What `edit` answers, by the script's reply.
EDITED: Final = {
    1: "",
    0: "it is no dead letter any more: it was replayed or deleted",
    -1: "somebody else has changed its payload meanwhile; look at it again",
    -2: "it was never edited, so there is nothing to undo",
}


def user_at_host() -> str:
    """Return user@host of this process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container may run under a number without a name
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class Exported:
    """A letter outside Redis. `left_ms` is its life in ms, -1 for ever; `results` are (id in the stream, values)."""

    job_id: str
    queue: str
    left_ms: int
    fields: dict[bytes, bytes]
    results: list[tuple[bytes, dict[bytes, bytes]]]
    journal: dict[bytes, bytes] = field(default_factory=dict)
    log: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that one command makes. In the audit `run` names the command, `note` what it was to change."""

    dead_letters: DeadLetterQueue
    who: str
    note: str = ""
    run: str = field(default_factory=lambda: secrets.token_hex(4))

    def replay(self, letters: Sequence[DeadLetter], to: str = "", *, fresh: bool = False) -> list[bool]:
        """Put letters back on their queues, or all on the queue `to`; returns for each whether it was done.

        They go on from what their steps have kept; `fresh`: from the beginning.
        """
        job_ids = [letter.job_id for letter in letters]
        return list(map(bool, self._call(scripts.REPLAY, "replay", to, int(fresh), *job_ids)))

    def discard(self, letters: Sequence[DeadLetter], action: str = "discard") -> list[bool]:
        """Delete letters that are still as they were read; returns for each whether it was done."""
        seen = [value for letter in letters for value in (letter.job_id, letter.ended_at)]
        return list(map(bool, self._call(scripts.DISCARD, action, *seen)))

    def edit(self, job_id: str, seen: bytes, data: bytes, description: str) -> str:
        """Write a new payload and keep the first one; returns "", or why it was not done."""
        return EDITED[self._call(scripts.EDIT, "edit", job_id, seen, data, description)]

    def undo(self, job_id: str, seen: bytes) -> str:
        """Bring the first payload back; returns "", or why it was not done."""
        return EDITED[self._call(scripts.EDIT, "undo", job_id, seen, "", "")]

    def restore(self, letters: Sequence[Exported]) -> list[bool]:
        """Bring exported letters back; returns for each whether it was done. A job that exists is left alone."""
        args: list[str | bytes | float] = []
        for letter in letters:
            args += [letter.job_id, letter.queue, letter.left_ms, len(letter.results)]
            args += [2 * len(letter.fields), *_flat(letter.fields)]
            for result_id, values in letter.results:
                args += [result_id, 2 * len(values), *_flat(values)]
            args += [2 * len(letter.journal), *_flat(letter.journal), len(letter.log), *letter.log]
        return list(map(bool, self._call(scripts.RESTORE, "import", *args)))

    def _call(self, script: Script, action: str, *args: str | bytes | float) -> Any:
        return self.dead_letters.call(script, action, self.who, self.run, self.note, *args)


def audit(dead_letters: DeadLetterQueue, limit: int) -> list[dict[str, str]]:
    """Read the last `limit` lines of the audit, newest first; `at` is the server's time in ms."""
    lines: list[Any] = dead_letters.redis.xrevrange(dead_letters.keys.audit, count=limit)  # type: ignore[assignment]
    return [
        {"at": name.decode().partition("-")[0], **{key.decode(): value.decode() for key, value in values.items()}}
        for name, values in lines
    ]


def note(redis: Redis, keys: Keys, *, action: str, who: str, job_ids: Sequence[str] = (), about: str = "") -> None:
    """Write into the audit what was done to some jobs, or is about to be. Raises `RedisTrouble`."""
    line = {
        "action": action,
        "who": who,
        "run": secrets.token_hex(4),
        "note": about,
        "count": max(1, len(job_ids)),
        "ids": " ".join(job_ids).encode(errors="surrogateescape"),
    }
    Client.over(redis).xadd(keys.audit, line, maxlen=MOST_LINES, approximate=True)  # type: ignore[arg-type]


def _flat(fields: Mapping[bytes, bytes]) -> list[bytes]:
    return [value for pair in fields.items() for value in pair]
