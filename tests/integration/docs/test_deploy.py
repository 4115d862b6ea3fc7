"""The pages about deploying and operating claim only what exists, and their commands are run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.commands import run
from tests.support.render_stub import KEY, SERVICE_ID, Render
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from worker.engine.dead_letter import REASONS
from worker.exits import Exit
from worker.fleet.decision import Reason
from worker.settings import Settings
from worker.settings.model import variable_of

PAGES = {name: (ROOT / "docs" / name).read_text() for name in ("deploy-render.md", "operations.md")}
#: What Render, and the pages' own examples, put into the environment.
OTHERS = {
    "RENDER",
    "PYTHON_VERSION",
    "RENDER_CPU_COUNT",
    "WEB_CONCURRENCY",
    "REDIS_URL",
    "SERVICE_ID",
    "JOB_ID",
}
#: Words in capitals that are no variables.
WORDS = {
    "CMD",
    "ALL",
    "FLUSHALL",
    "ENTRYPOINT",
    "HEALTHCHECK",
    "TERM",
    "KILL",
    "INT",
    "QUIT",
    "TSTP",
    "CONT",
    "TTIN",
    "TTOU",
    "USR1",
}


def blocks(page: str, kind: str) -> list[str]:
    """Return the code blocks of a page that are fenced as `kind`, without their indentation."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```", PAGES[page], flags=re.M | re.S)
    return [re.sub(rf"^{indent}", "", text, flags=re.M) for indent, text in found]


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_files_targets_and_links_exist(page: str) -> None:
    text = PAGES[page]
    for command in set(re.findall(r"python -m worker ([a-z]+)", text)):
        assert run(command, "--help", url=None).returncode == 0, command
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make (\w+)", text)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
    for module in set(re.findall(r"python -m ((?:bench|tests)[\w.]+)", text)):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module
    for link in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text):
        assert (ROOT / "docs" / link).exists(), link
    for file in re.findall(r"`((?:tests|worker|jobs)/[\w./]+\.\w+)`", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("page", PAGES)
def test_its_variables_exist(page: str) -> None:
    known = {variable_of(name) for name in Settings.model_fields} | OTHERS | WORDS | {"RENDER_BLUEPRINT_SCHEMA"}
    for name in re.findall(r"`([A-Z][A-Z_0-9]+)(?:=[^`]*)?`", PAGES[page]):
        assert name in known, name


def test_the_exit_codes_are_all_there_are() -> None:
    codes = re.findall(r"^\| (\d+) \|", PAGES["operations.md"], flags=re.M)
    assert [int(code) for code in codes] == [int(code) for code in Exit]


def test_the_metrics_events_and_reasons_it_names_exist() -> None:
    text = PAGES["operations.md"]
    sources = "".join(path.read_text() for path in (ROOT / "worker").rglob("*.py"))
    for name in set(re.findall(r"`(worker_[a-z_]+[a-z])`", text)):
        assert f'"{name.removesuffix("_total")}"' in sources, name
    for event in set(re.findall(r"`((?:job|service|child|autoscaler|claims)\.[a-z_]+)`", text)):
        assert f'"{event}"' in sources, event
    for reason in ("handed_back", "unknown_function"):
        assert f"`{reason}`" in text
        assert reason in REASONS
    assert {"late", "idle"} <= set(Reason)


@pytest.fixture
def fleet(server: RedisServer) -> Iterator[Service]:
    with Service(server.url, WORKER_JOB_MODULES="jobs,tests.support.tasks") as service:
        yield service


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_do_what_they_say(page: str, fleet: Service, server: RedisServer, redis: redis_py.Redis) -> None:
    fleet.wait_for("child.spawned", role="consumer", slot=1)
    until(lambda: redis.scard("rq:workers") == 2, service=fleet)
    endless = Queue("default", connection=redis).enqueue(tasks.nap_in_steps, 500, job_timeout=600)
    until(lambda: endless.get_status(refresh=True) == "started", service=fleet)
    lines = [line for block in blocks(page, "sh run") for line in block.splitlines()]
    assert lines
    environ = {
        **fleet.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "JOB_ID": endless.id,
    }
    for line in lines:
        done = subprocess.run(
            ["sh", "-c", line], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        if "enqueue" in line:
            assert json.loads(done.stdout) == "hello", done.stdout
        if "stop" in line:
            until(lambda: endless.get_status(refresh=True) == "stopped", service=fleet)


def test_its_call_of_renders_api_scales() -> None:
    (command,) = blocks("deploy-render.md", "sh api")
    with Render() as render:
        environ = {"PATH": os.environ["PATH"], "SERVICE_ID": SERVICE_ID, "RENDER_API_KEY": KEY}
        command = command.replace("https://api.render.com/v1", render.url)
        subprocess.run(["sh", "-c", command], env=environ, check=True, timeout=120)
        assert render.instances == 3
