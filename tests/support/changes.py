"""What a job may do to the process around it, each beside a look that shows whether the next job finds it so.

`TABLE` is the order of `docs/isolation.md`. A look returns plain data; jobs take it before and after the change.
"""

from __future__ import annotations

import asyncio
import contextvars
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

_VARIABLE: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("changes", default="")


@dataclass(frozen=True, slots=True)
class Change:
    """`words` say what a job changes, for the table; `look` returns what the next one finds."""

    words: str
    make: Callable[[], Any]
    look: Callable[[], Any]


TABLE: Final[dict[str, Change]] = {}


def change(name: str) -> None:
    TABLE[name].make()


def look(name: str) -> Any:
    return TABLE[name].look()


def look_at_all() -> dict[str, Any]:
    return {name: one.look() for name, one in TABLE.items()}


_in_turn: Final = threading.Lock()
_all_there: Final = {count: threading.Barrier(count) for count in (2, 3)}


def look_in_each_thread(name: str, count: int) -> Any:
    """Look as one of `count` jobs, each of which runs in a thread of its own: none begins before all are there."""
    _all_there[count].wait(60)
    with _in_turn:  # some looks change what they look at for a moment
        return TABLE[name].look()


def wait_for(gate: str) -> None:
    """Run beside others until the test opens the gate."""
    while not os.path.exists(gate):
        time.sleep(0.01)


# -- its context -------------------------------------------------------------------------------------------------------


def _user_of_sentry() -> Any:
    import sentry_sdk

    return str(sentry_sdk.get_isolation_scope()._user)


def _set_user_of_sentry() -> None:
    import sentry_sdk

    sentry_sdk.set_user({"id": "first"})


def _set_precision() -> None:
    decimal.getcontext().prec = 3


async def _nothing() -> str:
    return "ran"


def _current_loop() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return asyncio.get_event_loop().run_until_complete(_nothing())
        except RuntimeError:
            return "there is none"


TABLE["contextvars"] = Change("context variables", lambda: _VARIABLE.set("changed"), _VARIABLE.get)
TABLE["log fields"] = Change(
    "log fields (`structlog.contextvars`)",
    lambda: structlog.contextvars.bind_contextvars(user="ann"),
    lambda: structlog.contextvars.get_contextvars().get("user"),
)
TABLE["sentry"] = Change("Sentry's user, tags, breadcrumbs, transaction", _set_user_of_sentry, _user_of_sentry)
TABLE["decimal"] = Change("`decimal.getcontext()`", _set_precision, lambda: decimal.getcontext().prec)
TABLE["event loop"] = Change(
    "`asyncio.run`, after which `get_event_loop` fails", lambda: asyncio.run(_nothing()), _current_loop
)

# -- signals -----------------------------------------------------------------------------------------------------------


def _on_signal(*_: Any) -> None: ...


def _set_handlers() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, _on_signal)


def _handlers() -> list[bool]:
    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP, signal.SIGTSTP)
    return [signal.getsignal(number) is _on_signal for number in watched]


TABLE["handlers"] = Change("handlers of signals", _set_handlers, _handlers)
TABLE["ignored"] = Change(
    "`signal(SIGCHLD, SIG_IGN)`, after which exit codes are lost",
    lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    lambda: subprocess.run(["sh", "-c", "exit 3"], check=False).returncode,
)
TABLE["mask"] = Change(
    "blocked signals",
    lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1]),
    lambda: sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
)
TABLE["alarm"] = Change(
    "`signal.alarm`", lambda: signal.alarm(3600) and None, lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 1800
)

# -- the process -------------------------------------------------------------------------------------------------------


def _set_environment() -> None:
    os.environ["CHANGED"] = "yes"
    os.environ.pop("PATH", None)


def _set_zone() -> None:
    os.environ["TZ"] = "Asia/Kathmandu" if os.path.exists("/usr/share/zoneinfo/Asia/Kathmandu") else "XYZ-5:45"
    time.tzset()


def _lower(limit: int, to: int) -> None:
    resource.setrlimit(limit, (to, resource.getrlimit(limit)[1]))


