"""What `make run` shows of the jobs: the package `demo` beside `worker` says it, if there is one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from worker.text import json_text

PACKAGE: Final = "demo"


@dataclass(frozen=True)
class Sample:
    """A call of a job, and what comes of it in a few words, if there is something to say."""

    function: str
    arguments: tuple[Any, ...] = ()
    note: str = ""

    @property
    def command(self) -> str:
        """What follows `python -m worker` on a command line to enqueue it and wait."""
        given = (one if isinstance(one, str) else json_text(one) for one in self.arguments)
        command = f"enqueue {self.function} {shlex.join(given)}".rstrip() + " --wait"
        return f"{command}    # {self.note}" if self.note else command


def _as_json(result: Any) -> Sequence[str]:
    return json_text(result, indent=2, default=repr).splitlines()


@dataclass(frozen=True)
class Demonstration:
    """Made by `demo.show(stack, redis_url, queue, local=…)`, which may start things that end with the stack.

    `local` says whether Redis is on this machine; nothing is enqueued elsewhere.
    """

    first: Sample  #: enqueued at the first start of a checkout
    more: Sequence[Sample] = ()  #: to be tried
    tell: Callable[[Any], Sequence[str]] = _as_json  #: the lines that show the first one's result
    pages: Mapping[str, str] = field(default_factory=dict)  #: addresses for a browser, by what is seen there
    notes: Sequence[str] = ()  #: what is missing on this machine


def load(stack: ExitStack, redis_url: str, queue: str, *, local: bool) -> Demonstration | None:
    """Return what the package `demo` shows; None where there is none."""
    if find_spec(PACKAGE) is None:
        return None
    shown = import_module(PACKAGE).show(stack, redis_url, queue, local=local)
    assert isinstance(shown, Demonstration)  # noqa: S101 — tells the type checker
    return shown
