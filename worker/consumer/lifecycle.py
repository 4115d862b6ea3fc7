"""The hooks of the job packages: the module ``lifecycle`` of a package in WORKER_JOB_MODULES may define any of

    def consumer_started(consumer: ConsumerContext) -> None
    def consumer_stopping(consumer: ConsumerContext) -> None
    def before_job(job: JobContext) -> None
    def after_job(job: JobContext, error: BaseException | None) -> None

or the same as coroutine functions. A module that is found by its name, like ``schedule``: a decorator would be known
only once the module that uses it has been imported, and in the order of imports. ``docs/lifecycle.md`` is the manual.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from worker import logs
from worker.consumer.cannot_serve import CannotServe
from worker.consumer.event_loop import EventLoops
from worker.consumer.main_thread import JobTimeout
from worker.context import ConsumerContext, JobContext, ShutdownRequested
from worker.engine import dead_letter
from worker.engine.raised import presentable
from worker.process import forked
from worker.process.signals import Child
from worker.text import bounded

log = logs.get_logger()

MODULE: Final = "lifecycle"
#: How many arguments each hook gets.
HOOKS: Final = {"consumer_started": 1, "consumer_stopping": 1, "before_job": 1, "after_job": 2}
#: The longest time for the hooks of a start, or of an end; a process that does not tick for 60 s is taken for stuck.
MOST_SECONDS: Final = 50.0
#: The time for those of an end when the grace is over.
HARD_STOP_SECONDS: Final = 1.0


class LifecycleError(CannotServe):
    """A hook cannot be used, or has failed; the message is a sentence."""


class HookTimeout(Exception):
    """A hook of the consumer has taken too long."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Those of one package; what it does not define is None."""

    module: str
    consumer_started: Callable[[ConsumerContext], Any] | None = None
    consumer_stopping: Callable[[ConsumerContext], Any] | None = None
    before_job: Callable[[JobContext], Any] | None = None
    after_job: Callable[[JobContext, BaseException | None], Any] | None = None


def load(packages: Sequence[str]) -> list[Hooks]:
    """Import the hooks of the packages, in their order, and check them; raises `LifecycleError`."""
    return [_read(f"{package}.{MODULE}") for package in packages if _exists(package)]


