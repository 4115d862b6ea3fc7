"""The processes that a peer's start command left running: found, weighed, ended.

Workers are known by a mark in the environment that they were started with, which every fork and exec below
inherits. So no process escapes that changed its session, lost its parent or was forked a moment ago, and
none of anybody else's is ever touched.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

MARK = "BENCH_RUN"
_TICKS = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


def members(mark: str) -> list[int]:
    """Return the pids of all living processes that carry `mark`."""
    needle = f"{MARK}={mark}".encode()
    return [pid for pid in _all_pids() if needle in _read(pid, "environ").split(b"\0")]


def pss_mb(mark: str) -> tuple[float, int]:
    """Return the proportional memory, in MB (10⁶ bytes), and the number of processes that carry `mark`."""
    pids = members(mark)
    sizes = [_PSS.search(_read(pid, "smaps_rollup")) for pid in pids]
    return sum(int(size[1]) * 1024 for size in sizes if size) / 1e6, len(pids)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have used, with that of their children that they have waited for."""
    used = 0.0
    for pid in pids:
        fields = _read(pid, "stat").rpartition(b")")[2].split()
        used += sum(map(int, fields[11:15])) / _TICKS
    return used


def end(root: subprocess.Popen[bytes], mark: str) -> None:
    """Kill every process that carries `mark`, until none is left.

    Raises:
        RuntimeError: some still lived after 10 s.
    """
    deadline = time.monotonic() + 10
    while pids := members(mark):
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes of the run {mark} survive SIGKILL: {pids}")
        root.poll()
        time.sleep(0.02)
    root.wait(timeout=10)


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it ended meanwhile, or is another user's
        return b""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
