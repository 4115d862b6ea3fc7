"""One kind of trouble with Redis: its code, its sentence, a likely fix, and how eagerly the loops try again."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from worker.errors import WorkerError

#: The names of commands at the end of a detail.
_COMMANDS: Final = re.compile(r"(?:no permission for|unknown command) ([A-Z][A-Z |]*(?:, [A-Z][A-Z |]*)*)$")


class Eagerness(enum.Enum):
    """How eagerly the loops try again. They never give up, wait with full jitter, and resolve the host name each time.

    The longest wait bounds how long after Redis is back the first job starts, so it is as short as the trouble allows.
    """

    PROMPTLY = "promptly"  #: as SOON, but sooner: all has moved elsewhere, and works there before anybody is told where
    SOON = "soon"  #: a try is refused at once, or its own timeout slows it down: it costs nobody anything
    RETRY = "retry"  #: a try costs a name server, the provider or the other clients something
    SLOWLY = "slowly"  #: only a person can help: as RETRY, but slow from the first retry on


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble, in words."""

    code: str
    sentence: str
    fix: str
    eagerness: Eagerness = Eagerness.SOON


class RedisTrouble(WorkerError):
    """Redis does not do what it should. `detail` quotes the server, without secrets."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        self.trouble = trouble
        self.detail = detail
        super().__init__(f"{trouble.sentence} {trouble.fix}" + (f" (The server said: {detail})" if detail else ""))

    @property
    def code(self) -> str:
        """The trouble's stable name."""
        return self.trouble.code

    @property
    def refuses_command(self) -> bool:
        """Whether the server accepts us but not this command: by an ACL, or because the provider lacks it."""
        return self.code in ("no_permission", "unknown_command")

    @property
    def commands(self) -> str:
        """The commands that the server refuses: ``HSET, XADD``; "" where it is about none, or has not said which."""
        found = _COMMANDS.search(self.detail) if self.refuses_command else None
        return found[1] if found else ""

    @property
    def refuses_this(self) -> bool:
        """Whether the server refuses what it was asked, and may take another request: rights, memory, size, type."""
        return self.refuses_command or self.code in ("out_of_memory", "too_large", "wrong_type")
