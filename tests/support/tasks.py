"""Job functions for tests. Those with a journal append one line a run, so that runs can be counted."""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, StrEnum, auto
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

from redis import Redis
from rq import Retry, get_current_job
from rq.job import Job
from structlog import get_logger

from worker import context
from worker.retry import PermanentError, RetryLater, RetryPolicy, with_policy


def add(left: int, right: int) -> int:
    return left + right


def boom(message: str = "boom") -> None:
    raise ValueError(message)


def give_up() -> None:
    raise PermanentError("there is no such product")


@with_policy(RetryPolicy(max_attempts=3, base=0.01, cap=0.02))
def flaky(path: str, until: int) -> int:
    """Fail until attempt `until`."""
    attempt = context.current().attempt
    journal(path, f"attempt-{attempt}")
    if attempt < until:
        raise RuntimeError(f"attempt {attempt}")
    return attempt


@with_policy(RetryPolicy(max_attempts=3, base=0.01, cap=0.02))
def busy_server(seconds: float) -> None:
    raise RetryLater("429", after=seconds)


def journal(path: str, text: str = "") -> str:
    """Append a line to the journal; a single write, so that lines of several processes do not mix."""
    job = get_current_job()
    line = f"{job.id if job else '-'} {text} {os.getpid()} {time.time():.6f}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
    return line


def runs(path: Path) -> Counter[str]:
    """Return how often each job has begun, by a journal. A job that is claimed, "started" in RQ's words, has not."""
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.split()[0] for line in lines if line.split()[1] == "begin")


def journal_and_sleep(path: str, seconds: float) -> None:
    journal(path, "begin")
    time.sleep(seconds)
    journal(path, "end")


def journal_and_wait(path: str, gate: str) -> None:
    """Run until the test opens the gate, however slow the machine is: until there is such a file."""
    journal(path, "begin")
    while not os.path.exists(gate):
        time.sleep(0.02)
    journal(path, "end")


def journal_and_meet(path: str, begun: int, seconds: float = 60.0) -> None:
    """Wait, with the interpreter free, until so many jobs have begun; their lines stand before the first "end"."""
    journal(path, "begin")
    deadline = time.monotonic() + seconds
    while runs(Path(path)).total() < begun:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{runs(Path(path)).total()} of {begun} jobs have begun")
        time.sleep(0.02)
    journal(path, "end")


def freeze(path: str, begun: int = 1) -> None:
    """Stop the process in the midst of this job (SIGSTOP), as soon as so many jobs of the journal have begun."""
    journal(path, "begin")
    while len(runs(Path(path))) < begun:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)  # the signal stops one thread after the other


def grow(megabytes: int) -> int:
    """Use memory, really: each page is written. It is kept until the process ends, as a leak is."""
    block = bytearray(megabytes * 2**20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    _leaked.append(block)
    return megabytes


_leaked: list[bytearray] = []


def noise(megabytes: int) -> bytes:
    """Return as much as asked, which does not compress."""
    return os.urandom(megabytes * 1_000_000)


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def nap_in_steps(seconds: float) -> float:
    """Sleep in steps, so that an exception from outside gets through in a thread too."""
    for _ in range(int(seconds * 20)):
        time.sleep(0.05)
    return seconds


def spin(seconds: float) -> float:
    """Keep the interpreter busy."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds


def swallow(path: str = os.devnull) -> None:
    """Swallow every exception, a timeout's too, once the journal says that it has begun."""
    while True:
        try:
            journal(path, "begin")
            while True:
                time.sleep(0.01)
        except Exception:
            continue


def stuck_in_native_code(path: str = os.devnull) -> None:
    """Wait for ever in native code for a lock taken twice, holding the interpreter: no Python signal handler runs."""
    journal(path, "begin")
    libc = ctypes.PyDLL(None)  # keeps the interpreter while it calls
    lock = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)


def die(path: str = "", number: int = signal.SIGKILL) -> None:
    if path:
        journal(path, "die")
    os.kill(os.getpid(), number)


def hear_signals(path: str, number: int) -> None:
    """Put a handler of its own in the place of the consumer's, and write down each signal that comes."""
    signal.signal(number, lambda *_: journal(path, "heard"))
    journal(path, "begin")
    time.sleep(60)


def exit_now(code: int) -> None:
    os._exit(code)


def journal_and_say(path: str, text: str, seconds: float) -> str:
    """Append "begin", work, append "end": the body of a step or of an item."""
    journal(path, f"begin:{text}")
    time.sleep(seconds)
    journal(path, f"end:{text}")
    return text


def long_job(path: str, steps: int, items: int, seconds: float) -> int:
    """Do steps, then go through items, each some seconds long."""
    job = context.current()
    journal(path, "run")
    for number in range(steps):
        job.step(f"step:{number}", journal_and_say, path, f"step-{number}", seconds)
    for item in job.resume("items", range(items)):
        journal_and_say(path, f"item-{item}", seconds)
    return steps + items


