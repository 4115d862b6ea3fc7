"""`make run`: the whole service on a bare machine, demonstrated, and gone without a trace."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import click
import pytest
import redis as redis_py

from tests.support import processes
from tests.support.server import RedisServer, free_port
from tests.support.service import MARK, ROOT, Service
from tests.support.waiting import eventually
from worker.cli import develop as develop_command
from worker.cli import local_service
from worker.cli.demonstration import Demonstration, Sample
from worker.settings.load import load


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, so that the developer's own .data is left alone."""
    for name in ("worker", "jobs", "producer", "demo"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def develop(checkout: Path, mark: str, port: int, **more: str) -> subprocess.Popen[str]:
    environ = {
        "PATH": os.environ["PATH"],
        "HEALTH_PORT": str(port),
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "WARNING",
        "PYTHONUNBUFFERED": "1",
        MARK: mark,
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "develop"],
        cwd=checkout,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=processes.belong_to_the_tests,
    )


def health(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            return str(json.load(answer)["status"])
    except OSError as error:  # "not healthy" is one, too
        return str(error)


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    told = ""
    while words not in told:
        line = process.stdout.readline()
        assert line, f"it ended before it said {words!r}:\n{told}"
        told += line
    return told


def test_it_shows_a_job_serves_keeps_its_data_and_stops_cleanly(checkout: Path) -> None:
    mark, port = Service("").mark, free_port()
    first = develop(checkout, mark, port)
    try:
        told = read_until(first, "rq requeue")
        console = re.search(
            r"^The console: (http://127\.0\.0\.1:\d+/) \(open to everybody on this machine\)$", told, re.M
        )
        assert console is not None
        assert "The console" in told.partition("A first job")[0], "it comes first"
        with urllib.request.urlopen(console[1], timeout=60) as page:
            assert b"All is well" in page.read()
        shown = told.partition("A first job: jobs.")[2].partition("The service runs")[0]
        assert len(shown.strip().splitlines()) > 1, f"what it is, and what came of it: {told}"
        assert (checkout / ".data" / "demonstrated").exists(), told
        url = re.search(r"export REDIS_URL=(\S+)", told)
        assert url is not None
        eventually(lambda: health(port) == "ok")

        broken = re.search(r"-m worker (enqueue (\S+) .*)    # ends as a dead letter", told)
        assert broken is not None
        failed = subprocess.run(
            [sys.executable, "-m", "worker", *shlex.split(broken[1])],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "REDIS_URL": url[1]},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert failed.returncode == 1
        assert "permanent" in failed.stderr

        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 0
        eventually(lambda: processes.with_environment(MARK, mark) == [], what="no process is left")

        second = develop(checkout, mark, port)
        told = read_until(second, "rq requeue")
        assert "A first job" not in told, "the demonstration is for the first start"
        again = re.search(r"export REDIS_URL=(\S+)", told)  # another one if somebody took the port meanwhile
        assert again is not None
        listed = subprocess.run(
            [sys.executable, "-m", "worker", "dead", "list"],
            cwd=checkout,
            env={"PATH": os.environ["PATH"], "REDIS_URL": again[1]},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert broken[2] in listed.stdout, "a restart loses nothing"
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
        eventually(lambda: processes.with_environment(MARK, mark) == [], what="no process is left")
    finally:
        processes.kill_all(processes.with_environment(MARK, mark))


def test_a_killed_make_run_leaves_no_process(checkout: Path) -> None:
    mark = Service("").mark
    process = develop(checkout, mark, free_port())
    try:
        read_until(process, "rq requeue")
        process.kill()
        process.wait()
        eventually(lambda: processes.with_environment(MARK, mark) == [], what="no process is left")
    finally:
        processes.kill_all(processes.with_environment(MARK, mark))


def test_two_never_share_one_data_folder(checkout: Path) -> None:
    """Two servers that append to one file destroy it. The first one also forgives a spoilt .data."""
    mark = Service("").mark
    (checkout / ".data").mkdir()
    (checkout / ".data" / "redis-port").write_text("gibberish")
    first = develop(checkout, mark, free_port())
    try:
        told = read_until(first, "rq requeue")
        url = re.search(r"export REDIS_URL=(\S+)", told)
        assert url is not None
        second = develop(checkout, mark, free_port())
        refused, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        assert f"Another `make run` uses this checkout; its Redis is {url[1]}." in refused
        assert "Traceback" not in refused

        first.send_signal(signal.SIGHUP)  # its terminal was closed
        assert first.wait(60) == 0
        eventually(lambda: processes.with_environment(MARK, mark) == [], what="no process is left")
    finally:
        processes.kill_all(processes.with_environment(MARK, mark))


def test_a_redis_elsewhere_gets_no_sample_job(checkout: Path, server: RedisServer) -> None:
    mark = Service("").mark
    elsewhere = server.url.replace("127.0.0.1", "127.1")  # the same address under a name that is none of this machine
    process = develop(checkout, mark, free_port(), REDIS_URL=elsewhere)
    try:
        told = read_until(process, "rq requeue")
        assert "no sample job is enqueued there" in told
        with server.client() as redis:
            assert [key for key in redis.scan_iter() if b"rq:job:" in key] == []
        [service] = [
            pid
            for pid in processes.children(process.pid)
            if b"run" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        ]
        assert b"ALLOW_PRIVATE" not in Path(f"/proc/{service}/environ").read_bytes(), "its jobs are strangers' jobs"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        processes.kill_all(processes.with_environment(MARK, mark))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder for `embedded_redis` in this process."""
    monkeypatch.setattr(local_service, "ROOT", tmp_path)
    monkeypatch.setattr(local_service, "DATA", tmp_path / ".data")
    monkeypatch.setattr(local_service, "LOG", tmp_path / ".data" / "redis.log")
    return tmp_path / ".data"


def test_a_port_that_is_taken_at_the_last_moment_does_not_make_it_use_somebody_elses_server(
    data: Path, monkeypatch: pytest.MonkeyPatch, server: RedisServer
) -> None:
    ports = [server.port]  # it looked free
    find = local_service.free_port
    monkeypatch.setattr(local_service, "free_port", lambda wanted: ports.pop() if ports else find(wanted))
    with local_service.embedded_redis() as url, redis_py.Redis.from_url(url) as client:
        assert client.info("server")["process_id"] in processes.children(os.getpid())
        assert client.info("server")["tcp_port"] != server.port
        assert (data / "redis-port").read_text() == str(client.info("server")["tcp_port"])


def test_data_that_the_server_cannot_read_end_in_its_own_words(data: Path) -> None:
    with local_service.embedded_redis() as url, redis_py.Redis.from_url(url) as client:
        client.set("a", "b")
    (manifest,) = data.glob("appendonlydir/*.manifest")
    manifest.write_text("nonsense")
    with (
        pytest.raises(click.ClickException, match=r"Its log, \.data/redis\.log, ends with: .*manifest"),
        local_service.embedded_redis(),
    ):
        pass


def test_a_sample_job_that_somebody_deletes_is_told(
    server: RedisServer, redis: redis_py.Redis, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(develop_command, "DATA", data)
    deleting = threading.Thread(target=lambda: eventually(lambda: redis.delete(*redis.keys("rq:job:*") or ["none"])))
    deleting.start()
    develop_command._demonstrate(
        load({"REDIS_URL": server.url}), Demonstration(Sample("tests.support.tasks.add", (1, 2)))
    )
    deleting.join()
    assert "The job is gone: somebody deleted it." in capsys.readouterr().err
    assert not (data / "demonstrated").exists(), "it is shown at the next start"
