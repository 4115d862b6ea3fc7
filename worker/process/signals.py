"""The signals of the service's long-lived processes: the supervisor and its children.

A handler only notes the signal: the supervisor's puts it on the queue on which its loop sleeps, a child's sets a flag
and wakes the child's ``poll`` through a pipe. Two handlers raise instead, and only while job code runs in the main
thread, because nothing else ends the job: a hard stop raises `ShutdownRequested`, an order of RQ's `JobStopped`. A
job's alarm (``consumer/main_thread.py``) and the commands that stop at Ctrl-C install their own handlers.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from types import FrameType
from typing import Any, Final

from worker.context import JobStopped, ShutdownRequested
from worker.process import forked
from worker.process.wakeup import readable

#: Handled by the supervisor; SIGCHLD only wakes it.
SUPERVISED: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGCHLD,
)
#: Makes a child write the stacks of all its threads to standard error.
DUMP_STACKS: Final = signal.SIGUSR2
#: Makes a child look at the order on its slot.
ORDER: Final = signal.SIGUSR1

#: The lowest number of the descriptor by which closed ones are noticed.
_SENTINEL_FROM: Final = 200
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def listen() -> SimpleQueue[int]:
    """Send the supervisor's signals to a queue."""
    inbox: SimpleQueue[int] = SimpleQueue()
    for number in SUPERVISED:
        signal.signal(number, lambda received, _frame: inbox.put(received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISED)  # see `hand_on`
    return inbox


def hand_on(inbox: SimpleQueue[int]) -> None:
    """Hand the signals that have come, and will come, on to the program that this process is about to execute.

    Called in the main thread, for which they wait. One that was sent to the process would be taken by a thread that a
    job module has started, and nobody would hear of it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SUPERVISED)
    while not inbox.empty():
        signal.pthread_kill(threading.get_ident(), inbox.get())


def ignore() -> None:
    """Ignore the supervisor's signals from now on, so that a second stop cannot change how an ended service exits.

    As it finalizes, Python gives its handlers back to the system, whose own answer to TERM is death; what is ignored
    stays ignored.
    """
    for number in SUPERVISED:
        if number != signal.SIGCHLD:
            signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def blocked(numbers: Iterable[signal.Signals] = SUPERVISED) -> Iterator[None]:
    """Block signals in this block, so that none is lost between a fork and the child's own handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def blocked_in_threads() -> contextlib.AbstractContextManager[None]:
    """Block signals in threads that are started in this block, which run no jobs.

    Only the main thread acts on signals. Linux hands the second of two quick signals to any thread that takes it, and
    a main thread in a job's ``time.sleep`` would sleep on. Threads that run jobs must not block any: the programs that
    a job starts inherit the mask, and nobody could terminate them. Beside such threads the main thread runs no jobs
    but sleeps on the pipe into which Python writes each signal, whichever thread has got it.
    """
    return blocked((*SUPERVISED, signal.SIGALRM))


#: Found once: each forked job calls it. None where there is no such thing.
_prctl: Final = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies; end it now if that has already happened."""
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """A child's signals: TERM = soft stop, QUIT = hard stop. Make it in the main thread.

    INT and the terminal's stop signals are the supervisor's business: handlers that do nothing stand here, because the
    programs that jobs start would inherit that a signal is ignored, and no handlers. A second TERM changes nothing,
    because some platforms send it to every process of a container and the supervisor sends its own. `alone` is for a
    worker without a supervisor: INT means TERM, and the second one is a hard stop.
    """

    def __init__(self, *, alone: bool = False) -> None:
        self._alone = alone
        self._before = {number: signal.getsignal(number) for number in (*SUPERVISED, signal.SIGALRM)} if alone else {}
        self._has_loop = True
        self.soft = False
        self.hard = False
        #: True while job code runs in the main thread: only then a hard stop raises.
        self.interruptible = False
        #: Called when `ORDER` arrives: whether the running job is to be stopped.
        self.ordered: Callable[[], bool] = lambda: False
        #: Called when descriptors of this process turn out to be closed.
        self.on_lost: Callable[[], None] = self.retire
        self._make_pipe()
        if not alone:
            for number in SUPERVISED:
                signal.signal(number, _do_nothing)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, _do_nothing)  # an alarm that a job has left must not kill
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGQUIT, self._stop)
        signal.signal(ORDER, self._obey)
        if alone:
            signal.signal(signal.SIGINT, self._stop)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self.dump_on_signal()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SUPERVISED)
        forked.give_up(self._let_go)

    def become_fork(self) -> None:
        """In a fork that runs a job: wake the consumer no longer; a hard stop and an order still raise here."""
        signal.set_wakeup_fd(-1)
        self._has_loop = False

    def close(self) -> None:
        """Restore the signal handlers that a worker without a supervisor has replaced."""
        forked.keep(self._let_go)
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._close_pipe()

    def dump_on_signal(self) -> None:
        """Let `DUMP_STACKS` write the stacks, whatever was done to it."""
        faulthandler.unregister(DUMP_STACKS)
        if sys.__stderr__ is not None:  # sys.stderr may be something without a file
            faulthandler.register(DUMP_STACKS, sys.__stderr__, all_threads=True)

    @property
    def intact(self) -> bool:
        """Whether our descriptors are open, as far as one look can tell: job code may close whatever it finds."""
        try:
            fcntl.fcntl(self._sentinel, fcntl.F_GETFD)
        except OSError:
            return False
        return True

    def renew(self) -> None:
        """Make a new pipe; the numbers of the old one may be somebody else's by now, so they are not closed."""
        self._make_pipe()

    def retire(self) -> None:
        """Stop as if a soft stop had been asked: this process is of no more use, and its supervisor replaces it."""
        self.soft = True
        self._wake()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked."""
        return self.soft

    def wait(self, timeout: float, fds: Iterable[int] = ()) -> list[int]:
        """Sleep up to `timeout` seconds; wake at once on a signal or when one of `fds` can be read (those return)."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)  # job code may have set another
        ready = readable([self._reader, *fds], timeout)
        reader = self._reader
        if reader in ready:
            try:
                ended = not os.read(reader, 4096)
            except BlockingIOError:
                ended = False
            except OSError:
                ended = True
            if ended:
                self.on_lost()
        return [fd for fd in ready if fd != reader]

    def _make_pipe(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        try:  # a number that is not given out again soon, so that it stays closed if somebody closes it
            self._sentinel = fcntl.fcntl(self._reader, fcntl.F_DUPFD_CLOEXEC, _SENTINEL_FROM)
        except OSError:  # so few descriptors are allowed
            self._sentinel = os.dup(self._reader)

    def _close_pipe(self) -> None:
        for fd in (self._reader, self._writer, self._sentinel):
            os.close(fd)

    def _let_go(self) -> None:
        """Leave signals and pipe to the process from which this one was forked. What the job has set itself stays."""
        signal.set_wakeup_fd(-1)
        for number in (*SUPERVISED, signal.SIGALRM):
            if _is_ours(signal.getsignal(number)):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        faulthandler.unregister(DUMP_STACKS)
        self._close_pipe()

    def _wake(self) -> None:
        """Wake `wait`, also where job code has set another wake-up descriptor."""
        if self._has_loop:
            with contextlib.suppress(OSError):  # it is full: somebody has woken it; or closed, which `intact` notices
                os.write(self._writer, b"\0")

    def _obey(self, _number: int, _frame: FrameType | None) -> None:
        self._wake()
        if self.interruptible and self.ordered():
            self.interruptible = False
            raise JobStopped

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.hard = self.hard or number == signal.SIGQUIT or (self._alone and self.soft)
        self.soft = True
        self._wake()
        if self.hard and self.interruptible:
            self.interruptible = False
            raise ShutdownRequested


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Stand where a signal is to be ignored here but not by the programs that jobs start."""


def _is_ours(handler: Any) -> bool:
    return str(getattr(handler, "__module__", "")).startswith("worker.")
