"""Command lines as a person uses them: `python -m worker …` and RQ's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import warm
from tests.support.warm import ROOT

RQ = str(Path(sys.executable).parent / "rq")


def run(*arguments: str, url: str | None, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m worker` to its end, whatever that is; jobs are the tests' own."""
    base = {"PATH": os.environ["PATH"], "WORKER_JOB_MODULES": "tests.support.tasks", **environ}
    if url is not None:
        base["REDIS_URL"] = url
    return warm.run(["-m", "worker", *arguments], base)


def rq(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run RQ's command line, which must succeed."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "WORKER_JOB_MODULES": "tests.support.tasks"}
    done = warm.run([RQ, arguments[0], "-u", url, *arguments[1:]], environ)
    done.check_returncode()
    return done
