"""What a process has written is there when the test knows, by another way, that it was written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.pipes import Lines
from tests.support.waiting import eventually

#: Writes lines, says so by a file, and stays; then a line without an end, and a child that holds the pipe open.
CODE = """
import os, pathlib, sys, time
said, go = map(pathlib.Path, sys.argv[1:])
for number in range(20_000):
    print(number)
sys.stdout.flush()
said.touch()
while not go.exists(): time.sleep(0.01)
os.write(1, b"caf\\xe9")
if os.fork() == 0: time.sleep(0.5)
"""


def test_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    said, go = tmp_path / "said", tmp_path / "go"
    seen: list[str] = []
    process = subprocess.Popen([sys.executable, "-c", CODE, said, go], stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = Lines(process.stdout, seen.append)
    eventually(said.exists, 30)
    lines.catch_up()
    assert seen == [str(number) for number in range(20_000)]
    go.touch()
    assert process.wait() == 0
    lines.catch_up()
    assert len(seen) == 20_000, "a line is one when it has ended"
    eventually(lambda: process.stdout.closed, 30)
    assert seen[20_000:] == ["caf\\xe9"]
    lines.catch_up()


def test_many_threads_may_ask_while_a_process_writes(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    said = tmp_path / "said"
    seen: list[str] = []
    process = subprocess.Popen([sys.executable, "-c", CODE, said, os.devnull], stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = Lines(process.stdout, seen.append)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(500):
            list(pool.map(lambda _: lines.catch_up(), range(4)))
    eventually(said.exists, 30)
    process.wait()
    lines.catch_up()
    assert seen[:20_000] == [str(number) for number in range(20_000)]
