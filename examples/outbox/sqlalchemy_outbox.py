"""An outbox for SQLAlchemy 2: copy it beside your models.

with Session.begin() as session:
    session.add(order)
    enqueue(session, "jobs.mail.send_receipt", order.number, retry=3)  # sent if, and only if, this is committed

while True:  # the relay: a process or a thread of its own, as many as you like
    if not relay(Session, producer):
        time.sleep(1)
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import JSON, delete, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from worthit_producer import Producer
from worthit_producer.outbox import packed, send


class Base(DeclarativeBase):
    """Yours."""


class Outgoing(Base):
    """A call that waits for the relay. `problem` says why it cannot be sent: look, correct it, empty the field."""

    __tablename__ = "worthit_outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(default=lambda: uuid.uuid4().hex)
    call: Mapped[dict[str, Any]] = mapped_column(JSON)
    problem: Mapped[str | None]


def enqueue(session: Session, function: str, *args: Any, **options: Any) -> None:
    """Enqueue a call, as `Producer.enqueue` takes it, when the session's transaction is committed."""
    session.add(Outgoing(call=packed(function, *args, **options)))


def relay(sessions: sessionmaker[Session], producer: Producer, most: int = 100) -> int:
    """Send what was committed, the oldest first; returns how many rows were dealt with.

    A row is deleted after it was sent. A relay that dies in between leaves it, and the next one sends it again, under
    the same key, so that there is one job. Rows that another relay holds are passed over (PostgreSQL, MySQL).
    """
    with sessions.begin() as session:
        waiting = select(Outgoing).where(Outgoing.problem.is_(None)).order_by(Outgoing.id).limit(most)
        rows = session.scalars(waiting.with_for_update(skip_locked=True)).all()
        problems = send(producer, [(row.key, row.call) for row in rows])
        for row in rows:
            row.problem = problems.get(row.key)
        session.execute(delete(Outgoing).where(Outgoing.id.in_([row.id for row in rows if row.problem is None])))
        return len(rows)
