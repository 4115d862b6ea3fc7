"""RQ's commands to one consumer: written on its slot as an order, followed by a signal that makes it look there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import Any

from worker import logs
from worker.process.signals import ORDER
from worker.process.slot import Order, Slot

log = logs.get_logger()


def read(message: dict[str, Any]) -> dict[str, Any]:
    """Return a command's payload, {} when it cannot be read."""
    try:
        payload = json.loads(message["data"])
    except (ValueError, TypeError, KeyError):
        return {}
    return payload if isinstance(payload, dict) else {}


def obey(slot: Slot, payload: dict[str, Any], pid: int) -> None:
    """Pass one command on to the consumer in `slot`, whose process is `pid`; 0 = it is being replaced.

    An order waits on the slot for the next process, which decides about the job of the one before.
    """
    command, job_id = payload.get("command"), str(payload.get("job_id", ""))
    if command == "shutdown":
        number = signal.SIGTERM
    elif command == "kill-horse":
        slot.give_order(Order.KILL)
        number = ORDER
    elif command in ("stop-job", "stop-execution") and job_id:
        slot.give_order(Order.STOP, job_id, str(payload.get("execution_id", "")))
        number = ORDER
    else:
        log.warning("order.unknown", command=str(command)[:40])
        return
    log.info("order.received", command=command, job_id=job_id or None, worker=slot.worker_name.decode() or None)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
