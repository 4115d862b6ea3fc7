"""Jobs that take from their consumer what it needs."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from tests.support.tasks import journal

_open: list[int] = []


def note(path: str, gate: str = "") -> None:
    """Write that it runs; wait for a gate, if there is one."""
    journal(path, "begin")
    while gate and not Path(gate).exists():
        time.sleep(0.01)


def close_descriptors(path: str, end: int) -> str:
    """Do what old recipes for daemons do, and take the numbers for files of one's own."""
    os.closerange(3, end)
    _open.extend(os.open(os.devnull, os.O_RDWR) for _ in range(20))
    journal(path, "begin")
    return "closed"


def open_descriptors(path: str, count: int) -> None:
    """Keep so many files open that the next numbers are beyond what `select` takes."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(4096, count + 100) if hard < 0 else hard, hard))
    _open.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(count))
    journal(path, "begin")


def be_deaf(what: str) -> None:
    """Let TERM come to nothing in this process."""
    if what == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif what == "raise":
        signal.signal(signal.SIGTERM, _raise)
    else:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def _raise(*_: Any) -> None:
    raise RuntimeError("the job's own handler")


def ask_to_stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


def move(job: Any, connection: Any, *_rest: Any) -> None:
    """A callback that changes the working directory."""
    os.chdir("/")


def where() -> str:
    return os.getcwd()


def look_on(job: Any, connection: Any, *_rest: Any) -> None:
    """A callback that has a time limit."""


def set_alarm(path: str) -> bool:
    """Start a timer and wait until it has rung."""
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    journal(path, "begin")
    while signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        time.sleep(0.01)
    return True
