"""Python command lines whose imports are done already: an interpreter that has them forks for each command.

Importing redis, RQ and pydantic takes a third of a second of CPU, and the tests run hundreds of commands. Each is a
process of its own all the same, with its own arguments, environment, folder, exit code and output. Whatever depends on
how an interpreter starts is run in a fresh one, as is what `run` is given variables for that are read at import.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
#: What the commands would import, besides the commands of `python -m worker`.
MODULES = ("encodings.idna", "rq.cli", "tools.diagnostics_command", "tools.tester_command")
#: Variables that the interpreter, or a module while it is imported, reads.
READ_AT_START = ("PYTHON", "LC_", "LANG", "RQ_KEY_PREFIX")
TIMEOUT_SECONDS = 120.0

_lock = threading.Lock()
_warm: _Warm | None = None


def run(
    arguments: Sequence[str], environ: Mapping[str, str], *, cwd: str | Path = ROOT, merged: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS…`` (``-m MODULE …`` or ``FILE …``) with this environment alone, and no input.

    `merged` puts what it writes to standard error into its output, where it was written.
    """
    command = [sys.executable, *arguments]
    if _needs_a_new_interpreter(arguments, environ, Path(cwd)):
        return subprocess.run(
            command,
            cwd=cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    with tempfile.TemporaryFile("a+b") as out, tempfile.TemporaryFile("a+b") as err:
        code = _interpreter().call([*arguments], {**environ}, str(cwd), out.fileno(), (out if merged else err).fileno())
        texts = [_written(file.fileno()) for file in (out, err)]
    return subprocess.CompletedProcess(command, code, *texts)


def close() -> None:
    """End the warm interpreter, if there is one."""
    global _warm  # noqa: PLW0603
    with _lock:
        if _warm is not None:
            _warm.close()
            _warm = None


def _needs_a_new_interpreter(arguments: Sequence[str], environ: Mapping[str, str], cwd: Path) -> bool:
    of_another_checkout = (arguments[0] == "-m" and cwd != ROOT) or environ.get("PYTHONPATH") not in (None, str(ROOT))
    return of_another_checkout or any(
        name.startswith(READ_AT_START) and name not in ("PYTHONPATH", "PYTHONUNBUFFERED") for name in environ
    )


def _interpreter() -> _Warm:
    global _warm  # noqa: PLW0603
    with _lock:
        if _warm is None:
            _warm = _Warm()
        return _warm


def _written(descriptor: int) -> str:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()


class _Warm:
    """The tests' end of the interpreter: it ends when this one is closed, or the process with it."""

    def __init__(self) -> None:
        from tests.support import leaks  # not in the interpreter: it imports pytest

        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], leaks.MARK: os.environ.get(leaks.MARK, "")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def call(self, arguments: list[str], environ: dict[str, str], cwd: str, out: int, err: int) -> int:
        """Run a command with these descriptors for its output; returns its exit code as `Popen` has it."""
        answers, theirs = socket.socketpair()
        with answers:
            with theirs:
                request = json.dumps([arguments, environ, cwd]).encode()
                socket.send_fds(self._end, [request], [theirs.fileno(), out, err])
            answers.settimeout(TIMEOUT_SECONDS)
            pid = int.from_bytes(_exactly(answers, 4), "big")
            try:
                return int.from_bytes(_exactly(answers, 4), "big", signed=True)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, TIMEOUT_SECONDS) from None

    def close(self) -> None:
        self._end.close()
        self._process.wait()


def _exactly(end: socket.socket, size: int) -> bytes:
    data = end.recv(size, socket.MSG_WAITALL)
    if len(data) < size:
        raise AssertionError("the warm interpreter has ended; it says why on standard error")
    return data


# -- in the interpreter ------------------------------------------------------------------------------------------------


def serve(control: socket.socket) -> list[str]:
    """Fork for each request until the other end is closed; returns, in the child, the arguments of its command."""
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        running: dict[int, tuple[int, socket.socket]] = {}  # by a descriptor of the process
        while True:
            for key, _ in selector.select():
                if key.fileobj is not control:
                    selector.unregister(key.fileobj)
                    _report(key.fd, *running.pop(key.fd))
                    continue
                request, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
                if not request:
                    sys.exit()
                pid = os.fork()
                if pid == 0:
                    arguments, environ, cwd = json.loads(request)
                    _become(environ, cwd, descriptors[1:])
                    for descriptor in (control.detach(), *descriptors, *running):
                        os.close(descriptor)
                    return list(arguments)
                answers = socket.socket(fileno=descriptors[0])
                answers.sendall(pid.to_bytes(4, "big"))
                for descriptor in descriptors[1:]:
                    os.close(descriptor)
                watched = os.pidfd_open(pid)
                running[watched] = (pid, answers)
                selector.register(watched, selectors.EVENT_READ)


def _report(watched: int, pid: int, answers: socket.socket) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(watched)
    with answers, contextlib.suppress(OSError):  # nobody waits for it any more
        answers.sendall(code.to_bytes(4, "big", signed=True))


def _become(environ: dict[str, str], cwd: str, output: list[int]) -> None:
    """Make this child what a new interpreter would be."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(cwd)
    for number, descriptor in enumerate(output, start=1):
        os.dup2(descriptor, number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
    sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]


def _import_everything() -> None:
    from worker.cli.main import main

    context: Any = None
    for name in main.list_commands(context):
        main.get_command(context, name)
    for name in MODULES:
        importlib.import_module(name)


def _execute(arguments: list[str]) -> None:
    """Do what ``python ARGUMENTS…`` does."""
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[0] = str(Path(arguments[0]).resolve().parent)
        sys.path[1:1] = filter(None, [os.environ.get("PYTHONPATH")])
        runpy.run_path(arguments[0], run_name="__main__")


def _execute_and_exit(arguments: list[str]) -> None:
    """The same to its end. Taking an interpreter down costs more than most commands: what ends in order leaves it."""
    code: object = 0
    try:
        _execute(arguments)
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            raise
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _import_everything()
    gc.freeze()
    _execute_and_exit(serve(socket.socket(fileno=int(sys.argv[1]))))
