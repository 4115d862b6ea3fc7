"""The process of one forked job, as its consumer sees it: what it says, how it is told to end, how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from time import monotonic
from typing import Final

from worker.consumer import outcome_wire
from worker.consumer.main_thread import JobThread, running
from worker.consumer.outcome_wire import Garbled, Message
from worker.consumer.rq_finish import CALLBACKS_SECONDS
from worker.engine.records import Claim
from worker.process import descendants
from worker.process.slot import Running

#: From a timeout or an order to the kill. The supervisor, which would kill the consumer, waits longer.
KILL_SECONDS: Final = 4.0
#: How long a process that has told what came of its job may take to end: Sentry's events are sent meanwhile.
LEAVE_SECONDS: Final = 3.0
#: The longest message: the largest WORKER_MAX_RESULT_BYTES, and words.
MOST_BYTES: Final = 600_000_000
#: Between two looks while a job runs: a thread of the pool is not woken by signals.
LOOK_SECONDS: Final = 0.2
#: The same where the system cannot tell that a process has ended.
BLIND_SECONDS: Final = 0.01


class JobProcess:
    """One fork as its consumer sees it; `timeout` in seconds, 0 or less for none."""

    def __init__(self, claim: Claim, started: float, timeout: float) -> None:
        self.claim = claim
        self.started = started
        self.timeout = timeout
        self.pid = 0
        self.kill_at = float("inf")
        self.told = 0  #: the signal by which the job was told to end
        self.in_callbacks = False
        self.killed = False
        self.ended = False
        self.status: int | None = None  #: its exit code, or minus the signal that killed it
        self.message: Message | None = None  #: the last one: what came of the job
        self.is_ending = False  #: True: it has just said that the job's callbacks begin, or begin again
        self.garbled = ""
        self._seconds = 0.0
        self._soft_told = False
        self._buffer = bytearray()

    @property
    def running(self) -> Running:
        """The job as it stands on the slot."""
        return running(self.claim, self.started)

    def begin(self, pid: int, reader: int) -> None:
        """Note the process, and what it talks through."""
        self.pid, self._reader = pid, reader
        os.set_blocking(reader, False)
        self._pidfd = _pidfd_of(pid)
        self._fds = [fd for fd in (reader, self._pidfd) if fd >= 0]
        if self.timeout > 0:
            self.kill_at = monotonic() + self.timeout + KILL_SECONDS

    def listen(self, thread: JobThread) -> None:
        """Wait a moment for what the fork says, or for its end."""
        blind = self._pidfd < 0 and self._reader not in self._fds
        longest = BLIND_SECONDS if blind else LOOK_SECONDS
        ready = thread.wait(max(0.0, min(longest, self.kill_at - monotonic())), self._fds)
        if self._reader in ready:
            self._read()
        if self._pidfd in ready or (self._pidfd < 0 and not ready):
            self._reap()

    def must_end(self, number: int, seconds: float) -> None:
        """Tell the job to end within `seconds`, again each time: a thread of its own may have got the signal."""
        if (number, seconds) != (self.told, self._seconds):
            self.told, self._seconds = number, seconds
            self.kill_at = min(self.kill_at, monotonic() + seconds)
        self._signal(number)

    def tell_of_stop(self) -> None:
        """Let the job know, once, that the service stops."""
        if not self._soft_told:
            self._soft_told = True
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it with all that it has started."""
        self.killed = True
        self.kill_at = float("inf")
        descendants.end_tree(self.pid)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._reader)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _read(self) -> None:
        try:
            data = os.read(self._reader, 1 << 20)
        except BlockingIOError:
            return
        if not data:  # all that could write are gone, or have closed it
            self._fds.remove(self._reader)
            return
        if self.garbled:
            return
        self._buffer += data
        if b"\n" in data:
            *lines, rest = bytes(self._buffer).split(b"\n")
            self._buffer[:] = rest
            for line in lines:
                self._take(line)
        elif len(self._buffer) > MOST_BYTES:
            self.garbled = f"more than {MOST_BYTES:,} bytes"
            self._buffer.clear()

    def _take(self, line: bytes) -> None:
        if self.garbled:
            return
        try:
            message = Message.read(line, self.claim)
        except Garbled as error:
            self.garbled = str(error)
            return
        moment = monotonic()
        if message.kind == outcome_wire.KEPT:  # a job that gets on is buried for no earlier crashes and stops
            self.claim.fields[b"journal"] = message.journal
            for name in (b"crashes", b"handbacks"):
                self.claim.fields.pop(name, None)
        elif message.kind == outcome_wire.ENDING:
            self.is_ending = self.in_callbacks = True
            if not self.told:
                self.kill_at = moment + CALLBACKS_SECONDS
        else:
            self.message = message
            self.kill_at = moment + LEAVE_SECONDS

    def _reap(self) -> None:
        if self._reader in self._fds:  # it may have spoken just before
            self._read()
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self.ended = True
            return
        if pid:
            self.ended = True
            self.status = os.waitstatus_to_exitcode(status)
            if self.message is None:  # what it has started must not go on beside the job's next run
                descendants.end_session(self.pid)


def _pidfd_of(pid: int) -> int:
    """Return what becomes readable when a process ends; -1 where the system has no such thing."""
    try:
        return os.pidfd_open(pid) if sys.platform == "linux" else -1
    except OSError:
        return -1
