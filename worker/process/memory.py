"""How much memory a process uses, what its container may use, and whether the kernel has killed for lack of it.

A process that exceeds its container's memory limit gets a SIGKILL and no explanation. The kernel counts these kills for
the control group: version 2 in ``memory.events``, version 1 in ``memory.oom_control``
(Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst). Where neither can be read, we cannot explain a kill.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
#: A limit above this means none: version 1 shows 2^63 minus a page.
_NO_LIMIT_BYTES: Final = 1 << 60


def resident_mb(pid: int) -> int:
    """Return a process's resident memory in MB; 0 when it is gone, or the system has no /proc."""
    return (resident_bytes(pid) or 0) // 1_000_000


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of process `pid` in bytes, None when it is gone, or the system has no /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return None


def proportional_bytes(pid: int) -> int | None:
    """Return the proportional memory of process `pid` in bytes, None when it is gone or the kernel does not show it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return None
    found = re.search(rb"^Pss:\s+(\d+) kB", text, flags=re.M)
    return int(found[1]) * 1024 if found else None


def private_bytes(pid: int) -> int:
    """Return the memory that process `pid` shares with none; 0 when it is gone or the kernel does not show it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return 0
    return sum(map(int, re.findall(rb"^Private_(?:Clean|Dirty):\s+(\d+) kB", text, flags=re.M))) * 1024


def with_forks_bytes(pid: int, forks: Iterable[int]) -> int | None:
    """Return the resident memory of process `pid` with that which its forks, where jobs run, have for themselves."""
    own = resident_bytes(pid)
    return None if own is None else own + sum(map(private_bytes, forks))


def oom_kills() -> int | None:
    """Return how many processes the kernel has killed here so far; None when it does not show that."""
    for folder in _folders():
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(folder / name).splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill" and value.strip().isdecimal():
                    return int(value)
    return None


def limit_bytes() -> int | None:
    """Return the container's memory limit; None when there is none or it cannot be read."""
    for folder in _folders():
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdecimal() and int(text) < _NO_LIMIT_BYTES:
                return int(text)
    return None


def _folders() -> Iterator[Path]:
    """Where our group may be: by its own path on a bare machine, at the root inside a container; version 2 first."""
    for line in _read(_OWN).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = _CGROUPS / controllers
            yield root / path.lstrip("/")
            yield root


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
