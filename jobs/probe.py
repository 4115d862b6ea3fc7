"""A job that does nothing: `python -m tools.service_tester --worker` sends it to see whether the worker runs jobs."""

from __future__ import annotations

from worker.retry import RetryPolicy, with_policy

#: The longest text that comes back.
LONGEST_CHARACTERS = 200


@with_policy(RetryPolicy(max_attempts=1))
def echo(text: str) -> str:
    """Answer with the text, cut to `LONGEST_CHARACTERS`."""
    return str(text)[:LONGEST_CHARACTERS]
