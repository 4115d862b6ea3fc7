"""The real service as a process tree: `python -m worker`, its log, its children, and the certainty that it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import leaks, processes
from tests.support.pipes import Lines
from tests.support.waiting import PATIENCE_SECONDS, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
#: Every process of a tree carries it in its environment, so that the tree is found wherever it was reparented to.
MARK = "TEST_TREE_MARK"


class Service:
    """One instance. `environ` is added to a minimal environment; the health endpoint is off unless it says so."""

    def __init__(self, redis_url: str, *arguments: str, cgroup: Path | None = None, **environ: str) -> None:
        self.mark = uuid.uuid4().hex
        self.cgroup = cgroup
        self.arguments = arguments or ("run",)
        self.environ = {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "REDIS_URL": redis_url,
            "WORKER_QUEUES": "high,default",
            "WORKER_JOB_MODULES": "tests.support.tasks",
            "WORKER_PROCESSES": "2",
            "WORKER_SHUTDOWN_GRACE": "5",
            "HEALTH_PORT": "0",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
            MARK: self.mark,
            leaks.MARK: os.environ.get(leaks.MARK, ""),
            **environ,
        }
        self._events: list[dict[str, Any]] = []
        self._output: list[str] = []
        self._lines: Lines | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; does not wait for anything."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "worker", *self.arguments],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=self._before_exec,
        )
        assert self._process.stdout is not None
        self._lines = Lines(self._process.stdout, self._take)
        return self

    def _before_exec(self) -> None:
        processes.belong_to_the_tests()
        if self.cgroup is not None:
            (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def pid(self) -> int:
        """Return the supervisor's pid."""
        assert self._process is not None
        return self._process.pid

    @property
    def events(self) -> list[dict[str, Any]]:
        """Everything that it has logged so far, what is still in the pipe included."""
        self._catch_up()
        return self._events

    @property
    def output(self) -> list[str]:
        """Its lines so far that are no events: stack dumps, tracebacks."""
        self._catch_up()
        return self._output

    def of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the events of that name whose fields have these values, of all that it has logged so far."""
        return [
            line
            for line in list(self.events)
            if line["event"] == event and all(line.get(name) == value for name, value in fields.items())
        ]

    def wait_for(self, event: str, *, timeout: float = PATIENCE_SECONDS, **fields: Any) -> dict[str, Any]:
        """Wait for an event; returns it."""
        try:
            return eventually(lambda: self.of(event, **fields), timeout, what=f"the event {event} {fields}")[0]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None

    def children(self, role: str = "consumer") -> list[int]:
        """Return the living children of a role, by slot; waits for the word about one that was forked just now."""
        until(self._has_told_of_its_children, what="a word about each child", service=self)
        latest = {(line["role"], line["slot"]): line["child"] for line in self.of("child.spawned")}
        return [pid for (kind, _), pid in sorted(latest.items()) if kind == role and processes.is_alive(pid)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.pid, number)

    def terminate(self, *, timeout: float = 30) -> int:
        """Ask it to stop and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout=timeout)

    def wait(self, *, timeout: float = 30) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        try:
            return self._process.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the service did not end within {timeout} s\n{self.tail()}") from None

    def kill_tree(self) -> None:
        """SIGKILL every process at once, as a power cut does."""
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        processes.kill_all(pids)

    def pids(self) -> list[int]:
        """Return every living process of the tree."""
        return processes.with_environment(MARK, self.mark)

    def tail(self, lines: int = 40) -> str:
        """Return the last lines that it wrote, for a failure's message."""
        events = [json.dumps(line) for line in self.events[-lines:]]
        return "\n".join([*events, *self.output[-lines:]])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_tree()
        self.wait()
        if kind is not None:
            print(self.tail())

    def _has_told_of_its_children(self) -> bool:
        living = set(processes.children(self.pid))
        return living <= {line["child"] for line in self.of("child.spawned")}

    def _catch_up(self) -> None:
        if self._lines is not None:
            self._lines.catch_up()

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict):
            self._events.append(event)
        else:
            self._output.append(line)


def until(
    predicate: Callable[[], Any], timeout: float = PATIENCE_SECONDS, *, what: str = "", service: Service | None = None
) -> Any:
    """`eventually`, with the service's last words in the failure."""
    try:
        return eventually(predicate, timeout, what=what)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{service.tail() if service else ''}") from None