class Lifecycle:
    """Calls the hooks of one consumer: those of the packages in their order, at an end in the reverse order.

    `grace` is for the hooks of an end, in seconds. Everything but `around` is for the main thread.
    """

    def __init__(self, packages: Sequence[Hooks], consumer: ConsumerContext, child: Child, grace: float) -> None:
        self._packages = packages
        self._consumer = consumer
        self._child = child
        self._grace = grace
        self._started: list[Hooks] = []
        self.loops = EventLoops()
        self.around_jobs = any(hooks.before_job or hooks.after_job for hooks in packages)
        for hooks in packages:
            _refuse_coroutines(hooks, consumer.threads)

    def start(self) -> None:
        """Call each `consumer_started`. Raises `LifecycleError` for one that fails or hangs: we cannot serve."""
        until = monotonic() + MOST_SECONDS
        for hooks in self._packages:
            if hooks.consumer_started is not None:
                try:
                    self._call_within(until, hooks.consumer_started)
                except ShutdownRequested:
                    return
                except BaseException as error:
                    self.stop()
                    raise LifecycleError(
                        f"{hooks.module}.consumer_started failed ({_words(error)}), so this consumer cannot serve. "
                        f"Correct it, or have it wait for what it needs."
                    ) from error
            self._started.append(hooks)

    def stop(self) -> None:
        """Call `consumer_stopping` of all that have started; what one raises is logged, and the others follow."""
        seconds = HARD_STOP_SECONDS if self._child.hard else min(MOST_SECONDS, max(HARD_STOP_SECONDS, self._grace))
        until = monotonic() + seconds
        while self._started:
            hooks = self._started.pop()
            if hooks.consumer_stopping is not None:
                try:
                    self._call_within(until, hooks.consumer_stopping)
                except BaseException as error:  # noqa: BLE001 — whatever it raises, the consumer ends
                    _log_failure(hooks, "consumer_stopping", error)

    def around(
        self, job: JobContext, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call a job's function between its hooks, in its thread and on its clock; returns and raises what it does.

        What `before_job` raises is raised in the function's place. What `after_job` raises is logged; it follows where
        the `before_job` of its package, if there is one, has returned.
        """
        begun: list[Hooks] = []
        error: BaseException | None = None
        try:
            for hooks in self._packages:
                if hooks.before_job is not None:
                    self._call(hooks.before_job, job)
                begun.append(hooks)
            return self._call(function, *args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            forked.end_if_strayed(error)
            for hooks in reversed(begun):
                if hooks.after_job is not None:
                    self._call_after(hooks, job, error)
            error = None  # or it would hold this frame, which holds it

    def _call_after(self, hooks: Hooks, job: JobContext, error: BaseException | None) -> None:
        assert hooks.after_job is not None  # noqa: S101 — the caller has looked
        try:
            self._call(hooks.after_job, job, error)
        except BaseException as failure:  # noqa: BLE001 — an end of the job that comes now comes too late
            forked.end_if_strayed(failure)
            _log_failure(hooks, "after_job", failure)

    def _call_within(self, until: float, hook: Callable[[ConsumerContext], Any]) -> None:
        seconds = max(0.1, until - monotonic())
        try:
            with JobTimeout(seconds, HookTimeout), self._interruptible():
                value = hook(self._consumer)
                if inspect.iscoroutine(value):
                    self.loops.run(value, keep_tasks=True)
        except HookTimeout as late:
            late.args = (f"it had not returned after {seconds:.3g} seconds",)
            raise

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        value = function(*args, **kwargs)
        return self.loops.run(value) if inspect.iscoroutine(value) else value

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let a hard stop that comes now raise `ShutdownRequested`."""
        self._child.interruptible = not self._child.hard
        try:
            yield
        finally:
            self._child.interruptible = False


def _exists(package: str) -> bool:
    try:
        found = importlib.import_module(package)
        return hasattr(found, "__path__") and importlib.util.find_spec(f"{package}.{MODULE}") is not None
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{package}.".startswith(f"{error.name}."):
            return False  # there is no such package: its jobs say so
        raise _cannot_import(package, error) from error


def _read(name: str) -> Hooks:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        raise _cannot_import(name, error) from error
    found = {hook: getattr(module, hook) for hook in HOOKS if hasattr(module, hook)}
    for hook, function in found.items():
        _check(f"{name}.{hook}", function, HOOKS[hook])
    if not found:
        log.warning("lifecycle.no_hooks", module=name, hooks=list(HOOKS))
    return Hooks(name, **found)


def _check(name: str, function: Any, count: int) -> None:
    wants = "the job's context and its error or None" if count == 2 else "one argument"
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError as error:
        raise LifecycleError(f"{name} cannot be called with {wants} ({error}). Define it so.") from error
    except ValueError:
        pass  # it does not tell what it takes


def _refuse_coroutines(hooks: Hooks, threads: int) -> None:
    for name, hook in (("consumer_started", hooks.consumer_started), ("consumer_stopping", hooks.consumer_stopping)):
        if threads > 1 and inspect.iscoroutinefunction(hook):
            raise LifecycleError(
                f"{hooks.module}.{name} is a coroutine function, and with WORKER_THREADS={threads} each thread has an "
                f"event loop of its own, so no job could use what it opens. Open it in before_job, or when it is first "
                f"used, in each thread; or set WORKER_THREADS=1."
            )


def _cannot_import(name: str, error: Exception) -> LifecycleError:
    return LifecycleError(
        f"{name} cannot be imported ({type(error).__name__}: {error}). Correct it, or remove the file."
    )


def _log_failure(hooks: Hooks, name: str, error: BaseException) -> None:
    log.error("lifecycle.hook_failed", hook=f"{hooks.module}.{name}", error=_words(error), exc_info=presentable(error))


def _words(error: BaseException) -> str:
    if isinstance(error, ShutdownRequested):
        return "the grace of the stop was over"
    text = bounded(dead_letter.words(presentable(error)), 500)
    return text if isinstance(error, HookTimeout) else f"{type(error).__name__}: {text}"
