"""The outbox's table, and what puts calls into it and sends them on."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection, models, transaction
from worthit_producer import Producer
from worthit_producer.outbox import packed, send


def _key() -> str:
    return uuid.uuid4().hex


class Outgoing(models.Model):
    """A call that waits for the relay. `problem` says why it cannot be sent: look, correct it, empty the field."""

    id = models.BigAutoField(primary_key=True)
    key = models.CharField(max_length=32, default=_key)
    call = models.JSONField()
    problem = models.TextField(null=True)

    class Meta:
        app_label = "django_outbox"
        db_table = "worthit_outbox"


def enqueue(function: str, *args: Any, **options: Any) -> None:
    """Enqueue a call, as `Producer.enqueue` takes it, when the transaction is committed."""
    Outgoing.objects.create(call=packed(function, *args, **options))


def relay(producer: Producer, most: int = 100) -> int:
    """Send what was committed, the oldest first; returns how many rows were dealt with.

    A row is deleted after it was sent. A relay that dies in between leaves it, and the next one sends it again, under
    the same key, so that there is one job. Rows that another relay holds are passed over, where the database can.
    """
    with transaction.atomic():
        waiting = Outgoing.objects.filter(problem=None).order_by("id")
        if connection.features.has_select_for_update_skip_locked:
            waiting = waiting.select_for_update(skip_locked=True)
        rows = list(waiting[:most])
        problems = send(producer, [(row.key, row.call) for row in rows])
        for row in rows:
            if row.key in problems:
                row.problem = problems[row.key]
                row.save(update_fields=["problem"])
        Outgoing.objects.filter(id__in=[row.id for row in rows if row.key not in problems]).delete()
        return len(rows)
