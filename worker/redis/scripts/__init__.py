"""The Lua scripts that move jobs between states, one file an operation.

Each file's header lists its KEYS, ARGV and reply. ``_common.lua`` is put before every script; a script that claims gets
``_claim.lua`` too, one that only the leader may run ``_leader.lua``, one with which operators change dead letters
``_letters.lua``, one that enqueues what has waited ``_enqueue.lua``, one that heeds pauses ``_pauses.lua``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = Path(__file__).parent
#: Parts besides _common that a script needs.
_PARTS = {
    "claim": ["_pauses", "_claim"],
    "settle": ["_pauses", "_claim"],
    "park": ["_pauses"],
    "pause": ["_pauses"],
    "resume": ["_pauses"],
    "lead": ["_leader"],
    "done": ["_leader"],
    "resign": ["_leader"],
    "cron": ["_leader"],
    "cron_show": ["_leader"],
    "replay": ["_letters", "_enqueue"],
    "discard": ["_letters"],
    "again": ["_letters", "_enqueue"],
    "edit": ["_letters"],
    "restore": ["_letters"],
    "strays": ["_pauses", "_strays"],
    "return_strays": ["_leader", "_pauses", "_strays"],
    "move_due": ["_pauses", "_enqueue"],
    "maintain": ["_enqueue"],
    "ready": ["_enqueue"],
    "dependents": ["_enqueue"],
}


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its name, its text and the digest under which a server caches it."""

    name: str
    text: str
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest())


def load(name: str) -> Script:
    """Read the script `name` with the parts that it needs."""
    parts = ["_common", *_PARTS.get(name, []), name]
    return Script(name, "\n".join(source(part) for part in parts))


def source(name: str) -> str:
    """Return the text of one file."""
    return (_FOLDER / f"{name}.lua").read_text()


CLAIM = load("claim")
SETTLE = load("settle")
RETRY = load("retry")
BURY = load("bury")
RELEASE = load("release")
EXTEND = load("extend")
JOURNAL = load("journal")
LOG = load("log")
TALLY = load("tally")
REGISTER = load("register")
COLLECT = load("collect")
RESCUE = load("rescue")
HEARTBEAT = load("heartbeat")
ORPHANS = load("orphans")
MOVE_DUE = load("move_due")
REPLAY = load("replay")
LEAD = load("lead")
DONE = load("done")
RESIGN = load("resign")
CRON = load("cron")
CRON_SHOW = load("cron_show")
STRAYS = load("strays")
RETURN_STRAYS = load("return_strays")
MAINTAIN = load("maintain")
DISCARD = load("discard")
EDIT = load("edit")
RESTORE = load("restore")
LETTERS = load("letters")
SWEEP = load("sweep")
FAILURES = load("failures")
META = load("meta")
READY = load("ready")
DEPENDENTS = load("dependents")
LETTER_MARKS = load("letter_marks")
WAITS = load("waits")
WORKERS = load("workers")
TYPES = load("types")
STEP = load("step")
PARK = load("park")
PAUSE = load("pause")
RESUME = load("resume")
LOOK = load("look")
STORY = load("story")
AGAIN = load("again")
EMPTY = load("empty")
#: What a claimed job goes through.
OF_CLAIMS = (CLAIM, SETTLE, RETRY, BURY, RELEASE, EXTEND, RESCUE, PARK)
#: Loaded together into a server that has lost its scripts. Those about dead letters, except replaying, are loaded when
#: they are used.
ALL = (
    *(REGISTER, CLAIM, SETTLE, RETRY, BURY, RELEASE, EXTEND, COLLECT, RESCUE, HEARTBEAT, ORPHANS, MOVE_DUE, REPLAY),
    *(LEAD, DONE, RESIGN, CRON, CRON_SHOW, STRAYS, RETURN_STRAYS, MAINTAIN, WAITS, TYPES, JOURNAL, STEP, PARK),
    *(READY, DEPENDENTS, LOG, TALLY, WORKERS),
)
BY_SHA = {script.sha: script for script in list(globals().values()) if isinstance(script, Script)}
