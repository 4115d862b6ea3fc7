"""A command in a warm interpreter is what it is in a new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import warm

ENVIRON = {"PATH": os.environ["PATH"], "REDIS_URL": "redis://127.0.0.1:1/0"}
TELL = """
import json, os, signal, sys
names = {name: os.environ[name] for name in os.environ if name not in ("LC_CTYPE",)}
kinds = [stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)], sys.stdin.read()
faces = [(stream.encoding, stream.errors, stream.line_buffering) for stream in (sys.stdout, sys.stderr)]
signals = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)]
files = sorted(os.listdir("/proc/self/fd"))[:-1]
print(json.dumps([names, os.getcwd(), sys.argv, sys.path[0], __name__, kinds, faces, signals, len(files)]))
print("größe", file=sys.stderr)
"""


def cold(arguments: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "code",
    [
        TELL,
        "raise SystemExit(3)",
        "raise SystemExit('no price')",
        "import os; os.kill(os.getpid(), 15)",
        "import atexit; atexit.register(print, 'last'); print('first')",
        "print('x' * 300_000)",
        "raise KeyboardInterrupt",
    ],
)
def test_a_file_runs_as_in_a_new_interpreter(tmp_path: Path, code: str) -> None:
    file = tmp_path / "it.py"
    file.write_text(code)
    new, ours = cold([str(file), "a b", "--c"], tmp_path), warm.run([str(file), "a b", "--c"], ENVIRON, cwd=tmp_path)
    assert (ours.returncode, ours.stdout) == (new.returncode, new.stdout)
    assert ours.stderr.splitlines()[-1:] == new.stderr.splitlines()[-1:]


@pytest.mark.parametrize("arguments", [["-m", "worker", "--help"], ["-m", "worker", "nonsense"]])
def test_so_does_a_module(arguments: list[str]) -> None:
    new, ours = cold(arguments, warm.ROOT), warm.run(arguments, ENVIRON)
    assert (ours.returncode, ours.stdout, ours.stderr) == (new.returncode, new.stdout, new.stderr)


def test_many_run_at_once_and_none_sees_what_another_has_done(tmp_path: Path) -> None:
    file = tmp_path / "it.py"
    file.write_text("import sys, time, worker; print(getattr(worker, 'mark', sys.argv[1])); worker.mark = 'seen'")
    with ThreadPoolExecutor(8) as pool:
        done = pool.map(lambda number: warm.run([str(file), str(number)], ENVIRON), range(24))
    assert [int(one.stdout) for one in done] == list(range(24))


def test_what_is_read_at_import_is_read(tmp_path: Path) -> None:
    file = tmp_path / "it.py"
    file.write_text("import json, sys; from rq.defaults import RQ_KEY_PREFIX; print(json.dumps(RQ_KEY_PREFIX))")
    assert json.loads(warm.run([str(file)], {**ENVIRON, "RQ_KEY_PREFIX": "{rq}"}).stdout) == "{rq}"
