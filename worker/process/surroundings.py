"""What jobs change in the process around them, put back when they are over: as cheaply as looking.

RQ's work-horse ends with its job, and what the job has done to its process with it. A consumer lives on, so it takes
down at its start how things are, and compares after each job. ``docs/isolation.md`` has the table of what is put back
and what is not: what a look costs that every job pays for (``python -m bench.isolation``). Hence the interpreter's own
functions here, without their wrappers, which make enumerations of the answers and take longer than the look; and no
look at what Python tells of when it is changed.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # see above
import asyncio
import contextlib
import faulthandler
import gc
import locale
import logging
import os
import resource
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final

from worker import logs

log = logs.get_logger()

#: The signals whose handlers are ours, or end a process if somebody sets their timer and goes. Each consumer sets the
#: alarm's anew for each job that has a timeout.
_WATCHED: Final = tuple(
    int(number)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGPIPE,
        signal.SIGTERM,
        signal.SIGCHLD,
        signal.SIGCONT,
        signal.SIGTSTP,
        signal.SIGTTIN,
        signal.SIGTTOU,
        signal.SIGVTALRM,
        signal.SIGPROF,
    )
)
_BLOCK: Final = int(signal.SIG_BLOCK)
_PROCESS: Final = os.PRIO_PROCESS
_MEMORY: Final = resource.RLIMIT_AS
_CPU: Final = resource.RLIMIT_CPU
_LC_TIME: Final = locale.LC_TIME
_getpriority: Final = os.getpriority
_getsignal: Final = _signal.getsignal
_sigmask: Final = _signal.pthread_sigmask
_getrlimit: Final = resource.getrlimit
_setlocale: Final = locale._setlocale  # type: ignore[attr-defined]  # `locale.setlocale` before it builds names


#: What Python tells of (https://docs.python.org/3/library/audit_events.html), so that nobody need look for it.
_TOLD: Final = frozenset({"os.chdir", "os.putenv", "os.unsetenv", "resource.prlimit", "resource.setrlimit"})


class _Told:
    """How often Python has told of a change of working directory, environment or limits."""

    def __init__(self) -> None:
        self.times = 0
        self._listens = False

    def listen(self) -> None:
        """Have Python tell of them from now on, until the process ends."""
        if not self._listens:
            self._listens = True
            sys.addaudithook(self._hear)

    def _hear(self, event: str, _arguments: Any) -> None:
        if event in _TOLD:
            self.times += 1


_told: Final = _Told()


class CannotPutBack(Exception):
    """Something that a job has changed cannot be undone in this process; the words say what."""


class Surroundings:
    """How the process was when this object was made. Make it in the main thread.

    `put_back` is for a process that runs one job at a time; where several threads run jobs, each calls
    `put_back_in_thread`, and `put_back_in_process` is called while no job runs. All raise `CannotPutBack`.
    """

    def __init__(self, restore_dump: Callable[[], None]) -> None:
        self._restore_dump = restore_dump  #: makes the signal that dumps stacks do so again
        self._handlers = [*map(_getsignal, _WATCHED)]
        self._mask = _sigmask(_BLOCK, ())
        self._nice = _getpriority(_PROCESS, 0)
        self._cwd = os.getcwd()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._environ = dict(_raw_environ())
        self._memory_limit = _getrlimit(_MEMORY)
        self._cpu_limit = _getrlimit(_CPU)
        self._path = list(sys.path)
        self._filters = list(warnings.filters)
        self._log_handlers = list(logging.root.handlers)
        self._interpreter = _interpreter()
        self._untraced = sys.gettrace() is None and sys.getprofile() is None
        self._tzname = time.tzname
        self._time_locale = _setlocale(_LC_TIME, None)
        self._locale = locale.setlocale(locale.LC_ALL)
        self._policy = asyncio.events._event_loop_policy  # type: ignore[attr-defined]
        _told.listen()
        self._told_times = _told.times

    def put_back(self) -> None:
        """Put back what the job has changed that has just ended."""
        self.put_back_in_main_thread()
        self.put_back_in_process()

    def put_back_in_main_thread(self) -> None:
        """Put back the handlers of signals, too, which only the main thread can set."""
        self.put_back_in_thread()
        if [*map(_getsignal, _WATCHED)] != self._handlers:
            self._put_back_handlers()

    def put_back_in_thread(self) -> None:
        """Put back what belongs to the calling thread: signal mask, priority, trace functions, current event loop."""
        if _sigmask(_BLOCK, ()) != self._mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            _note("signal mask")
        if _getpriority(_PROCESS, 0) != self._nice:
            with _trying("the priority (os.nice)"):
                os.setpriority(os.PRIO_PROCESS, 0, self._nice)
        if self._untraced and (sys.gettrace() is not None or sys.getprofile() is not None):
            sys.settrace(None)
            sys.setprofile(None)
            _note("trace functions")
        policy = asyncio.events._event_loop_policy  # type: ignore[attr-defined]
        if policy is not None:
            self._put_back_loop(policy)

    def put_back_in_process(self) -> None:
        """Put back what belongs to all threads."""
        if os.umask(self._umask) != self._umask:
            _note("umask")
        if _told.times != self._told_times:
            self._put_back_what_was_told()
        if time.tzname != self._tzname:
            time.tzset()
            self._tzname = time.tzname
            _note("time zone")
        if _interpreter() != self._interpreter:
            self._put_back_interpreter()
        if sys.path != self._path:
            sys.path[:] = self._path
            _note("sys.path")
        if warnings.filters != self._filters:
            warnings.filters[:] = self._filters  # type: ignore[index]
            with warnings.catch_warnings():
                pass  # makes Python look at the filters anew
            _note("warnings.filters")
        if logging.root.handlers != self._log_handlers:
            logging.root.handlers[:] = self._log_handlers
            _note("logging.root.handlers")
        if _setlocale(_LC_TIME, None) != self._time_locale:
            locale.setlocale(locale.LC_ALL, self._locale)
            _note("locale")

    def _put_back_what_was_told(self) -> None:
        """Put back working directory, environment and limits; doing so is told again."""
        if _cwd() != self._cwd:
            with _trying("the working directory"):
                os.chdir(self._cwd)
        if _raw_environ() != self._environ:
            self._put_back_environ()
        if _getrlimit(_MEMORY) != self._memory_limit or _getrlimit(_CPU) != self._cpu_limit:
            self._put_back_limits()
        self._told_times = _told.times

    def _put_back_handlers(self) -> None:
        for number, handler in zip(_WATCHED, self._handlers, strict=True):
            if _getsignal(number) == handler:
                continue
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
            if number == signal.SIGUSR2:
                self._restore_dump()
            for timer, rings in ((signal.ITIMER_VIRTUAL, signal.SIGVTALRM), (signal.ITIMER_PROF, signal.SIGPROF)):
                if number == rings:
                    signal.setitimer(timer, 0.0)
            _note(signal.Signals(number).name)

    def _put_back_loop(self, policy: Any) -> None:
        """Let `asyncio.get_event_loop` answer as in a thread that has had no loop, unless it has one that works."""
        if policy is not self._policy and self._policy is not None:
            asyncio.set_event_loop_policy(self._policy)
            _note("event loop policy")
        local = getattr(policy, "_local", None)
        if local is not None and local._set_called:
            loop = local._loop
            if loop is None or loop.is_closed():
                local.__dict__.clear()

    def _put_back_environ(self) -> None:
        now = dict(_raw_environ())
        for name in now.keys() - self._environ.keys():
            del os.environb[name]
        for name, value in self._environ.items():
            if now.get(name) != value:
                os.environb[name] = value
        if now.get(b"TZ") != self._environ.get(b"TZ"):
            time.tzset()
            self._tzname = time.tzname
        _note("environment")

    def _put_back_limits(self) -> None:
        for name, limit in (("RLIMIT_AS", self._memory_limit), ("RLIMIT_CPU", self._cpu_limit)):
            with _trying(f"the limit {name}"):
                resource.setrlimit(getattr(resource, name), limit)

    def _put_back_interpreter(self) -> None:
        (
            timeout,
            disabled,
            level,
            recursion,
            interval,
            collects,
            sys.stdin,
            sys.stdout,
            sys.stderr,
            sys.excepthook,
            faults,
        ) = self._interpreter
        socket.setdefaulttimeout(timeout)
        logging.disable(disabled)
        logging.root.setLevel(level)
        sys.setrecursionlimit(recursion)
        sys.setswitchinterval(interval)
        (gc.enable if collects else gc.disable)()
        if faults != faulthandler.is_enabled():
            faulthandler.enable() if faults else faulthandler.disable()
        _note("interpreter")


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _raw_environ() -> Any:
    """Return the dictionary under `os.environ`, whose values need no decoding: comparing it takes a third."""
    return os.environ._data  # type: ignore[attr-defined]


def _interpreter() -> tuple[Any, ...]:
    return (
        socket.getdefaulttimeout(),
        logging.root.manager.disable,
        logging.root.level,
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        gc.isenabled(),
        sys.stdin,
        sys.stdout,
        sys.stderr,
        sys.excepthook,
        faulthandler.is_enabled(),
    )


def _note(what: str) -> None:
    log.debug("job.change_undone", what=what)


@contextlib.contextmanager
def _trying(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise CannotPutBack(f"A job has changed {what}, and it cannot be put back: {error}") from error
    _note(what)
