"""A terminal of a certain size, on which a command is run: what it writes there, escapes and all."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Final, Self

from tests.support.service import ROOT
from tests.support.waiting import PATIENCE_SECONDS

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[=>])")


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background has inherited that it is ignored


class Terminal:
    """`python -m worker …` on a terminal of `columns` × `rows`."""

    def __init__(self, url: str, *arguments: str, columns: int = 80, rows: int = 24) -> None:
        own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environ = {**os.environ, "REDIS_URL": url, "WORKER_JOB_MODULES": "tests.support.tasks", "TERM": "xterm"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environ.pop(name, None)
        command = [sys.executable, "-m", "worker", *arguments]
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environ,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )
        os.close(theirs)
        self._own = own
        self.written = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._own)

    @property
    def lines(self) -> list[str]:
        """What it has written, line by line, without escapes."""
        return [line.rstrip() for line in _ESCAPES.sub("", self.written).replace("\r", "").split("\n") if line.strip()]

    def frame(self) -> str:
        """Return the last whole picture that it has drawn."""
        self._read(0.2)
        return self.written.split("\x1b[H")[-2] if self.written.count("\x1b[H") > 1 else ""

    def wait_for(self, text: str) -> None:
        """Read until it has written this."""
        until = time.monotonic() + PATIENCE_SECONDS
        while text not in self.written:
            assert time.monotonic() < until, f"{text!r} is not in {self.written[-2000:]!r}"
            self._read(0.2)

    def interrupt(self) -> int:
        """Press Ctrl-C; returns the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Read to its end; returns the exit code."""
        until = time.monotonic() + PATIENCE_SECONDS
        while self._read(0.1) or self._process.poll() is None:
            assert time.monotonic() < until, self.written[-2000:]
        return self._process.wait()

    def _read(self, seconds: float) -> bool:
        if not select.select([self._own], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._own, 65536)
        except OSError:  # its end is closed
            return False
        self.written += data.decode(errors="replace")
        return bool(data)
