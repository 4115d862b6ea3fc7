"""A job's journal: what its steps have returned and where its cursors stand, kept with the job until it has succeeded.

`worker.context` offers it to jobs. Here are its rules, the same with Redis and without: names, JSON, bounds, and what
people see of it. A `Store` keeps it (``consumer/journal_store.py``), in one command for each step and each move of a
cursor. What is kept is read once a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any, Final, NamedTuple, Protocol

from worker.retry import PermanentError
from worker.text import counted, size

#: Characters of the name of a step or a cursor.
NAME_CHARACTERS: Final = 200
#: Steps and cursors of one job.
MOST_ENTRIES: Final = 10_000
#: Bytes of one result, as JSON, and of all of a job's together.
MOST_BYTES: Final = 4_000_000
MOST_BYTES_IN_ALL: Final = 16_000_000
#: What `standing` shows at most: cursors, and characters of each name and value.
SHOWN_CURSORS: Final = 5
SHOWN_CHARACTERS: Final = 60

STEP: Final = "step"
CURSOR: Final = "cursor"


class StepError(PermanentError):
    """A step or a cursor is used in a way that no further attempt would mend; the message says how to mend it."""


class NotKept(Exception):
    """Redis could not keep a step or a cursor in time; the job fails like any other, and may be tried again."""


class ClaimLost(BaseException):
    """This run of the job counts no more: the job was canceled or deleted, or another worker runs it by now.

    Not an `Exception`, so that a job's ``except Exception`` does not swallow it. `how` is "canceled", "deleted" or
    "taken over".
    """

    def __init__(self, how: str) -> None:
        super().__init__(f"the job was {how}")
        self.how = how


class Store(Protocol):
    """Keeps the journal of one run. Methods raise `ClaimLost` when that counts no more, `NotKept` for want of Redis."""

    @property
    def stopping(self) -> bool:
        """Whether the service stops."""
        ...

    @property
    def ordered(self) -> bool:
        """Whether the job must end by an order."""
        ...

    @property
    def deadline(self) -> float:
        """When the job's timeout ends it (monotonic); infinity without one."""
        ...

    def read(self) -> list[Entry]:
        """Return what earlier runs have kept, the oldest first."""
        ...

    def write(self, field: str, text: str, standing: str) -> None:
        """Keep one field's JSON, and where the job stands with it."""
        ...

    def look(self) -> None:
        """Ask, if nobody has asked within a second, whether the run still counts."""
        ...


class Stores(Protocol):
    """Makes the stores of one consumer. `most_bytes` bounds one result; 0 = `MOST_BYTES`."""

    most_bytes: int

    def of(self, claim: Any) -> Store:
        """Return the store of the run that owns a claim."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What a step has returned; None may be it."""

    value: Any


class Journal:
    """The journal of one run. Threads of the job may use it at once. `most_bytes` bounds one result; 0 = MOST_BYTES."""

    def __init__(self, store: Store, most_bytes: int = 0) -> None:
        self._store = store
        self._most_bytes = min(most_bytes or MOST_BYTES, MOST_BYTES)
        self._lock = Lock()
        self._read = False
        self._held = 0
        self._texts: dict[str, dict[str, str]] = {STEP: {}, CURSOR: {}}  #: by kind and name, the oldest first

    def kept(self, name: str) -> Kept | None:
        """Return what a step has returned, None if it has not ended yet."""
        text = self._opened(STEP).get(name)
        return None if text is None else Kept(json.loads(text))

    def keep(self, name: str, value: Any) -> Any:
        """Keep what a step has returned; returns it as the next run will see it."""
        text = encode(f"The step {name!r} returned", value, self._most_bytes)
        self._write(STEP, name, text)
        return json.loads(text)

    def position(self, name: str, start: Any = None) -> Any:
        """Return where a cursor stands."""
        text = self._opened(CURSOR).get(name)
        return start if text is None else json.loads(text)

    def encoded(self, name: str, value: Any) -> str:
        """Return a cursor's value as it is kept."""
        return encode(f"The cursor {name!r} was moved to", value, self._most_bytes)

    def move(self, name: str, text: str) -> None:
        """Move a cursor to a value, given as `encoded` has it."""
        self._write(CURSOR, name, text)

    def _opened(self, kind: str) -> dict[str, str]:
        """Return the steps or the cursors; what earlier runs have kept is read once."""
        if not self._read:
            with self._lock:
                if not self._read:
                    for entry in self._store.read():
                        self._texts[entry.kind][entry.name] = entry.text
                        self._held += len(entry.text)
                    self._read = True
        return self._texts[kind]

    def _write(self, kind: str, name: str, text: str) -> None:
        texts = self._opened(kind)
        with self._lock:  # of two moves of a cursor the later one must stand in Redis last, too
            before = texts.get(name)
            entries = sum(map(len, self._texts.values())) + (before is None)
            held = self._held + len(text) - len(before or "")
            if entries > MOST_ENTRIES or held > MOST_BYTES_IN_ALL:
                raise StepError(
                    f"The job keeps {entries:,} steps and cursors, {size(held)} of them; {MOST_ENTRIES:,} and "
                    f"{size(MOST_BYTES_IN_ALL)} are the most. Use a cursor for a loop; keep large results elsewhere."
                )
            texts[name] = text
            try:
                self._store.write(f"{kind}:{name}", text, standing(self._texts[STEP], self._texts[CURSOR]))
            except BaseException:
                if before is None:
                    del texts[name]
                else:
                    texts[name] = before
                raise
            self._held = held


