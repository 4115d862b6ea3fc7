"""The image, built by buildah as the Dockerfile says and run as it is: a job, the HEALTHCHECK, the end.

Its base comes from its registry where that answers; elsewhere a stand-in of this machine's parts takes its place
(`tests.support.stand_in`). What was done is left in build/image.log.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Queue

from tests.support import leaks, processes, stand_in
from tests.support.dockerfile import instructions
from tests.support.server import RedisServer, free_port
from tests.support.service import MARK, ROOT
from tests.support.waiting import eventually

LOG = ROOT / "build" / "image.log"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
#: Of a base without a registry.
STAND_IN = "stand-in"
#: A machine's own certificates, where a proxy of its own stands before the index of packages.
PIP_SETTINGS = f"[global]\ncert = {CERTIFICATES}\ntimeout = 60\n"


def why_not() -> str:
    if os.getuid() != 0:
        return "building an image takes root here"
    return "" if shutil.which("buildah") else "buildah is missing: apt-get install buildah"


def is_locked_up() -> bool:
    """Whether this machine, a container without rights for instance, lets nobody mount: nothing to install helps."""
    mounting = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(mounting, capture_output=True, timeout=60, check=False).returncode != 0


#: By itself, as `make image` runs it: a minute of building beside eight other tests is a test that hangs.
pytestmark = pytest.mark.image


class Builder:
    """buildah with a store of its own, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._began = time.monotonic()
        LOG.parent.mkdir(exist_ok=True)
        LOG.write_text("")

    def command(self, *arguments: str) -> list[str]:
        return ["buildah", "--root", str(self.folder / "store"), "--runroot", str(self.folder / "run"), *arguments]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
        )
        self.note(f"$ buildah {' '.join(arguments)}", done.stdout + done.stderr, f"exit code {done.returncode}")
        assert done.returncode == 0 or not check, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def note(self, *lines: str) -> None:
        with LOG.open("a") as log:
            log.write(f"[{time.monotonic() - self._began:6.1f} s] " + "\n".join(line.rstrip() for line in lines) + "\n")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    assert not why_not(), why_not()
    if is_locked_up():
        pytest.skip("no image can be built where root may not mount anything")
    builder = Builder(tmp_path_factory.mktemp("buildah"))
    yield builder
    builder.run("rm", "--all", check=False)
    builder.run("rmi", "--all", "--force", check=False)


@pytest.fixture(scope="module")
def image(builder: Builder) -> str:
    """The built image's name."""
    (argument,) = (rest for name, rest in instructions() if name == "ARG")
    base = argument.partition("=")[2]
    if builder.run("pull", "--quiet", f"docker.io/library/python:{base}", check=False).returncode:
        base = STAND_IN
        make_stand_in(builder)
    settings = builder.folder / "pip.conf"
    settings.write_text(PIP_SETTINGS)
    mounts = [f"--volume={settings}:/etc/pip.conf:ro", f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"]
    builder.run(
        "build", "--isolation=chroot", "--pull-never", f"--build-arg=PYTHON={base}", *mounts, "--tag=worker", "."
    )
    builder.note("the image's size", builder.run("images").stdout)
    return "worker"


def make_stand_in(builder: Builder) -> None:
    assert not stand_in.missing(), stand_in.missing()
    files = builder.folder / "base"
    files.mkdir()
    builder.note(f"the base cannot be had; a stand-in is made: {stand_in.make(files)}")
    builder.run("from", "--name=base", "scratch")
    builder.run("add", "--quiet", "base", str(files), "/")
    builder.run("config", "--env=PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "base")
    builder.run("commit", "--quiet", "--rm", "base", f"docker.io/library/python:{STAND_IN}")
    shutil.rmtree(files)


def test_it_is_built_runs_a_job_is_healthy_and_stops(builder: Builder, image: str, server: RedisServer) -> None:
    config: dict[str, Any] = json.loads(builder.run("inspect", "--type=image", image).stdout)["OCIv1"]["config"]
    assert config["User"] == "10001:10001"
    builder.run("from", "--name=container", "--pull-never", image)
    mark = f"image-{os.getpid()}-{time.monotonic_ns()}"
    port = free_port()
    environ = [f"--env=REDIS_URL={server.url}", f"--env=HEALTH_PORT={port}", "--env=WORKER_PROCESSES=1"]
    environ += [f"--env={MARK}={mark}", f"--env={leaks.MARK}={os.environ.get(leaks.MARK, '')}"]
    in_container = builder.command("run", "--isolation=chroot", *environ, "container", "--")
    service = subprocess.Popen(
        [*in_container, *config["Entrypoint"], *config["Cmd"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=processes.belong_to_the_tests,
    )
    try:

        def healthy() -> bool:
            assert service.poll() is None, service.stdout and service.stdout.read()
            check = [*in_container, "python", "-m", "worker.health.probe"]
            return subprocess.run(check, capture_output=True, text=True, timeout=60, check=False).returncode == 0

        eventually(healthy, 120, what="a healthy container")
        with server.client() as client:
            job = Queue("default", connection=client, serializer="json").enqueue("jobs.probe.echo", "from the image")
            eventually(lambda: job.get_status(refresh=True) == "finished", 60, what="the job's end")
            assert job.return_value() == "from the image"
        ours = processes.with_environment(MARK, mark)
        workers = [pid for pid in ours if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in workers if Path(f"/proc/{pid}").exists()}
        tini = [pid for pid in ours if Path(f"/proc/{pid}/comm").read_text().strip() == "tini"]
        assert len(tini) == 1, "tini stands before it and passes signals on"
        assert 10001 in owners
        os.kill(tini[0], signal.SIGTERM)
        output, _ = service.communicate(timeout=90)
        builder.note("$ tini -- python -m worker, one job, TERM", output, f"exit code {service.returncode}")
        assert service.returncode == 0, output
        assert "service.stopped" in output
    finally:
        service.kill()
        processes.kill_all(processes.with_environment(MARK, mark))
