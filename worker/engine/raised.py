"""What a job raised, made fit to be shown.

The text of an exception comes from code of the job: it may have 20 MB, raise an error of its own, or never come; and an
exception may end a chain of ten thousand. Logs, Sentry, RQ's results and the dead letter all take it as it is. So it is
looked at once, where the job's clock still runs, and what is not fit to be shown is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from rq.timeouts import JobTimeoutException

from worker.context import JobStopped, ShutdownRequested
from worker.text import bounded, counted

#: Exceptions that one may bring along: its causes, what it was raised amid, the members of groups.
MOST_LINKS: Final = 50
#: Characters of all their names, texts and notes together.
MOST_CHARACTERS: Final = 50_000
#: What replaces one that exceeds this: so many links of its chain, or members of its group, in so many characters each.
_KEPT: Final = 5
_KEPT_CHARACTERS: Final = 5_000
_NAME_CHARACTERS: Final = 200
_NOT_IN_NAMES: Final = re.compile(r"[^\w.<>]")
#: What ends a job from outside, also while it makes the text of an exception; the first two are no failures.
FROM_OUTSIDE: Final = (JobStopped, ShutdownRequested, JobTimeoutException)


class StandIn(Exception):
    """Shown in the place of another exception, `original`: it has that one's traceback, and its class the same name."""

    original: BaseException


def presentable(error: BaseException) -> BaseException:
    """Return `error` if its texts can be made and are short; else what is shown in its place, a `StandIn`."""
    if isinstance(error, (StandIn, *FROM_OUTSIDE[:2])):
        return error
    if isinstance(error, JobTimeoutException):  # the job's clock is over: no text of what it came amid may be asked for
        return _alone(error) if error.__context__ or error.__cause__ else error
    characters = 0
    for count, link in enumerate(_links(error), 1):
        text, well = _text(link)
        characters += len(text) + len(type(link).__qualname__) + sum(map(len, _notes(link)))
        if not well or count > MOST_LINKS or characters > MOST_CHARACTERS:
            return _stand_in(error)
    return error


def original(error: BaseException) -> BaseException:
    """Return what the job raised: `error`, or that for which it stands."""
    return error.original if isinstance(error, StandIn) else error


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it brings along, each once."""
    seen, left = {id(error)}, [error]
    while left:
        link = left.pop()
        yield link
        for other in (*_members(link), link.__context__, link.__cause__):
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                left.append(other)


def _members(error: BaseException) -> tuple[BaseException, ...]:
    """Return the members of a group, a bounded number of them."""
    return error.exceptions[: MOST_LINKS + 1] if isinstance(error, BaseExceptionGroup) else ()


def _notes(error: BaseException) -> list[str]:
    """Return the notes of an exception; job code may have put anything there."""
    notes: Any = getattr(error, "__notes__", None)
    return [note for note in notes if isinstance(note, str)] if isinstance(notes, list) else []


def _text(error: BaseException) -> tuple[str, bool]:
    """Return the text of an exception, and whether it could be made."""
    try:
        return str(error), True
    except FROM_OUTSIDE:
        raise
    except BaseException as failure:  # noqa: BLE001 — job code's own __str__ may raise anything, SystemExit too
        return f"(its text cannot be shown: making it raised {type(failure).__name__})", False


def _stand_in(error: BaseException) -> StandIn:
    """Return what is shown instead: the nearest links of the chain, in short words."""
    following = islice(_chain(error), _KEPT)
    outermost = nearest = _alone(next(following))
    for link in following:
        nearest.__cause__ = _alone(link)
        nearest = nearest.__cause__
    left = sum(1 for _ in islice(_chain(error), _KEPT, None))
    if left:
        nearest.args = (f"{nearest.args[0]}\n({counted(left, 'more exception')} in its chain left out)",)
    return outermost


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it followed, nearest first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _alone(error: BaseException) -> StandIn:
    """Return the stand-in of one exception, without those that it followed."""
    kind = type(error)
    words = [bounded(_text(error)[0], _KEPT_CHARACTERS)]
    words += [bounded(note, _KEPT_CHARACTERS) for note in _notes(error)[:_KEPT]]
    members = _members(error)
    words += [f"- {_short(type(one).__name__)}: {bounded(_text(one)[0], _KEPT_CHARACTERS)}" for one in members[:_KEPT]]
    if len(members) > _KEPT:
        words.append("- …")
    shown = type(_short(kind.__qualname__), (StandIn,), {"__module__": _short(str(kind.__module__))})
    stand_in: StandIn = shown("\n".join(words))
    stand_in.original = error
    return stand_in.with_traceback(error.__traceback__)


def _short(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name[:_NAME_CHARACTERS]) or "Exception"
