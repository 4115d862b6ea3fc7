"""One dead letter, and a page of them, as the server returns them. Nothing here unpickles anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from worker.dead_letters.rq_failures import traceback_of
from worker.engine.dead_letter import read
from worker.text import moment_of

#: The reason of letters without a record: their ids were put on the queue by hand.
UNKNOWN: Final = "unknown"


class DeadLetter:
    """One dead letter. `record` is what its burial wrote (see `dead_letters.record`), {} if there is none.

    A letter of a page has no traceback and no history; `DeadLetterQueue.letters` reads all. `failure` is the traceback
    as the job's last result holds it. The record is parsed on its first use: counting a hundred thousand letters needs
    none.
    """

    __slots__ = ("_failure", "_record", "_written", "ended_at", "job_id", "origin")

    def __init__(
        self,
        job_id: str,
        origin: str = "",
        ended_at: str = "",
        written: bytes | None = None,
        failure: bytes | None = None,
    ) -> None:
        self.job_id = job_id
        self.origin = origin
        self.ended_at = ended_at
        self._written = written or b""
        self._failure = failure
        self._record: dict[str, Any] | None = None

    @property
    def record(self) -> dict[str, Any]:
        """Return the record."""
        if self._record is None:
            self._record = read(self._written)
            if self._failure and self._record.get("exception"):  # else it is our sentence, which is the message
                self._record.setdefault("traceback", traceback_of(self._failure))
        return self._record

    @property
    def reason(self) -> str:
        """Return the reason's code."""
        return self._text(_REASON, "reason") or UNKNOWN

    @property
    def fingerprint(self) -> str:
        """Return the name of its kind of failure."""
        return self._text(_FINGERPRINT, "fingerprint")

    @property
    def function(self) -> str:
        """Return the function's dotted name."""
        return self._text(_FUNCTION, "function")

    @property
    def moment(self) -> float:
        """When it failed, by the server's clock (Unix seconds); 0 if that is not recorded."""
        at = moment_of(self.ended_at)
        if at is None:
            at = moment_of(self.record.get("at"))
        return at or 0.0

    @property
    def error(self) -> str:
        """Return the exception and its message."""
        name, message = self.record.get("exception") or "", self.record.get("message") or ""
        return f"{name}: {message}".strip(": ")

    def as_dict(self) -> dict[str, Any]:
        """Return what `--json` shows."""
        return {"id": self.job_id, "queue": self.origin, "ended_at": self.ended_at, **self.record}

    def _text(self, pattern: re.Pattern[bytes], name: str) -> str:
        found = pattern.search(self._written) if self._record is None else None
        return found[1].decode() if found else str(self.record.get(name) or "")


#: Find a text in a record of ours without parsing it: these parts come before any others that could look like them.
_REASON, _FINGERPRINT, _FUNCTION = (
    re.compile(rb'"%s": "([\w.-]+)"' % name, flags=re.ASCII) for name in (b"reason", b"fingerprint", b"function")
)


@dataclass(frozen=True, slots=True)
class Page:
    """Some letters of the queue, of `seen` ids; `stale` are ids of jobs that are gone or run again."""

    length: int
    seen: int
    letters: list[DeadLetter]
    stale: list[tuple[int, str]]  #: index on the queue, id
