"""The project's own errors.

::

    WorkerError
    ├── SettingsError      the environment is wrong: every problem at once
    ├── NoScripts          what stands in for Redis in a test runs no scripts
    └── RedisTrouble       Redis does not do what it should: a cause, a likely fix

Everything that can be wrong with Redis is listed in ``redis/troubles.py``: add a new one there. ``redis/client.py``
raises `RedisTrouble` for what redis-py raises, named by ``redis/translate.py``; logs, probes and tools quote its code
and its sentences, which hold no host, URL or secret.
"""

from __future__ import annotations

from dataclasses import dataclass


class WorkerError(Exception):
    """The root of the project's errors."""


class NoScripts(WorkerError):
    """fakeredis without Lua stands in for Redis, and each step of a worker is a script."""

    def __init__(self) -> None:
        super().__init__(
            "This Redis is fakeredis without Lua, and each step of the worker is a script. Install fakeredis[lua] "
            "(pip install 'fakeredis[lua]') or give it a real server: docs/testing-jobs.md."
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the environment. `got` is what was found; a secret is not shown."""

    variable: str
    got: str
    wants: str
    example: str = ""

    def __str__(self) -> str:
        example = f" Example: {self.variable}={self.example}" if self.example else ""
        return f"{self.variable}: got {self.got}; it wants {self.wants}.{example}"


class SettingsError(WorkerError):
    """The environment is wrong; `problems` lists everything that is."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        super().__init__("\n".join([f"The environment has {count}:", *(f"  - {problem}" for problem in problems)]))
