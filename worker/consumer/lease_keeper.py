"""A helper process that keeps the claims of a consumer alive while a job holds Python's lock.

A regular expression, or a sum of large numbers, may hold that lock for minutes: no thread of the process runs
meanwhile, so nothing in it sends heartbeats, and another instance would take its jobs for orphans. In an instance the
dispatcher sends them. A consumer that runs alone forks this helper before its first job. It only looks at the shared
slot, and has no connection, as long as the consumer sends its heartbeats itself.

It is no second life of a dead worker: it ends with it, and sends nothing for one that is stopped (SIGSTOP), that runs
no job, or whose job should have ended.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from time import monotonic, sleep
from typing import Final, NoReturn

from worker import logs
from worker.engine.leases import heartbeat
from worker.process import forked, signals
from worker.process.slot import Slot
from worker.process.wakeup import readable
from worker.redis.calls import ScriptCalls
from worker.redis.trouble import RedisTrouble

log = logs.get_logger()

EFFECT: Final = "A job that holds Python's lock for half a minute may be taken for an orphan and run twice."
#: So much of a heartbeat's interval may pass beyond it before the helper sends one.
LATE: Final = 1.3
#: How long after its timeout a job may still end by itself.
OVERDUE_SECONDS: Final = 5.0
#: How long the consumer's end waits for the helper's.
END_SECONDS: Final = 1.0


class LeaseKeeper:
    """The helper of worker `name`, whose own heartbeats (`slot.beaten_at`) are `seconds` apart.

    `make_calls` makes what it sends by; it is called in the helper.
    """

    def __init__(self, slot: Slot, make_calls: Callable[[], ScriptCalls], name: str, seconds: float) -> None:
        self._slot = slot
        self._make_calls = make_calls
        self._name = name
        self._seconds = seconds
        slot.beaten_at = monotonic()
        parent = os.getpid()
        reader, self._writer = os.pipe()
        try:
            self._pid = forked.fork()
        except OSError as error:
            log.warning("consumer.no_lease_keeper", error=str(error), effect=EFFECT)
            os.close(reader)
            self._let_go()
            self._pid = -1
            return
        if self._pid == 0:
            self._become_helper(parent, reader)
        os.close(reader)
        forked.give_up(self._let_go)

    def close(self) -> None:
        """End the helper: it hears that the pipe's other end is gone."""
        if self._pid < 0:
            return
        forked.keep(self._let_go)
        os.close(self._writer)
        until = monotonic() + END_SECONDS
        with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
            while os.waitpid(self._pid, os.WNOHANG)[0] == 0 and monotonic() < until:
                sleep(0.002)

    def _let_go(self) -> None:
        os.close(self._writer)

    # -- in the helper -----------------------------------------------------------------------------------------------

    def _become_helper(self, parent: int, reader: int) -> NoReturn:
        """Keep the claims until the consumer ends; never returns to its code."""
        try:
            os.setsid()  # what is meant for the terminal, or the group, is not meant for it
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signals.die_with_parent(parent)
            gc.disable()  # a socket of the consumer's that it collects would close what has its number here
            _close_all_but(reader)
            self._keep(parent, reader)
        finally:
            os._exit(0)

    def _keep(self, parent: int, reader: int) -> None:
        calls = self._make_calls()
        while not readable([reader], self._seconds / 2) and os.getppid() == parent:
            if not self._is_needed(parent):
                continue
            with contextlib.suppress(RedisTrouble):  # tried again in a moment; the consumer tells of outages
                heartbeat(calls, [self._name])
                self._slot.beaten_at = monotonic()

    def _is_needed(self, parent: int) -> bool:
        slot, now = self._slot, monotonic()
        if not slot.job_id or now - slot.beaten_at < self._seconds * LATE:
            return False
        deadline = slot.job_deadline
        return not (0 < deadline < now - OVERDUE_SECONDS) and not _is_stopped(parent)


def _is_stopped(pid: int) -> bool:
    """Whether a process stands still by a signal, where the system says so in Linux' way."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] in (b"T", b"t")
    except OSError:
        return False


def _close_all_but(kept: int) -> None:
    """Hold nothing of the consumer's: whoever reads what it writes, or serves it, must notice when it ends."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    for number in map(int, os.listdir(folder)):
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):
                os.close(number)
