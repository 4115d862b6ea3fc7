"""Jobs that harm their process, or look at it: for WORKER_ISOLATION=job."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rq import get_current_job
from rq.job import Job
from structlog import get_logger

from tests.support.tasks import journal
from worker import context
from worker.retry import with_policy
from worker.settings import secrets

_left_by_earlier_jobs: list[str] = []


def spoil() -> list[Any]:
    """Leave one's marks on the process, and return those that were found there."""
    found: list[Any] = [os.getcwd() == "/", "SPOILT" in os.environ, signal.getsignal(signal.SIGTERM) == signal.SIG_IGN]
    found += [socket.getdefaulttimeout() == 7.0, sys.getrecursionlimit() == 500, *_left_by_earlier_jobs]
    os.chdir("/")
    os.environ["SPOILT"] = "yes"
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    socket.setdefaulttimeout(7.0)
    sys.setrecursionlimit(500)
    _left_by_earlier_jobs.append("a global")
    return found


def own_pid() -> int:
    return os.getpid()


def secrets_seen() -> dict[str, list[str]]:
    """The names of the service's secrets that the job finds, and that a program finds that it starts."""
    program = "import os; print(*os.environ)"
    inherited = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return {
        "job": [name for name in secrets.NAMES if name in os.environ],
        "program": [name for name in secrets.NAMES if name in inherited.split()],
    }


@with_policy(isolation="job")
def own_pid_forked() -> int:
    return os.getpid()


@with_policy(isolation="process")
def own_pid_in_consumer() -> int:
    return os.getpid()


def note_pid(job: Job, connection: Any, *_rest: Any) -> None:
    """A callback: write down in which process it runs."""
    connection.set(f"callback:{job.id}", os.getpid())


def raise_with_pid() -> None:
    raise ValueError(str(os.getpid()))


def sockets_and_connection() -> dict[str, Any]:
    """Return how many sockets this process has before it asks for Redis, and its connection's number there."""
    inherited = open_sockets()
    job = get_current_job()
    assert job is not None
    return {"inherited": inherited, "client": job.connection.client_id()}


def open_sockets() -> int:
    return sum(os.readlink(entry).startswith("socket:") for entry in _descriptors())


def _descriptors() -> list[str]:
    paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return [path for path in paths if os.path.lexists(path)]


def tell() -> str:
    """Use all that a job may use of the worker."""
    here = context.current()
    here.progress(50, "half")
    here.cache_set("forks", b"cached", 60)
    get_logger().info("forks.spoke")
    job = get_current_job()
    assert job is not None
    return f"{job.id} {here.job_id} {here.attempt} {(here.cache_get('forks') or b'').decode()}"


def start_program(path: str, how: str = "return") -> None:
    """Start a program that would run for a minute, note its pid, and end somehow."""
    program = subprocess.Popen(["sleep", "60"])
    journal(path, f"program-{program.pid}")
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    while how == "wait":
        time.sleep(0.01)
    while how == "swallow":
        try:
            time.sleep(60)
        except BaseException:
            continue


def program_of(path: Path) -> int:
    """Return the pid that `start_program` has noted."""
    return int(path.read_text().rpartition("program-")[2].split()[0])


def fork_and_die(path: str) -> None:
    """Die while a process that holds all our descriptors lives on."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    journal(path, f"program-{pid}")
    os.kill(os.getpid(), signal.SIGKILL)


def close_everything(path: str) -> str:
    """Close whatever is open, as daemons do, and open a file of one's own under the first free number."""
    os.closerange(3, 256)
    files = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(30)]
    os.write(files[0], b"mine")
    return "closed"


def stop_itself(path: str) -> None:
    journal(path, "begin")
    os.kill(os.getpid(), signal.SIGSTOP)


def save_when_cut(saved: str) -> None:
    """Write down which exception has ended this job."""
    try:
        time.sleep(60)
    except BaseException as error:
        Path(saved).write_text(type(error).__name__)
        raise


def die_once(path: str) -> int:
    """Crash in native code the first time."""
    journal(path, "begin")
    if context.current().attempt == 1:
        os.kill(os.getpid(), signal.SIGSEGV)
    return context.current().attempt


def write_into_every_pipe() -> str:
    """Write something odd into whatever pipe is open."""
    for fd in range(3, 64):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b"odd\n")
        except OSError:
            continue
    return "written"


class Odd:
    """A result that ends the process which would send it."""

    def __reduce__(self) -> Any:
        os._exit(9)


def odd_result() -> Odd:
    return Odd()


def climb(path: str) -> str:
    """Take four steps, and crash behind each that was not taken before."""
    taken: list[int] = []

    def take(number: int) -> None:
        journal(path, f"step-{number}")
        taken.append(number)

    for number in range(4):
        context.current().step(f"step {number}", take, number)
        if taken:
            os.kill(os.getpid(), signal.SIGKILL)
    return "top"
