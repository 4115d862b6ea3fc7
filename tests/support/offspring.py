"""Jobs that start processes, and tell what these inherit."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.tasks import journal

#: What a process of a job carries in its environment.
MARK = "TEST_OFFSPRING"


def terminate_child(method: str) -> int | None:
    """Terminate a process of `multiprocessing` as soon as it is there, and return how it ended."""
    process = multiprocessing.get_context(method).Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join(60)
    status = process.exitcode
    process.kill()
    return status


def leave_pool() -> str:
    """Leave a pool whose worker is busy, which terminates it."""
    with multiprocessing.get_context("fork").Pool(2) as pool:
        try:
            pool.apply_async(time.sleep, (600,)).get(timeout=0.1)
        except multiprocessing.TimeoutError:
            return "left"
    return "not reached"


def map_in_processes(method: str) -> list[int]:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        return list(executor.map(abs, [-1, -2, -3]))


def signals_of_program() -> dict[str, str]:
    """Return the masks of a program that this job executes."""
    lines = subprocess.run(
        ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    own = 0b11 << 31  # signals 32 and 33 are the C library's; whoever started the tests may have left them ignored
    return {line.split()[0]: f"{int(line.split()[1], 16) & ~own:x}".lstrip("0") for line in lines}


def in_fork(function: Callable[[], Any]) -> Any:
    """Call the function in a forked process and return what it returns."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            os.write(writer, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        found = json.loads(answer.read() or "null")
    os.waitpid(pid, 0)
    return found


def what_a_fork_inherits() -> dict[str, Any]:
    return dict(in_fork(_inherited))


def _inherited() -> dict[str, Any]:
    handlers = {
        number.name: str(signal.getsignal(number))
        for number in signal.Signals
        if signal.getsignal(number) not in (signal.SIG_DFL, None)
    }
    open_ = {fd: _named(fd) for fd in sorted(map(int, os.listdir("/proc/self/fd"))) if fd > 2}
    pipe_of_this_call = 1
    return {
        "handlers": handlers,
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "wakeup": signal.set_wakeup_fd(-1),
        "pipes": sum(name.startswith("pipe:") for name in open_.values()) - 2 * pipe_of_this_call,
        "sockets": sum(name.startswith("socket:") for name in open_.values()),
    }


def _named(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "gone"  # that of the listing itself


def keep_own_handler() -> str:
    """Set a handler, as a program does that forks workers; these inherit it."""
    before = signal.signal(signal.SIGTERM, _own_handler)
    try:
        return str(in_fork(_name_of_handler))
    finally:
        signal.signal(signal.SIGTERM, before)


def _own_handler(*_: Any) -> None: ...


def _name_of_handler() -> str:
    return str(getattr(signal.getsignal(signal.SIGTERM), "__name__", "none"))


def fork_and_return(path: str, how: str = "return") -> str:
    """Return, raise or exit in the forked process as well, as code does that forgets `os._exit`."""
    pid = os.fork()
    journal(path, "child" if pid == 0 else "parent")
    if pid == 0 and how == "raise":
        raise ValueError("in the forked process")
    if pid == 0 and how == "exit":
        sys.exit(7)
    if pid == 0:
        return "of the forked process"
    _, status = os.waitpid(pid, 0)
    return f"{how} {os.waitstatus_to_exitcode(status)}"


def callback_that_forks(job: Any, connection: Any, *_rest: Any) -> None:
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        connection.set(f"forked:{job.id}", os.waitstatus_to_exitcode(status))


def start_all(path: str, mark: str, seconds: float = 600.0, end: str = "") -> None:
    """Start a program, one below a shell, one in a session of its own, one without a parent, and a forked process."""
    environ = {**os.environ, MARK: mark}
    subprocess.Popen(["sleep", "600"], env=environ)
    subprocess.Popen("sleep 600; true", shell=True, env=environ)
    subprocess.Popen(["sleep", "600"], env=environ, start_new_session=True)
    subprocess.run("sleep 600 >/dev/null 2>&1 &", shell=True, env=environ, check=True)
    if os.fork() == 0:
        try:
            os.execvpe("sleep", ["sleep", "600"], environ)
        finally:
            os._exit(1)
    journal(path, "begin")
    if end == "die":
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "return":
        return
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if end == "swallow":
            try:
                time.sleep(0.02)
            except BaseException:
                journal(path, "swallowed")
        else:
            time.sleep(0.02)


def start_one(path: str, mark: str, gate: str) -> int:
    """Start a program and wait until the test opens the gate; return its exit code so far."""
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: mark})
    journal(path, "begin")
    while not Path(gate).exists():
        time.sleep(0.02)
    status = process.poll()
    process.kill()
    process.wait()
    return 0 if status is None else status