def count_in_steps(path: str, steps: int, fail_before: int = -1) -> list[Any]:
    """Return what some steps return; the first run raises before one of them."""
    job = context.current()
    done = []
    for number in range(steps):
        if number == fail_before and job.attempt == 1:
            raise ValueError("in the midst of it")
        done.append(job.step(f"step:{number}", journal_and_say, path, str(number), 0.0))
    return done


def count_items(path: str, items: int, fail_at: int = -1) -> Any:
    """Go through items; the first run raises in the midst of one of them."""
    job = context.current()
    for item in job.resume("items", range(items)):
        journal(path, f"begin:{item}")
        if item == fail_at and job.attempt == 1:
            raise ValueError("in the midst of it")
    return job.cursor("items").value


async def count_in_async_steps(path: str, fail: bool = False) -> list[Any]:
    """Return what two coroutine functions return, which run beside each other as steps."""
    job = context.current()

    async def say(text: str) -> str:
        return journal_and_say(path, text, 0.0)

    import asyncio

    done = await asyncio.gather(job.step("a", say, "a"), job.step("b", say, "b"))
    if fail and job.attempt == 1:
        raise ValueError("after both")
    return [*done, await job.step("c", say, "c")]


def step_that_returns(name: str, value: Any) -> Any:
    return context.current().step(name, lambda: value)


def steps_and_look(path: str) -> str:
    """Do a step, let the test look, and go on with steps and checks until something ends that."""
    job = context.current()
    job.step("first", journal_and_say, path, "first", 0.0)
    look()
    try:
        job.step("second", journal_and_say, path, "second", 0.0)
        journal(path, "begin:third")
    except Exception:
        return "swallowed"
    return "went on"


def steps_and_a_cursor(steps: int, place: Any) -> None:
    """Do steps, move a cursor, and fail."""
    job = context.current()
    for number in range(steps):
        job.step(f"step:{number}", dict, number=number)
    job.cursor("pages").advance(place)
    job.log("seven steps are done")
    raise ValueError("boom")


def delete_in_a_step() -> None:
    """Do a step, delete the job as RQ does, and go on."""
    job = context.current()
    job.step("first", lambda: 1)
    delete_itself()
    job.step("second", lambda: 2)


def step_behind_a_gate(path: str, gate: str) -> None:
    """Do a step that ends when the gate is open; say when that is over."""

    def work() -> None:
        journal(path, "begin:a")
        while not os.path.exists(gate):
            time.sleep(0.02)

    try:
        context.current().step("a", work)
    finally:
        Path(f"{gate}.over").touch()


def checks_until_it_ends(path: str) -> None:
    """Say that it may be left, again and again, and that nothing but that ends it."""
    job = context.current()
    journal(path, "begin")
    while True:
        job.check()
        try:
            time.sleep(0.02)
        except BaseException:
            continue


async def double(value: int) -> int:
    return value * 2


def set_meta(key: str, value: Any) -> None:
    job = get_current_job()
    assert job is not None
    job.meta[key] = value
    job.save_meta()


def current_job_id() -> str | None:
    job = get_current_job()
    return job.id if job else None


def returns_retry(max_retries: int, interval: int = 0) -> Retry:
    return Retry(max=max_retries, interval=interval)


def unserialisable() -> Any:
    return lambda: None


class Vicious:
    """A value that does harm when it is serialized."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> str:
        if self.how == "die":
            os._exit(3)
        while self.how == "hang":
            time.sleep(0.01)
        raise SystemExit(self.how)


def vicious(how: str) -> Any:
    return Vicious(how)


def checkpoint(saved: str, path: str) -> None:
    """Save a checkpoint when the service stops, and let the stop go on."""
    from worker.context import ShutdownRequested

    try:
        journal(path, "begin")
        time.sleep(60)
    except ShutdownRequested:
        Path(saved).write_text("saved")
        raise


def on_success(job: Any, connection: Any, result: Any) -> None:
    connection.set(f"callback:{job.id}", repr(result))


def on_failure(job: Any, connection: Any, kind: Any, value: Any, trace: Any) -> None:
    connection.set(f"callback:{job.id}", kind.__name__)


#: Called by the jobs that let a test look at Redis while they run.
observer: Callable[[Redis], None] | None = None


def look(value: Any = None, error: str = "") -> Any:
    """Let the test look, then raise or return."""
    job = get_current_job()
    assert job is not None
    if observer is not None:
        observer(job.connection)
    if error:
        raise ValueError(error)
    return value


def cancel_itself(error: str = "") -> str:
    job = get_current_job()
    assert job is not None
    Job.fetch(job.id, connection=job.connection).cancel()
    return look("canceled", error)


def delete_itself() -> str:
    job = get_current_job()
    assert job is not None
    Job.fetch(job.id, connection=job.connection).delete()
    return "deleted"


def retry_then(value: Any, times: int, interval: int = 0) -> Any:
    """Return `Retry` for the first `times` runs, then `value`."""
    job = get_current_job()
    assert job is not None
    return value if (job.number_of_retries or 0) >= times else Retry(max=times, interval=interval)


class Greeter:
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    def greet(self, name: str) -> str:
        return f"{self.greeting}, {name}"


@dataclass(frozen=True, slots=True)
class Parcel:
    name: str
    weights: list[float]


class Size(StrEnum):
    LARGE = "l"


class Marks(Flag):
    FRAGILE = auto()
    URGENT = auto()


def cookies(text: str) -> SimpleCookie:
    """Return what is neither plain data nor a class of the job packages."""
    return SimpleCookie(text)


def reads_its_parent() -> Any:
    """Return what the job that this one waited for has returned."""
    job = get_current_job()
    assert job is not None
    return job.fetch_dependencies()[0].return_value()


def divide(left: float, right: float) -> float:
    """Divide as floating-point hardware does."""
    return left / right if right else math.copysign(math.inf, left) if left else math.nan


def as_number(text: str) -> float:
    return float(text)


def note_ratio(left: float, right: float) -> None:
    """Write the ratio into the job's meta, and report it as progress."""
    context.current().progress(divide(left, right), "dividing")
    set_meta("ratio", divide(left, right))


