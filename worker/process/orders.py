"""RQ's commands to one consumer: written on its slot as an order, followed by a signal that makes it look there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import Any, Final

from worker import logs
from worker.process.signals import ORDER
from worker.process.slot import Order, Slot

log = logs.get_logger()

#: Of a job's id in the log: anybody may publish.
MOST_CHARACTERS: Final = 200


def read(message: dict[str, Any]) -> dict[str, Any]:
    """Return a command's payload, {} when it cannot be read."""
    try:
        payload = json.loads(message["data"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def obey(slot: Slot, payload: dict[str, Any], pid: int) -> None:
    """Pass one command on to the consumer in `slot`, whose process is `pid`; 0 = it is being replaced.

    An order waits on the slot for the next process, which decides about the job of the one before.
    """
    command, job_id, execution_id = (_word(payload.get(name)) for name in ("command", "job_id", "execution_id"))
    if command == "shutdown":
        number = signal.SIGTERM
    elif command == "kill-horse":
        slot.give_order(Order.KILL)
        number = ORDER
    elif command in ("stop-job", "stop-execution") and job_id:
        slot.give_order(Order.STOP, job_id, execution_id)
        number = ORDER
    else:
        log.warning("order.unknown", command=command[:40])
        return
    log.info(
        "order.received",
        command=command,
        job_id=job_id[:MOST_CHARACTERS] or None,
        worker=slot.worker_name.decode() or None,
    )
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _word(value: Any) -> str:
    """Return a text of a command as UTF-8 can hold it, "" for anything else that JSON can say."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""
