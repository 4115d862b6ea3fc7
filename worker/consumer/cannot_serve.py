"""Why a consumer cannot serve although its process lives: its boot fails in words, and `exit` is its exit code."""

from __future__ import annotations

import os
from typing import ClassVar, Final

from worker.exits import Exit
from worker.process.memory import resident_mb

#: What the first jobs of a consumer take, whatever they are: connections, and code that was not used before.
FIRST_JOBS_MB: Final = 10


class CannotServe(Exception):
    """This consumer cannot serve; the message is a sentence that says why, and what to do."""

    exit: ClassVar[Exit] = Exit.BOOT_FAILED


class MemoryLimitTooLow(CannotServe):
    """WORKER_MAX_MEMORY_MB is below what a consumer needs before it has run a job: each would be replaced after one."""

    exit = Exit.SETTINGS


def check_memory_limit(limit_mb: int) -> None:
    """Raise `MemoryLimitTooLow` if this process, which is about to run jobs, has no room below the limit; 0 = none."""
    before = resident_mb(os.getpid()) if limit_mb else 0
    needed = before + FIRST_JOBS_MB
    if limit_mb and needed > limit_mb:
        raise MemoryLimitTooLow(
            f"WORKER_MAX_MEMORY_MB is {limit_mb}, and a consumer needs {before} MB before it has run a job and about "
            f"{FIRST_JOBS_MB} more for the first ones, so it would be replaced after each. Set it to {needed * 3 // 2} "
            f"or more, or to 0."
        )
