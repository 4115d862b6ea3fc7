"""RQ's private names that this service uses, all of them: an upgrade of RQ is checked here.

Each is for something that RQ 3.0 does not offer in public. Methods of RQ's worker that `Consumer` overrides are in
``consumer/loop.py``, where RQ calls them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token
from datetime import datetime
from importlib import import_module
from traceback import walk_tb
from types import ModuleType
from typing import Any, Final, TypeAlias

from redis import Redis
from redis.client import Pipeline
from rq import utils
from rq.callbacks import execute_failure_callback, execute_success_callback
from rq.executions import Execution
from rq.job import Job, JobStatus, _current_job
from rq.queue import Queue
from rq.worker import BaseWorker

#: Modules of RQ that ask for the time by the name `now`, and what they ask.
_CLOCKED: Final = tuple(
    import_module(f"rq.{name}")
    for name in ("executions", "job", "queue", "rate_limit", "repeat", "results", "utils", "worker.base")
)
_RQS_NOW: Final = utils.now

#: What the interpreter raised: (class, error, traceback).
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, Any]


def new_job(job_id: str, connection: Redis, serializer: Any) -> Job:
    """Make a job with any id: RQ's own check refuses odd ones, which may be why the job is handled."""
    job = Job(connection=connection, serializer=serializer)
    job._id = job_id
    return job


def read_payload(job: Job) -> None:
    """Read the payload into the job; raises RQ's `DeserializationError`."""
    job._deserialize_data()


def function_name(job: Job) -> Any:
    """Return the name of what the job calls; a hostile payload may hold something that is no text."""
    return job._func_name


def set_call(job: Job, name: str) -> None:
    """Let the job have a function's name and no arguments, without reading its payload."""
    job._func_name, job._instance, job._args, job._kwargs = name, None, (), {}


def instance(job: Job) -> Any:
    """Return the object whose method the job calls; None where it calls a function."""
    return job._instance


def arguments(job: Job) -> tuple[Any, Any]:
    """Return the positional and the named arguments."""
    return job._args, job._kwargs


def set_status(job: Job, status: JobStatus) -> None:
    """Set the status of the object, not of the hash."""
    job._status = status


def meta_is_readable(job: Job) -> bool:
    """Whether RQ could read the job's meta."""
    return job._unreadable_meta is None


def stored_meta(job: Job) -> bytes:
    """Return the meta as it was read; what RQ could not read it keeps."""
    stored: bytes = job._unreadable_meta or getattr(job, "_stored_meta", b"")
    return stored


def callback_names(job: Job) -> tuple[str | None, str | None, str | None]:
    """Return the names of the callbacks for success, failure and stop."""
    return job._success_callback_name, job._failure_callback_name, job._stopped_callback_name


def set_callbacks(job: Job, success: Any, failure: Any, stopped: Any) -> None:
    """Put callbacks where RQ keeps those that it has imported; it would import whatever the hash names."""
    job._success_callback, job._failure_callback, job._stopped_callback = success, failure, stopped


def enter_job(job: Job) -> Token[Any]:
    """Let `rq.get_current_job` return the job in this context, until `leave_job`."""
    token: Token[Any] = _current_job.set(job)
    return token


def leave_job(token: Token[Any]) -> None:
    """Undo `enter_job`."""
    _current_job.reset(token)


def enqueue(queue: Queue, job: Job, pipeline: Pipeline, *, at_front: bool) -> None:
    """Put a job on its queue in somebody's transaction, whatever its dependencies."""
    queue._enqueue_job(job, pipeline=pipeline, at_front=at_front)


def execution_of(job: Job, execution_id: str, connection: Redis, worker_name: str) -> Execution:
    """Return the execution that a worker has begun."""
    execution = Execution(execution_id, job.id, connection, worker_name=worker_name)
    execution._job = job
    if job.started_at is not None:
        execution.created_at = job.started_at
    return execution


def raised_by_callback(error: BaseException) -> bool:
    """Whether an error came out of a job's callback, not out of RQ's code around it."""
    callbacks = (execute_success_callback.__code__, execute_failure_callback.__code__)
    return any(frame.f_code in callbacks for frame, _ in walk_tb(error.__traceback__))


def exception_handlers(worker: BaseWorker) -> list[Callable[..., Any]]:
    """Return the worker's handlers of exceptions."""
    handlers: list[Callable[..., Any]] = worker._exc_handlers
    return handlers


def finalize_success(worker: BaseWorker, job: Job, queue: Queue, execution: Execution, value: Any) -> None:
    """End a job that returned `value`, as RQ does: callbacks, dependents, repeats, webhooks."""
    worker._finalize_success(job, queue, execution, value)


def finalize_failure(worker: BaseWorker, job: Job, queue: Queue, execution: Execution, exc_info: ExcInfo) -> None:
    """End a job that raised, as RQ does."""
    worker._finalize_failure(job, queue, execution, exc_info)


def note_stopped(worker: BaseWorker, job_id: str) -> None:
    """Let RQ take the end of the job for a stop by order."""
    worker._stopped_job_id = job_id


def note_ip_address(worker: BaseWorker, connection: Redis) -> None:
    """Ask the server which address the worker has, for its record."""
    worker._set_ip_address(connection)


def start_scheduler(worker: BaseWorker, *, burst: bool, logging_level: str | None) -> None:
    """Start RQ's scheduler beside the worker."""
    worker._start_scheduler(burst, logging_level)


def registered_cron_lines(cron: ModuleType) -> list[dict[str, Any]]:
    """Return the list in which RQ's module `cron` collects what `register` is called with."""
    lines: list[dict[str, Any]] = cron._job_data_registry
    return lines


def set_cron_jobs(scheduler: Any, jobs: list[Any]) -> None:
    """Give a `CronScheduler` its jobs without registering them."""
    scheduler._cron_jobs = jobs


def use_clock(now: Callable[[], datetime] | None) -> None:
    """Have RQ's code stamp and schedule by `now`, in this process; None: by this machine's clock, as it was."""
    for module in _CLOCKED:
        vars(module)["now"] = now or _RQS_NOW
