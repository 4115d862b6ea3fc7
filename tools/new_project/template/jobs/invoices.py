"""Send invoices: an example of a job. Put your own beside it, and delete it when you have one."""

from __future__ import annotations

from worker import context
from worker.retry import PermanentError, RetryLater, RetryPolicy, with_policy


@with_policy(RetryPolicy(max_attempts=5, base=2.0))  # waits have full jitter: up to 2, 4, 8 … seconds
def send_invoice(number: int) -> str:
    """Send the invoice of that number; return what was done."""
    context.current().progress(10, "looking it up")
    if number < 1:
        raise PermanentError(f"there is no invoice {number}")  # a dead letter: trying again would not help
    try:
        hand_over(number)
    except ConnectionError as error:
        raise RetryLater("the mail server is busy", after=30) from error
    return f"invoice {number} sent"


def hand_over(number: int) -> None:
    """Give it to the mail server: yours stands here."""
