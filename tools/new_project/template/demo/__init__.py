"""What `make run` shows: the example job."""

from __future__ import annotations

from contextlib import ExitStack

from worker.cli.demonstration import Demonstration, Sample

FUNCTION = "jobs.invoices.send_invoice"


def show(stack: ExitStack, redis_url: str, queue: str, *, local: bool) -> Demonstration:
    """Start nothing: the example needs nothing."""
    del stack, redis_url, queue, local
    return Demonstration(
        first=Sample(FUNCTION, (7,)),
        more=[Sample(FUNCTION, (8,)), Sample(FUNCTION, (0,), "ends as a dead letter")],
    )
