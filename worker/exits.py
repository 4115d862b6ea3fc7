"""How the service ends: each reason has its exit code, so that a platform's log names the cause."""

from __future__ import annotations

import enum
import signal
from typing import Final


class Exit(enum.IntEnum):
    """Exit codes of `python -m worker` and of its children (those from 64 on after BSD's sysexits.h)."""

    OK = 0  #: stopped on request, nothing left behind
    FAILED = 1  #: a command did what it could and found something wrong
    USAGE = 2  #: the command line is wrong (click's own code)
    HEALTH_PORT = 69  #: the health endpoint cannot listen: EX_UNAVAILABLE
    CRASHED = 70  #: an error of our own: EX_SOFTWARE
    BOOT_FAILED = 71  #: children die before they can work, again and again
    UNHEALTHY = 74  #: its own /healthz failed for WORKER_UNHEALTHY_EXIT; EX_IOERR is the nearest
    REDIS = 75  #: a one-shot command could not reach Redis: EX_TEMPFAIL
    SETTINGS = 78  #: the environment is wrong: EX_CONFIG


#: A slot's `exit_reason` when the kernel killed its child for lack of memory.
OUT_OF_MEMORY: Final = "out_of_memory"


def explain_out_of_memory(limit_bytes: int | None) -> str:
    """Return a sentence: the kernel killed a child, and how much memory all of them may use."""
    limit = f" of {limit_bytes / 2**20:,.0f} MB" if limit_bytes is not None else ""
    return (
        f"killed by the kernel: the container's memory{limit} was used up. Set WORKER_MAX_MEMORY_MB, run fewer "
        f"consumers (WORKER_PROCESSES), or take a larger instance"
    )


def explain(status: int) -> str:
    """Return in words how a child ended; `status` is its exit code, or minus the signal that killed it."""
    if status < 0:
        number = -status
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = "an unknown signal"
        hints: dict[int, str] = {
            signal.SIGKILL: ": out of memory, or killed by hand",
            signal.SIGSEGV: ": a crash in native code",
            signal.SIGABRT: ": aborted by native code",
            signal.SIGBUS: ": a crash in native code",
        }
        return f"killed by signal {number} ({name}){hints.get(number, '')}"
    try:
        return f"ended with code {status} ({Exit(status).name.lower()})"
    except ValueError:
        return f"ended with code {status}"