class Shy:
    """An argument that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Unprintable(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def speechless() -> None:
    raise Unprintable


def odd_characters() -> None:
    """Raise what a file name that is not UTF-8 looks like in an error message."""
    raise ValueError(os.fsdecode(b"no such file: caf\xe9"))


def asks_another_redis(job: Any, connection: Any, *rest: Any) -> None:
    """Ask a server that is not there."""
    Redis(port=1).ping()


def raising_callback(job: Any, connection: Any, *rest: Any) -> None:
    raise LookupError("the callback failed")


def on_stopped(job: Any, connection: Any) -> None:
    connection.set(f"callback:{job.id}", "stopped")


def leave() -> None:
    raise SystemExit(3)


def parse(text: str) -> Any:
    return json.loads(text)


def spoil_meta() -> None:
    """Put something into the job's meta that no serializer takes, and fail."""
    job = get_current_job()
    assert job is not None
    job.meta["lock"] = lambda: None
    raise ValueError("boom")


def tell_who_i_am(seconds: float) -> str | None:
    """Log a line of one's own in the midst of others', and return which job RQ says is running here."""
    time.sleep(seconds)
    get_logger().info("task.spoke")
    time.sleep(seconds)
    return current_job_id()


def fail_after(seconds: float, message: str) -> None:
    nap_in_steps(seconds)
    raise ValueError(message)


@with_policy(RetryPolicy(max_attempts=2, base=0.0, cap=0.0))
def journal_twice(path: str, after: float) -> None:
    """Run twice, the second time `after` seconds later."""
    journal(path, str(context.current().attempt))
    if context.current().attempt == 1:
        raise RetryLater("once more", after=after)


def meet(pair: str, error: str = "") -> None:
    """Begin when the other job of the pair has begun, in another process, and end with it."""
    job = get_current_job()
    assert job is not None
    begun = job.connection.incr(f"meet:{pair}")
    deadline = time.monotonic() + 60
    while begun < 2 and time.monotonic() < deadline:
        begun = int(job.connection.get(f"meet:{pair}"))
    if error:
        raise ValueError(error)


def journal_and_return(path: str, gate: str, error: str = "") -> None:
    """Return, or raise, at once; `callback_behind_a_gate` takes its time."""
    journal(path, "begin")
    if error:
        raise RuntimeError(error)


def callback_behind_a_gate(job: Any, connection: Any, *rest: Any) -> None:
    """Run as a callback of `journal_and_return` until the test opens the gate."""
    path, gate = job.args[:2]
    with open(path, "a") as file:
        file.write(f"{job.id} callback {os.getpid()}\n")
    while not os.path.exists(gate):
        time.sleep(0.02)


def callback_that_exits(job: Any, connection: Any, *rest: Any) -> None:
    sys.exit("that was all")


def hold_interpreter(path: str, pipe: str) -> None:
    """Hold Python's lock until the test opens the named pipe: no thread of this process runs meanwhile."""
    journal(path, "begin")
    libc = ctypes.PyDLL(None)  # keeps the interpreter while it calls
    while libc.open(pipe.encode(), os.O_RDONLY) < 0:
        pass  # a signal has interrupted it


def say(*lines: str, error: str = "") -> int:
    """Log some lines, and half-way the progress."""
    ctx = context.current()
    for number, line in enumerate(lines):
        ctx.log(line)
        if 2 * number + 2 == len(lines):
            ctx.progress(50, "half")
    if error:
        raise ValueError(error)
    return look(len(lines))


def say_much(seconds: float) -> int:
    """Log as fast as one can for so long; returns how many lines that were."""
    said, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        said += 1
        context.current().log(f"line {said}")
    return said


def say_from_a_fork() -> None:
    """Let a process that the job forks say something, too."""
    context.current().log("mine")
    if (pid := os.fork()) == 0:
        context.current().log("its child's")
        os._exit(0)
    os.waitpid(pid, 0)
