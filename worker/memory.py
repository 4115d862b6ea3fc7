"""How much memory a process has (Linux's /proc)."""

from __future__ import annotations

import os


def resident_mb(pid: int) -> int:
    """Return a process's resident memory in MB; 0 when it is gone, or the system has no /proc."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000
    except OSError:
        return 0
