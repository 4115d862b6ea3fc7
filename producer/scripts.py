"""The producer's Lua scripts, each one request: `lua/*.lua`, where they are explained.

They use RQ 3.0's keys under the prefix P: ``P:job:<id>`` hash, ``P:queue:<q>`` list of ids, ``P:queues`` set,
``P:finished|failed|canceled|deferred|scheduled:<q>`` zsets, ``P:job:<id>:dependents`` and ``P:job::<id>:dependencies``
sets, ``P:group:<g>`` and ``P:groups`` sets, ``P:rl:…`` of rate limits, ``P:executions:<id>`` and ``P:wip:<q>`` zsets;
and ``P:mark:<digest>``, our own. They are sent without their comments. The JavaScript producer carries the same text
(`packages/producer-js/src/scripts.js`, written by `make docs`; a test compares).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "lua"


#: A text of Lua's, or an operator or comma with the space around it.
_TEXT_OR_SPACE: Final = re.compile(r"('[^']*')| *([=<>~+*/%,(){}]|\.\.|==|~=|<=|>=) *")


def _load(name: str) -> str:
    """Read a script, without what only people need: comments, indentation, space."""
    lines = (line.strip() for line in (_FOLDER / f"{name}.lua").read_text().splitlines())
    return "".join(_TEXT_OR_SPACE.sub(r"\1\2", line) + "\n" for line in lines if line and not line.startswith("--"))


#: What the first two begin with.
PLACES: Final = _load("_places")
ENQUEUE: Final = PLACES + _load("enqueue")
CANCEL: Final = PLACES + _load("cancel")
READ: Final = _load("read")
