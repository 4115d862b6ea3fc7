"""How a forked job tells its consumer what came of it: lines of JSON through a pipe.

JSON and no pickle, because the consumer keeps what the job may not have (the service's secrets, its claims): a job that
somebody has broken into could write a pickle that runs code here.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, fields
from typing import Any, Final

from worker.engine.records import Buried, Claim, Finished, Outcome, Retried
from worker.process import forked

#: The parts of an outcome that the consumer knows, that only it decides, or that are for the report, which is made
#: here. A job may have changed its meta meanwhile, so what a letter changes there is not sent: it is made anew, and to
#: what is stored.
_KNOWN: Final = frozenset({"claim", "tries", "notes", "meta", "traceback"})
_KINDS: Final = {kind.__name__.lower(): kind for kind in (Finished, Retried, Buried)}
_PARTS: Final = {name: [part.name for part in fields(kind) if part.name not in _KNOWN] for name, kind in _KINDS.items()}

#: The job has ended, and its callbacks begin or are tried again: they have a time limit of their own.
ENDING: Final = "ending"
#: RQ's finishing code has ended the job, so nothing is left to settle.
ENDED: Final = "ended"
#: The job has written to its journal, which the consumer's claim must show, too.
KEPT: Final = "kept"
#: A hard stop has cut the job short.
INTERRUPTED: Final = "interrupted"
#: An outcome follows that the consumer must settle.
OUTCOME: Final = "outcome"


class Garbled(Exception):
    """What came through the pipe is nothing that we send."""


@dataclass(frozen=True, slots=True)
class Message:
    """One line. `counts` are the attempts that finished, that failed, and the burials."""

    kind: str
    counts: tuple[int, int, int] = (0, 0, 0)
    outcome: Outcome | None = field(default=None, repr=False)
    journal: bytes = field(default=b"", repr=False)

    def line(self) -> bytes:
        """Return it as it is sent."""
        packed: dict[str, Any] = {"kind": self.kind, "counts": self.counts}
        if self.journal:
            packed["journal"] = self.journal
        if self.outcome is not None:
            name = type(self.outcome).__name__.lower()
            packed["outcome"] = [name, {part: getattr(self.outcome, part) for part in _PARTS[name]}]
        return _encode(packed).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes, claim: Claim) -> Message:
        """Read a line about `claim`; raises `Garbled`."""
        try:
            packed = json.loads(line, object_hook=_unpack_bytes)
            finished, failed, buried = map(int, packed["counts"])
            outcome = None
            if "outcome" in packed:
                name, parts = packed["outcome"]
                outcome = _KINDS[name](claim, **parts)
            return cls(str(packed["kind"]), (finished, failed, buried), outcome, bytes(packed.get("journal", b"")))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Garbled(f"{type(error).__name__}: {error}") from None


class Pipe:
    """What a fork tells its consumer through."""

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self._file = os.fstat(writer)
        forked.give_up(self._close)

    def send(self, message: Message) -> None:
        """Send one message; raises OSError where the job has closed the pipe."""
        if not self._is_ours():
            raise OSError("the job has closed what its process speaks through")
        left = memoryview(message.line())
        while left:
            left = left[os.write(self._writer, left) :]

    def _is_ours(self) -> bool:
        """Whether the number is the pipe's still, and not that of something that the job has opened."""
        return os.path.samestat(os.fstat(self._writer), self._file)

    def _close(self) -> None:
        if self._is_ours():
            os.close(self._writer)


def _pack_bytes(value: Any) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"an outcome holds {type(value).__name__}")
    return {"": value.decode("latin-1")}


#: One encoder for all lines: json.dumps would make a new one each time.
_encode: Final = json.JSONEncoder(default=_pack_bytes).encode


def _unpack_bytes(found: dict[str, Any]) -> Any:
    return found[""].encode("latin-1") if found.keys() == {""} else found
