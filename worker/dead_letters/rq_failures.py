"""Read from RQ's text of a failure what our own record would say of it.

Plain RQ workers and RQ's cleaning leave only a traceback, as text; the exception itself is gone.
"""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from worker.engine.dead_letter import MESSAGE_CHARACTERS, digest, encodable

#: Bytes of a traceback that are read: any producer may have written what decompresses to gigabytes.
_MOST_BYTES: Final = 1_000_000
_FRAME: Final = re.compile(r'^  File "(?P<file>.+)", line \d+, in (?P<name>.+)$', flags=re.M)
#: What Python writes between the tracebacks of chained exceptions; the last one is the one that was raised.
_CHAINED: Final = re.compile(
    r"\n(?:The above exception was the direct cause of|During handling of the above exception, another)[^\n]*\n"
)
_ERROR: Final = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*(?:\.<locals>\.\w+)?)(?:: (?P<message>.*))?$", flags=re.S)
#: RQ's words (rq/registry.py, rq/worker) → our reason.
_RQ_WORDS: Final = {
    "due to AbandonedJobError": "abandoned",
    "Work-horse terminated unexpectedly": "crashed",
    "JobTimeoutException": "timeout",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What a failure's text contains. `frame` is ``file.py:function`` of the innermost frame of the job's own code."""

    reason: str
    exception: str
    message: str
    frame: str

    def fingerprint(self, function: str) -> str:
        """Name the kind of failure, as `dead_letters.fingerprint` does."""
        return digest(self.exception or self.reason, function, self.frame)


def failure(text: str, function: str) -> Failure:
    """Read a failure's text; `function` is the job's dotted function name, "" if unknown."""
    raised = _CHAINED.split(text)[-1].strip("\n")
    steps = list(_FRAME.finditer(raised))
    rest = raised[steps[-1].end() :] if steps else raised
    # After the last frame come its source line (indented) and then the error itself, at the margin.
    at_margin = [match.start() for match in re.finditer(r"^(?=\S)", rest, flags=re.M)] if steps else [0]
    error = _ERROR.match(rest[at_margin[0] :].strip()) if at_margin else None
    reason = next((code for words, code in _RQ_WORDS.items() if words in rest), "failed_elsewhere")
    named = error is not None and bool(steps)
    return Failure(
        reason,
        error["kind"][:MESSAGE_CHARACTERS] if named and error is not None else "",
        encodable((error["message"] or "") if named and error is not None else rest.strip())[:MESSAGE_CHARACTERS],
        _own_frame(steps, function),
    )


def traceback_of(exc_string: bytes | None) -> str:
    """Decode the text of a failure as RQ's result stream holds it (base64 of zlib); "" if it cannot be read."""
    if not exc_string:
        return ""
    try:
        return zlib.decompressobj().decompress(base64.b64decode(exc_string), _MOST_BYTES).decode(errors="replace")
    except (ValueError, zlib.error):
        return ""


def _own_frame(steps: list[re.Match[str]], function: str) -> str:
    package, frame = function.partition(".")[0], ""
    for step in steps:
        if (package and package in PurePath(step["file"]).parts) or not frame:
            frame = f"{PurePath(step['file']).name}:{step['name']}"
    return frame
