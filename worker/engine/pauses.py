"""What a consumer and a dispatcher make of pauses (`python -m worker pause`): queues that are closed, jobs put aside.

The scripts pass paused queues over. A job of a paused function cannot be told from others before its payload's first
bytes are read, so whoever claims one puts it aside (``scripts/park.lua``), in order; RQ's tools show that as a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.engine.records import Claim, Paused
from worker.engine.unread import function_of
from worker.process.scoreboard import Header

#: Queues of which the scoreboard shows whether they are closed: a bit each.
MOST_QUEUES: Final = 64


def show(header: Header, queues: Sequence[str], paused: Paused, *, suspended: bool) -> None:
    """Show the instance which of its queues are closed; `suspended` while `rq suspend` holds."""
    closed = 0
    if paused.what:
        closed = sum(1 << at for at, queue in enumerate(queues[:MOST_QUEUES]) if paused.closes(queue))
    everything = int(bool(closed) and all(map(paused.closes, queues)))
    if (header.suspended, header.closed, header.all_closed) != (suspended, closed, everything):
        header.suspended, header.closed, header.all_closed = int(suspended), closed, everything


def of_paused_functions(claims: Sequence[Claim], paused: Paused) -> list[tuple[Claim, str]]:
    """Return the claims that must be put aside, each with its function's name."""
    named = [(claim, function_of(claim.fields.get(b"data", b""))) for claim in claims]
    return [(claim, name) for claim, name in named if paused.holds(name, claim.queue)]
