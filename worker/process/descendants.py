"""The processes that jobs have started: found through ``/proc``, and ended when their job is ended from outside.

A stop, a timeout, a hard stop and a kill end a job's processes with it, as RQ does by killing the group of its
work-horse; those of a job that returns or raises live on, as with RQ. Found are the children and all below them, new
sessions included, and what has lost its parent as long as it stayed in the session that every consumer leads.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final

_PROC: Final = Path("/proc")
#: linux/wait.h: ask only for children that the calling thread has started.
_WNOTHREAD: Final = 0x20000000
#: How often to look for what was started while the rest was killed.
_LOOKS: Final = 5
#: How long to wait until the killed ones can be reaped.
_REAP_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Process:
    """One line of ``/proc/<pid>/stat``; `started` is in clock ticks since the machine's start."""

    pid: int
    parent: int
    session: int
    started: int


def of(pid: int) -> set[int]:
    """Return every living process below `pid`, and those of the session that it leads."""
    found = list(_living())
    return _below({pid}, found) | {one.pid for one in found if one.session == pid != one.pid}


def kill_all(pids: Iterable[int]) -> None:
    """SIGKILL processes that may be gone by now."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def end_tree(leader: int) -> None:
    """Kill a process that leads a session, with all that it has started; it has not been waited for."""
    started = of(leader)  # as long as it lives, one can tell what is below it
    kill_all([leader])
    kill_all(started)
    end_session(leader)


def end_session(leader: int) -> None:
    """Kill what is left of the session and the group of a process that has died, or is about to."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    kill_all(of(leader))


def kill_started(since: float, *, by_thread: bool) -> int:
    """Kill what this process has started since `since` (monotonic), and all below it; returns how many there were.

    `by_thread`: only what the calling thread has started, because others run jobs beside it. What has lost its parent
    cannot be told apart then, and stays.
    """
    own = os.getpid()
    leads = not by_thread and os.getsid(0) == own
    moment = (time.clock_gettime(time.CLOCK_BOOTTIME) - monotonic() + since) if _PROC.exists() else 0.0
    ticks = int(moment * os.sysconf("SC_CLK_TCK"))
    killed: set[int] = set()
    children: set[int] = set()
    for _ in range(_LOOKS):
        found = list(_living())
        roots = {
            one.pid
            for one in found
            if one.started >= ticks
            and one.pid != own
            and ((one.parent == own and (not by_thread or _is_this_threads(one.pid))) or (leads and one.session == own))
        }
        doomed = roots | _below(roots, found)
        if not doomed:
            break
        kill_all(doomed)
        killed |= doomed
        children |= {one.pid for one in found if one.pid in roots and one.parent == own}
    _reap(children)
    return len(killed)


def _is_this_threads(pid: int) -> bool:
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WNOTHREAD)
    except OSError:
        return False
    return True


def _reap(children: set[int]) -> None:
    """Collect children that were killed, so that they do not stay as zombies; the job that wanted to has ended."""
    until = monotonic() + _REAP_SECONDS
    while children and monotonic() < until:
        for pid in [*children]:
            try:
                gone = os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:
                gone = True
            if gone:
                children.discard(pid)
        if children:
            time.sleep(0.002)


def _below(roots: set[int], found: list[Process]) -> set[int]:
    below: set[int] = set()
    frontier = roots
    while frontier:
        frontier = {one.pid for one in found if one.parent in frontier} - below - roots
        below |= frontier
    return below


def _living() -> Iterator[Process]:
    """Every process that is no zombie; none where there is no ``/proc``."""
    for entry in os.scandir(_PROC) if _PROC.exists() else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is not ours to look at
                stat = Path(entry.path, "stat").read_bytes()
                fields = stat[stat.rindex(b")") + 2 :].split()  # the name, in brackets, may hold anything
                if fields[0] not in (b"Z", b"X"):
                    yield Process(int(entry.name), int(fields[1]), int(fields[3]), int(fields[19]))
