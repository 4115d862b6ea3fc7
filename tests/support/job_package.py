"""Job packages made for one test, whose modules write down what happens in which process."""

from __future__ import annotations

import textwrap
import uuid
from pathlib import Path

#: Stands at the top of each module: `note(words)` writes a line, with the process's id.
_NOTES = """
import os, threading, time
from worker import context

def note(*words):
    with open({journal!r}, "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")
"""
#: Hooks that note everything.
NOTING = """
def consumer_started(consumer): note("started", os.getpid())
def consumer_stopping(consumer): note("stopping", os.getpid())
def before_job(job): note("before", os.getpid())
def after_job(job, error): note("after", os.getpid(), type(error).__name__)
"""
#: A function for jobs.
WORK = """
def work(seconds=0.0):
    note("ran", os.getpid())
    time.sleep(seconds)

def fail(): raise ValueError("no")
"""


class JobPackage:
    """A package in a directory of its own; each keyword is a module and its text. `jobs` has `WORK` beside its own."""

    def __init__(self, directory: Path, *, jobs: str = "", **modules: str) -> None:
        self.name = f"jobs_{uuid.uuid4().hex[:8]}"
        self.directory = directory
        self.journal = directory / f"{self.name}.journal"
        home = directory / self.name
        home.mkdir()
        for module, text in {"__init__": "", "jobs": WORK + textwrap.dedent(jobs), **modules}.items():
            notes = _NOTES.format(journal=str(self.journal)) if text else ""
            (home / f"{module}.py").write_text(notes + textwrap.dedent(text))

    def function(self, name: str = "work") -> str:
        """Return the dotted name of a function of its jobs."""
        return f"{self.name}.jobs.{name}"

    def noted(self, first: str = "") -> list[str]:
        """Return the lines that its modules have noted and that begin with a word."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        return [line for line in lines if line.startswith(first)]

    @property
    def environ(self) -> dict[str, str]:
        return {"WORKER_JOB_MODULES": self.name, "PYTHONPATH": str(self.directory)}
