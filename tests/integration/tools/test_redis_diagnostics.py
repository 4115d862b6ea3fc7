"""The tool as a person runs it: from any folder, on a terminal, in a pipe, for a program, for an issue."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_py

from tests.support import broken
from tests.support.broken import PASSWORD
from tests.support.diagnosing import tool
from tests.support.processes import belong_to_the_tests
from tests.support.server import RedisServer
from tests.support.service import ROOT
from worker.diagnosis.course import STEPS
from worker.diagnosis.report import Report

TOOL = "tools/redis_diagnostics.py"


def test_it_runs_as_a_file_from_anywhere_and_as_a_module(server: RedisServer, tmp_path: Path) -> None:
    as_file = tool(TOOL, url=server.url, cwd=str(tmp_path))
    as_module = tool("tools.redis_diagnostics", url=server.url)
    for told in (as_file, as_module):
        assert told.returncode == 0, told.stderr
        assert "✓ Redis    ok" in told.stdout
        assert told.stdout.splitlines()[-2].startswith("→ Redis works for the worker")
        assert "\x1b" not in told.stdout, "a pipe gets plain text"


def test_the_url_comes_from_the_option_then_the_environment_then_the_file(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"REDIS_URL={server.url}\n")
    assert json.loads(tool(TOOL, "--json", cwd=str(tmp_path)).stdout)["source"] == ".env"
    told = json.loads(tool(TOOL, "--json", url=broken.refused(), cwd=str(tmp_path)).stdout)
    assert (told["source"], told["exit_code"]) == ("REDIS_URL", 12)
    told = json.loads(tool(TOOL, "--json", "--url", server.url, url=broken.refused()).stdout)
    assert (told["source"], told["exit_code"]) == ("--url", 0)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "REDIS_URL: got nothing"),
        ("redis://:p@ss-hunter2@host", "unescaped characters"),
        ('"redis://host"', "quotes or spaces around it"),
        (" redis://host", "quotes or spaces around it"),
        ("http://host", "begins with http://"),
        ("redis://host:port", "a port that is not a number"),
        ("redis://host/zero", "a database that is not a number"),
        ("redis://:secret@eu1-fit-cat-1.upstash.io:6379", "redis:// on an Upstash host"),
        ("rediss://:secret@eu1-fit-cat-1.upstash.io/1", "a database number on an Upstash host"),
        ("redis://default:<PASSWORD>@host", "a placeholder left in it"),
    ],
)
def test_a_url_that_cannot_work_is_told_without_showing_it(url: str | None, words: str) -> None:
    told = tool(TOOL, url=url)
    assert told.returncode == 10
    assert words in told.stdout
    assert "hunter2" not in told.stdout
    assert "secret" not in told.stdout
    assert "– Name, TCP, TLS, Redis, Login, Latency, Server, Fitness, Queues: skipped: needs URL" in told.stdout


def test_json_is_what_the_schema_says(server: RedisServer) -> None:
    told = tool(TOOL, "--json", url=server.url)
    report = Report.model_validate_json(told.stdout)
    assert [step.name for step in report.steps] == [step.name for step in STEPS]
    assert report.exit_code == told.returncode == 0
    schema = json.loads(tool(TOOL, "--json-schema").stdout)
    assert set(schema["properties"]) == set(json.loads(told.stdout))


def test_markdown_hides_the_host(server: RedisServer) -> None:
    told = tool(TOOL, "--markdown", url=broken.unknown_name())
    assert told.returncode == 11
    assert "gce.invalid" not in told.stdout
    assert "| Name | ❌ failed |" in told.stdout
    assert re.search(r"^\*\*The Redis host name does not resolve; .*\*\*$", told.stdout, flags=re.M)
    assert "| Login | ✅ ok |" in tool(TOOL, "--markdown", url=server.url).stdout


def test_on_a_terminal_it_has_colours_and_fits(server: RedisServer) -> None:
    main, child = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "REDIS_URL": server.url, "TERM": "xterm-256color", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, TOOL], cwd=ROOT, env=environ, stdout=child, preexec_fn=belong_to_the_tests
    )
    os.close(child)
    shown = b""
    while select.select([main], [], [], 60)[0]:
        try:
            if not (piece := os.read(main, 65536)):
                break
        except OSError:
            break
        shown += piece
    os.close(main)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "\x1b[32m✓ URL" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert max(map(len, lines)) <= 80


def test_both_forms_of_output_at_once_are_a_wrong_command_line() -> None:
    told = tool(TOOL, "--json", "--markdown", url="redis://localhost")
    assert told.returncode == 2
    assert "exclude each other" in told.stderr


@pytest.mark.parametrize("file", [TOOL, "tools/service_tester.py"])
def test_without_the_requirements_it_says_how_to_install_them(tmp_path: Path, file: str) -> None:
    for folder in ("tools", "worker"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    bare = subprocess.run(
        [sys.executable, "-S", "-E", str(tmp_path / file)], capture_output=True, text=True, timeout=120, check=False
    )
    assert bare.returncode == 2
    assert "python -m pip install -r requirements.txt" in bare.stderr
    assert "Traceback" not in bare.stderr


def test_the_password_is_never_told_even_when_a_server_quotes_it() -> None:
    def answer(_data: bytes) -> bytes:
        return f"-ERR I will not let {PASSWORD} in\r\n".encode()

    with broken.answering(answer) as port:
        for form in ("--verbose", "--json", "--markdown"):
            told = tool(TOOL, form, url=f"redis://:{PASSWORD}@127.0.0.1:{port}")
            assert told.returncode != 0


def test_the_help_names_every_exit_code() -> None:
    told = " ".join(tool(TOOL, "--help").stdout.split())
    for step in STEPS:
        assert f"{step.code} {step.name}" in told


def test_a_server_without_info_keeps_the_tool_useful(server: RedisServer, redis: redis_py.Redis) -> None:
    rules = ("reset", "on", ">pw-of-user", "~*", "&*", "+@all", "-info", "-config", "-acl", "-hello")
    redis.execute_command("ACL", "SETUSER", "shut", *rules)
    told = tool(TOOL, url=server.url.replace("redis://", "redis://shut:pw-of-user@"))
    redis.execute_command("ACL", "DELUSER", "shut")
    assert "pw-of-user" not in told.stdout
    assert "shut" not in told.stdout
    assert told.returncode == 0 or "HELLO" in told.stdout
