"""One kind of trouble with Redis: its name, its sentence, a likely fix and how eagerly the loops try again."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from worker.errors import WorkerError


class Eagerness(enum.Enum):
    """How eagerly the loops try again: always for ever, with full jitter; each new connection resolves the name anew.

    The cap of the wait bounds how long after Redis is back the first job starts, so it is as short as the trouble lets
    it be.
    """

    SOON = "soon"  #: a try is refused at once, or its own timeout already slows it down: it costs nobody anything
    RETRY = "retry"  #: a try costs a name server, the provider or the other clients something
    SLOWLY = "slowly"  #: only a person or a new secret helps: as RETRY, but slow from the first retry on


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of trouble, in words."""

    code: str
    sentence: str
    fix: str
    eagerness: Eagerness = Eagerness.SOON


class RedisTrouble(WorkerError):
    """Redis does not do what it should. `detail` adds what the server said, without secrets."""

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
        """Whether the server knows who asks, and does not run this command: an ACL, or a provider without it."""
        return self.code in ("no_permission", "unknown_command")

    @property
    def refuses_this(self) -> bool:
        """Whether the server refuses what it was asked, and may take another request: rights, memory, size, type."""
        return self.refuses_command or self.code in ("out_of_memory", "too_large", "wrong_type")
