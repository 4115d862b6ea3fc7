"""What a process is that job code has forked: an ordinary one, and never a second consumer.

It inherits the consumer whole: its signal handlers, its descriptors, its stack. So whatever a consumer holds says here
how a forked process gets rid of it, and a job's function that returns in such a process ends it there. Programs that
are executed (`subprocess`) inherit neither handlers nor descriptors of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from worker import logs

log = logs.get_logger()

#: What this process lets go of in a process that it forks, in the order in which it was said.
_given_up: Final[list[Callable[[], None]]] = []
_strayed = False


def give_up(let_go: Callable[[], None]) -> None:
    """Call `let_go` in every process that this one forks from now on; there it must not raise."""
    _given_up.append(let_go)


def keep(let_go: Callable[[], None]) -> None:
    """Undo `give_up`: it is closed already, or about to be."""
    with contextlib.suppress(ValueError):
        _given_up.remove(let_go)


def fork() -> int:
    """Fork a process that belongs to the worker: it keeps what this one holds, and may go on. As `os.fork`."""
    _mask.ours = True
    try:
        return os.fork()
    finally:
        _mask.ours = False


def end_if_strayed(error: BaseException | None = None) -> None:
    """End this process if job code has forked it. `error` is what ended the job's function here; exit code 1 then."""
    if not _strayed:
        return
    if error is not None and not isinstance(error, SystemExit):
        log.error("job.forked_process_failed", pid=os.getpid(), exc_info=error)
    log.warning("job.forked_process_returned", pid=os.getpid(), parent=os.getppid())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    code = error.code if isinstance(error, SystemExit) else error
    os._exit(code if isinstance(code, int) else int(code is not None))


class _Mask(threading.local):
    """The signal mask of a thread that forks, as it was before; and whether the fork is to be one of ours."""

    before: set[Any] | None = None
    ours = False


_mask: Final = _Mask()


def _hold_signals() -> None:
    """Let no signal reach the new process before its handlers are the ordinary ones: it would be lost."""
    if _given_up and not _mask.ours:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def _release_signals() -> None:
    before, _mask.before = _mask.before, None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_ordinary() -> None:
    global _strayed  # noqa: PLW0603 — it is the process that strays
    if not _given_up or _mask.ours:
        return
    _strayed = True
    for let_go in _given_up:
        with contextlib.suppress(OSError):  # the job may have closed it before it forked
            let_go()
    _given_up.clear()
    _release_signals()


os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_become_ordinary)
