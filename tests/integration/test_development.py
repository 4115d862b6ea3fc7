"""`make run`: the whole service on a bare machine, demonstrated, and gone without a trace."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support import processes
from tests.support.server import free_port
from tests.support.service import MARK, ROOT, Service
from tests.support.waiting import eventually


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, so that the developer's own .data is left alone."""
    for name in ("worker", "jobs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def develop(checkout: Path, mark: str, port: int) -> subprocess.Popen[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HEALTH_PORT": str(port),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "WARNING",
        "PYTHONUNBUFFERED": "1",
        MARK: mark,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "develop"],
        cwd=checkout,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=processes.die_with_the_tests,
    )


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    told = ""
    while words not in told:
        line = process.stdout.readline()
        assert line, f"it ended before it said {words!r}:\n{told}"
        told += line
    return told


def test_it_shows_a_verdict_serves_keeps_its_data_and_stops_cleanly(checkout: Path) -> None:
    mark, port = Service("").mark, free_port()
    first = develop(checkout, mark, port)
    try:
        told = read_until(first, "rq requeue")
        assert re.search(r"Aurora 3 desk lamp: BUY \(\d+/100\)", told)
        url = re.search(r"export REDIS_URL=(\S+)", told)
        assert url is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            assert json.load(answer)["status"] == "ok"

        broken = re.search(r"(http://\S+/broken\.html)", told)
        assert broken is not None
        failed = subprocess.run(
            [sys.executable, "-m", "worker", "enqueue", "jobs.products.analyze_product", broken[1], "--wait"],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "REDIS_URL": url[1]},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert failed.returncode == 1
        assert "permanent" in failed.stderr

        first.send_signal(signal.SIGINT)
        assert first.wait(30) == 0
        eventually(lambda: processes.with_environment(MARK, mark) == [], 5, what="no process is left")

        second = develop(checkout, mark, port)
        told = read_until(second, "rq requeue")
        assert "A first job" not in told, "the demonstration is for the first start"
        listed = subprocess.run(
            [sys.executable, "-m", "worker", "dead", "list"],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "REDIS_URL": url[1]},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "jobs.products.analyze_product" in listed.stdout, "a restart loses nothing"
        second.send_signal(signal.SIGTERM)
        assert second.wait(30) == 0
        eventually(lambda: processes.with_environment(MARK, mark) == [], 5, what="no process is left")
    finally:
        processes.kill_all(processes.with_environment(MARK, mark))


def test_a_killed_make_run_leaves_no_process(checkout: Path) -> None:
    mark = Service("").mark
    process = develop(checkout, mark, free_port())
    try:
        read_until(process, "rq requeue")
        process.kill()
        process.wait()
        eventually(lambda: processes.with_environment(MARK, mark) == [], 5, what="no process is left")
    finally:
        processes.kill_all(processes.with_environment(MARK, mark))