TABLE["cwd"] = Change("working directory", lambda: os.chdir("/"), os.getcwd)
TABLE["umask"] = Change("umask", lambda: os.umask(0o007), lambda: oct(_umask()))
TABLE["environment"] = Change(
    "`os.environ`", _set_environment, lambda: [os.environ.get("CHANGED"), "PATH" in os.environ]
)
TABLE["time zone"] = Change("time zone (`time.tzset`)", _set_zone, lambda: time.localtime(0).tm_hour)
TABLE["memory limit"] = Change(
    "limits of memory and CPU time",
    lambda: (_lower(resource.RLIMIT_AS, 2**40), _lower(resource.RLIMIT_CPU, 9999)),
    lambda: [resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CPU)[0]],
)
TABLE["other limits"] = Change(
    "other limits (descriptors, file size …)",
    lambda: _lower(resource.RLIMIT_FSIZE, 2**40),
    lambda: resource.getrlimit(resource.RLIMIT_FSIZE)[0],
)
TABLE["nice"] = Change("priority (`os.nice`)", lambda: os.nice(1), lambda: os.getpriority(os.PRIO_PROCESS, 0))
TABLE["affinity"] = Change(
    "CPU affinity",
    lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]),
    lambda: len(os.sched_getaffinity(0)),
)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# -- the interpreter ---------------------------------------------------------------------------------------------------


class _Output:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


def _replace_output() -> None:
    sys.stdout = _Output()  # type: ignore[assignment]


def _hook(*_: Any) -> None: ...


def _set_hooks() -> None:
    sys.excepthook = _hook
    sys.setprofile(_hook)


def _numbers_after_seed() -> set[float]:
    """Return the first numbers: the consumer draws some, too, for its waits."""
    seeded = random.Random(7)
    return {seeded.random() for _ in range(200)}


def _set_locale() -> None:
    locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_TIME) == "C" else "C")


TABLE["socket timeout"] = Change(
    "`socket.setdefaulttimeout`", lambda: socket.setdefaulttimeout(7), socket.getdefaulttimeout
)
TABLE["logging"] = Change(
    "`logging.disable`, level and handlers of the root logger",
    lambda: (logging.disable(logging.CRITICAL), logging.root.setLevel(1), logging.root.handlers.clear()),
    lambda: [logging.root.manager.disable, logging.root.level, len(logging.root.handlers)],
)
TABLE["loggers"] = Change(
    "level and handlers of other loggers",
    lambda: logging.getLogger("changes").setLevel(1),
    lambda: logging.getLogger("changes").level,
)
TABLE["recursion"] = Change("recursion limit", lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit)
TABLE["switch interval"] = Change("switch interval", lambda: sys.setswitchinterval(0.5), sys.getswitchinterval)
TABLE["gc"] = Change("`gc.disable`", gc.disable, gc.isenabled)
TABLE["gc threshold"] = Change("`gc.set_threshold`", lambda: gc.set_threshold(9), gc.get_threshold)
TABLE["output"] = Change("`sys.stdout`, `sys.stderr`, `sys.stdin`", _replace_output, lambda: type(sys.stdout).__name__)
TABLE["hooks"] = Change(
    "`sys.excepthook`, trace and profile functions",
    _set_hooks,
    lambda: [sys.excepthook is _hook, sys.getprofile() is _hook],
)
TABLE["path"] = Change("`sys.path`", lambda: sys.path.insert(0, "/changed"), lambda: "/changed" in sys.path)
TABLE["warnings"] = Change(
    "filters of warnings", lambda: warnings.simplefilter("error"), lambda: warnings.filters[0][0] == "error"
)
TABLE["locale"] = Change("locale (`LC_ALL`, `LC_TIME`)", _set_locale, lambda: locale.setlocale(locale.LC_TIME))
TABLE["faulthandler"] = Change("`faulthandler.enable`", faulthandler.enable, faulthandler.is_enabled)
TABLE["random"] = Change("`random.seed`", lambda: random.seed(7), lambda: random.random() in _numbers_after_seed())

# -- what only the end of a process undoes -----------------------------------------------------------------------------

_cache: Final[list[str]] = []
_open: Final[list[int]] = []


def _start_thread() -> None:
    threading.Thread(target=threading.Event().wait, daemon=True, name="changes").start()


def _leave_open() -> None:
    _open.append(os.open("/dev/null", os.O_RDONLY))


TABLE["globals"] = Change(
    "what modules keep: globals, caches, patched functions, imports",
    lambda: _cache.append("changed"),
    lambda: len(_cache),
)
TABLE["start method"] = Change(
    "`multiprocessing.set_start_method`",
    lambda: multiprocessing.set_start_method("spawn", force=True),
    lambda: multiprocessing.get_start_method(allow_none=True),
)
TABLE["threads"] = Change(
    "threads that it leaves", _start_thread, lambda: sum(one.name == "changes" for one in threading.enumerate())
)
TABLE["files"] = Change("descriptors that it leaves open", _leave_open, lambda: len(_open))
