"""The event loop for jobs that are coroutines: each thread that runs jobs has one, and keeps it from job to job.

RQ calls `asyncio.run` in a process that ends with the job. Here the next job comes to the same process, and finds the
clients of asynchronous libraries that a module keeps: they belong to a loop, so it must be the same and still open. It
is no thread's current loop: `asyncio.get_event_loop` answers a job that is no coroutine as if there had been none.

With a job ends what `asyncio.run` ends, too: its tasks are cancelled, its asynchronous generators are closed.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final

from worker import logs

log = logs.get_logger()

#: How long a loop in a thread of the pool may sleep.
WAKE_SECONDS: Final = 0.5
#: Loops of the process from which this one was forked. They share their selectors with it, so that closing one here,
#: which its finalizer would do, made the other one deaf.
_of_our_parent: Final[list[asyncio.AbstractEventLoop]] = []


class EventLoops(threading.local):
    """The loop of each thread, made when its first coroutine comes."""

    _loop: asyncio.AbstractEventLoop | None = None
    _pid = 0
    _kept: frozenset[asyncio.Task[Any]] = frozenset()

    def run(self, coroutine: Coroutine[Any, Any, Any], *, keep_tasks: bool = False) -> Any:
        """Run a coroutine to its end and return its value; raises what it raises.

        The tasks that it leaves are cancelled; with `keep_tasks` they stay, and go on whenever the loop runs.
        """
        loop = self._own_loop()
        waker = None if threading.current_thread() is threading.main_thread() else _Waker(loop)
        try:
            return loop.run_until_complete(coroutine)
        finally:
            if waker is not None:
                waker.stop()
            if keep_tasks:
                self._kept = frozenset(asyncio.all_tasks(loop))
            else:
                self._loop = None  # if tidying is interrupted, what is left on it shall not run beside the next job
                _tidy(loop, self._kept)
                self._loop = loop

    def close(self) -> None:
        """Close the loop of the calling thread."""
        if self._loop is not None and self._pid == os.getpid():
            self._loop.close()
            self._loop = None

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None and self._pid != os.getpid():
            _of_our_parent.append(self._loop)
            self._loop = None
        if self._loop is None or self._loop.is_closed():
            self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
        return self._loop


class _Waker:
    """Keeps a loop from sleeping on while an exception waits to be raised in its thread: a timeout, an order, a stop.

    In the main thread a signal does that.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._turn()

    def _turn(self) -> None:
        self._next = self._loop.call_later(WAKE_SECONDS, self._turn)

    def stop(self) -> None:
        self._next.cancel()


def _tidy(loop: asyncio.AbstractEventLoop, kept: frozenset[asyncio.Task[Any]]) -> None:
    """End what a job has left on its loop beside the tasks in `kept`, within the job's timeout."""
    if left := asyncio.all_tasks(loop) - kept:
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for task in left:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("job.task_failed", task=task.get_name(), exc_info=error)
    if getattr(loop, "_asyncgens", True) and not kept:
        loop.run_until_complete(loop.shutdown_asyncgens())
        if hasattr(loop, "_asyncgens_shutdown_called"):
            loop._asyncgens_shutdown_called = False  # this loop goes on, so generators may be made again
    for number in [*getattr(loop, "_signal_handlers", ())]:
        loop.remove_signal_handler(number)
    loop.set_exception_handler(None)
    loop.set_task_factory(None)
