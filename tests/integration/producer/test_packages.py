"""Both producers as people install them: what is in the packages, and that they work from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.node import ROOT, needs_node, tool
from tests.support.producers import rest_environment
from tests.support.rest_stub import RestStub
from tests.support.server import RedisServer

PYTHON = ROOT / "producer"
JAVASCRIPT = ROOT / "packages" / "producer-js"
STRICT = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext")
ENQUEUE = """
import json, sys
from worthit_producer import Call, Producer
with Producer.from_environment() as producer:
    made = producer.enqueue_many([Call("jobs.a.b", n, delay=60) for n in range(3)])
    print(json.dumps([one.status for one in made]))
assert not {"rq", "worker", "jobs", "pydantic"} & set(sys.modules)
"""
TYPED = """
from worthit_producer import Enqueued, Producer, Retry
def use(producer: Producer) -> Enqueued[int]:
    said: list[str] = [line.text for line in producer.log("a")]
    producer.enqueue("jobs.a.b", 1, delay="soon")
    return producer.enqueue("jobs.a.b", 1, retry=Retry(3, [10]), delay=5)
"""


@pytest.mark.slow
def test_the_wheel_works_in_a_clean_environment_over_rest_and_tcp_and_is_typed(
    stub: RestStub, server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(PYTHON, source, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    built = run(*build, "--outdir", str(tmp_path / "dist"), str(source))
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (tmp_path / "dist").glob("worthit_producer-*.whl")
    venv.create(tmp_path / "clean")
    python = str(tmp_path / "clean" / "bin" / "python")
    installed = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", f"{wheel}[tcp]")
    assert installed.returncode == 0, installed.stderr
    for environ in (rest_environment(stub), {"REDIS_URL": server.url}):
        done = run(python, "-c", ENQUEUE, cwd=tmp_path, environ=environ)
        assert (done.stdout, done.stderr) == ('["scheduled", "scheduled", "scheduled"]\n', "")
    assert redis.zcard("rq:scheduled:default") == 6
    (tmp_path / "consumer.py").write_text(TYPED)
    told = run(sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "consumer.py", cwd=tmp_path)
    assert "consumer.py:5: error" in told.stdout
    assert "Found 1 error in 1 file" in told.stdout


def run(*command: str, cwd: Path = ROOT, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **(environ or {})}
    env |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False)


@needs_node
def test_the_javascript_package_passes_its_own_tests() -> None:
    done = subprocess.run(
        ["node", "--test", *map(str, sorted(JAVASCRIPT.glob("test/*.test.js")))],
        cwd=JAVASCRIPT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "# pass 0" not in done.stdout


@needs_node
@pytest.mark.slow
def test_the_javascript_package_is_small_complete_and_typed_for_everybody(tmp_path: Path) -> None:
    packed = subprocess.run(
        ["npm", "pack", "--json", "--pack-destination", str(tmp_path)],
        cwd=JAVASCRIPT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (told,) = json.loads(packed.stdout)
    assert told["size"] <= 20_000
    assert "dependencies" not in json.loads((JAVASCRIPT / "package.json").read_text())
    archive = str(tmp_path / told["filename"])
    linted = tool("publint", "--strict", archive)
    assert "All good!" in linted.stdout + linted.stderr
    assert tool("attw", archive, "--profile", "esm-only").returncode == 0
    for consumer in ("consumer.ts", "any.ts"):
        checked = tool("tsc", *STRICT, str(JAVASCRIPT / "test" / "types" / consumer))
        assert (checked.returncode, checked.stdout) == (0, ""), checked.stdout
