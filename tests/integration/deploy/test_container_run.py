"""What the image holds, run as the image runs it: the copied files alone, a read-only root, the HEALTHCHECK."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rq import Queue

from tests.support import leaks, processes
from tests.support.dockerfile import copied, one
from tests.support.server import RedisServer, free_port
from tests.support.service import ROOT
from tests.support.waiting import eventually
from worker.health import probe

#: Makes the whole file system read-only for one command, in a mount namespace of its own.
READ_ONLY = """
mount --make-rprivate / && mount --bind . . && mount -o remount,bind,ro . && mount -o remount,bind,ro / || exit 98
cd "$PWD" && ! touch written 2>/dev/null && ! touch /tmp/written 2>/dev/null || exit 99
exec "$0" "$@"
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with what the Dockerfile copies, and nothing else."""
    for name in copied():
        if name != "requirements.lock":
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture
def environ(server: RedisServer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "REDIS_URL": server.url,
        "WORKER_PROCESSES": "1",
        "HEALTH_PORT": str(free_port()),
        leaks.MARK: os.environ.get(leaks.MARK, ""),
    }


@pytest.fixture
def container(image: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, *json.loads(one("CMD"))[1:]]
    process = subprocess.Popen(
        ["unshare", "--mount" if os.getuid() == 0 else "-rm", "sh", "-c", READ_ONLY, *command],
        cwd=image,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=processes.belong_to_the_tests,
    )
    yield process
    process.kill()
    process.wait()


def health_check(image: Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = json.loads(one("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    return subprocess.run(
        [sys.executable, *command[1:]], cwd=image, env=environ, capture_output=True, text=True, check=False
    )


def test_it_runs_a_job_on_a_read_only_root_is_probed_and_stops_in_order(
    container: subprocess.Popen[str], image: Path, environ: dict[str, str], server: RedisServer
) -> None:
    before = health_check(image, {**environ, "HEALTH_PORT": str(free_port())})
    assert (before.returncode, "no answer" in before.stdout, before.stderr) == (1, True, "")

    def healthy() -> subprocess.CompletedProcess[str] | None:
        if container.poll() is not None:
            pytest.fail(f"it ended with {container.returncode}: {container.stdout and container.stdout.read()}")
        check = health_check(image, environ)
        return check if (check.returncode, check.stdout) == (0, "ok: Connected to Redis and consuming.\n") else None

    eventually(healthy, what="a healthy container")
    with server.client() as client:
        job = Queue("default", connection=client).enqueue("jobs.notifications.notify", "not a url", {})
        eventually(lambda: job.get_status(refresh=True) == "failed")
        assert json.loads(client.hget(job.key, "dead_letter") or "{}")["reason"] == "permanent"
    container.send_signal(signal.SIGTERM)
    output, _ = container.communicate(timeout=60)
    assert container.returncode == 0, output
    assert "Read-only file system" not in output


def test_the_probe_knows_where_the_endpoint_listens_and_says_when_it_is_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert probe.main({"HEALTH_PORT": "0"}) == 0
    assert "turned off" in capsys.readouterr().out
    port = free_port()
    assert probe.main({"PORT": str(port)}) == 1
    assert f"no answer from port {port}" in capsys.readouterr().out
    assert probe.main({"HEALTH_PORT": "http", "PORT": str(port)}) == 1
