"""Looking at processes through ``/proc``, and ending what a test leaves behind.

A dead child that nobody reaped yet (a zombie) counts as dead everywhere here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.waiting import PATIENCE_SECONDS, eventually

_PROC = Path("/proc")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def is_alive(pid: int) -> bool:
    """Tell whether the process exists and is not a zombie."""
    try:
        return _stat(pid)[0] not in "ZX"
    except _GONE:
        return False


def children(pid: int) -> list[int]:
    """Return the living direct children of a process, lowest pid first."""
    return [child for child, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> list[int]:
    """Return every living process below `pid`, parents before their children."""
    parents = _parents()
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for child, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def with_environment(name: str, value: str) -> list[int]:
    """Return the living processes that were started with ``name=value``, wherever they were reparented to.

    Forked children keep their parent's environment, so one mark finds a whole tree, orphans and new sessions included.
    `Popen` may return before the new program has its environment: such a process is waited for.
    """
    mark = f"{name}={value}".encode()
    found = []
    for pid in _pids():
        with contextlib.suppress(*_GONE):
            if mark in _environment(pid).split(b"\0") and is_alive(pid):
                found.append(pid)
    return found


def kill_all(pids: Iterable[int], *, timeout: float = PATIENCE_SECONDS) -> None:
    """SIGKILL processes (stopped ones too) and wait until none of them is alive."""
    doomed = list(pids)
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, doomed)), timeout, what=f"the death of {doomed}")


def rss(pid: int) -> int:
    """Return the resident memory of one process in bytes, 0 when it is gone."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except _GONE:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def pss(pid: int) -> int:
    """Return the proportional memory of one process in bytes (shared pages count by their share), 0 when gone."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except _GONE:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def tree_pss(pid: int) -> int:
    """Return the proportional memory of a process and all its descendants in bytes."""
    return sum(map(pss, [pid, *descendants(pid)]))


def belong_to_the_tests() -> None:
    """A ``preexec_fn`` for `Popen`: the process dies with the thread that started it, and hears every signal.

    What runs the tests may ignore some, and children inherit that: `nohup` does with SIGHUP, a shell without job
    control with SIGINT and SIGQUIT of what it starts in the background, as CI systems do.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _environment(pid: int) -> bytes:
    """Return what a process was started with, once it is there."""
    path = _PROC / str(pid) / "environ"
    while not (environment := path.read_bytes()) and _is_in_exec(pid):
        time.sleep(0.001)
    return environment or path.read_bytes()  # it may have come between the two looks


def _is_in_exec(pid: int) -> bool:
    """Tell whether execve(2) has given the process its new memory, but not yet an environment; see proc(5)."""
    fields = _fields(pid)
    memory, end_of_environment = int(fields[20]), int(fields[48])  # a kernel thread has neither
    return memory > 0 and end_of_environment == 0


def _pids() -> list[int]:
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _parents() -> dict[int, int]:
    """Map each living process to its parent."""
    parents = {}
    for pid in _pids():
        with contextlib.suppress(*_GONE):
            state, parent = _stat(pid)
            if state not in "ZX":
                parents[pid] = parent
    return parents


def _stat(pid: int) -> tuple[str, int]:
    """Return a process's state letter and its parent; see proc(5), fields 3 and 4."""
    fields = _fields(pid)
    return fields[0], int(fields[1])


def _fields(pid: int) -> list[str]:
    """Return the fields of a process's stat from the third on: the second, a name, may hold anything."""
    text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    return text[text.rindex(")") + 2 :].split()
