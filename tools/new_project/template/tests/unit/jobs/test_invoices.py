"""The example job; docs/testing-jobs.md has more ways to test one."""

from __future__ import annotations

import pytest

from jobs import invoices
from worker import context
from worker.context import OfflineContext
from worker.retry import PermanentError, RetryLater


def test_an_invoice_is_sent_and_its_progress_told() -> None:
    job = OfflineContext()
    with context.use(job):
        assert invoices.send_invoice(7) == "invoice 7 sent"
    assert job.reported[-1] == {"percent": 10, "message": "looking it up"}


def test_one_that_does_not_exist_is_not_tried_again() -> None:
    with pytest.raises(PermanentError, match="no invoice 0"):
        invoices.send_invoice(0)


def test_a_busy_mail_server_is_tried_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(number: int) -> None:
        raise ConnectionError("421")

    monkeypatch.setattr(invoices, "hand_over", busy)
    with pytest.raises(RetryLater, match="busy"):
        invoices.send_invoice(7)