def check_name(kind: str, name: object) -> None:
    """Raise `StepError` for a name that cannot be kept."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARACTERS or not name.isprintable():
        shown = f"{name[:SHOWN_CHARACTERS]!r} ({len(name)} characters)" if isinstance(name, str) else repr(type(name))
        raise StepError(
            f"The name of a {kind} is {shown}; use a text of 1 to {NAME_CHARACTERS} printable characters, "
            f"in a loop with the item's number or id in it."
        )


def encode(what: str, value: Any, most_bytes: int = MOST_BYTES) -> str:
    """Return a value as JSON in ASCII; raises `StepError`, which begins with `what`.

    The rule is `json.dumps`'s without NaN and infinity: tuples become lists, keys become texts.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise StepError(
            f"{what} a {type(value).__name__} that is no JSON ({error}). Return None, numbers, texts, lists and dicts; "
            f"of anything else an id or a path."
        ) from None
    if len(text) > most_bytes:
        raise StepError(
            f"{what} {size(len(text))} of JSON, and {size(most_bytes)} are the most (WORKER_MAX_RESULT_BYTES, "
            f"{size(MOST_BYTES)}). Keep it elsewhere and return where it is."
        )
    return text


def standing(steps: dict[str, str], cursors: dict[str, str]) -> str:
    """Return where a job stands, as JSON of some hundred bytes: how many steps are kept, the last one, the cursors."""
    last = _cut(next(reversed(steps))) if steps else None
    shown = {_cut(name): _cut(text) for name, text in islice(cursors.items(), SHOWN_CURSORS)}
    return json.dumps({"steps": len(steps), "last": last, "cursors": shown})


def standing_of(fields: Mapping[bytes, bytes]) -> bytes:
    """Return the `standing` on a job's hash, b"" without one, or where an earlier job of the same id has left it."""
    created_at, _, text = fields.get(b"journal", b"").partition(b" ")
    return text if created_at == fields.get(b"created_at", b"") else b""


def described(text: bytes) -> str:
    """Return `standing` in words: "3 steps kept, the last one 'upload'; cursor pages at 40"; "" for nothing."""
    try:
        stands = json.loads(text) if text else {}
        steps, last, cursors = stands.get("steps", 0), stands.get("last"), stands.get("cursors", {})
        parts = [f"{counted(steps, 'step')} kept, the last one {last!r}"] if steps else []
        parts += [f"cursor {name} at {value}" for name, value in cursors.items()]
    except (ValueError, TypeError, AttributeError):
        return ""  # it is not ours
    return "; ".join(parts)


class Entry(NamedTuple):
    """One field of a journal as Redis holds it."""

    at: float  #: when it was kept (Unix seconds, the server's)
    kind: str
    name: str
    text: str  #: JSON


def entries(fields: Mapping[bytes, bytes]) -> list[Entry]:
    """Return what a journal in Redis holds, the oldest first; fields that are not ours are left out."""
    found = []
    for field, value in fields.items():
        (at, _, text), (kind, _, name) = value.decode(errors="replace").partition(" "), field.decode().partition(":")
        if kind in (STEP, CURSOR) and at.replace(".", "", 1).isdigit():
            found.append(Entry(float(at), kind, name, text))
    return sorted(found)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
