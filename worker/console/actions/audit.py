"""The stream of who did what, for actions that no script of the dead letters writes there (``worker dead audit``)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from worker.keys import Keys

#: About as many lines are kept, as the scripts do.
_MOST_LINES: Final = 10_000


def note(pipe: Any, keys: Keys, action: str, who: str, about: str, job_ids: Sequence[str] = ()) -> None:
    """Put a line on a pipeline, or write it to a client."""
    line = {
        "action": action,
        "who": who,
        "run": secrets.token_hex(4),
        "note": about,
        "count": len(job_ids) or 1,
        "ids": " ".join(job_ids),
    }
    fields = {
        name: value.encode(errors="surrogateescape") if isinstance(value, str) else value
        for name, value in line.items()
    }
    pipe.xadd(keys.audit, fields, maxlen=_MOST_LINES, approximate=True)
