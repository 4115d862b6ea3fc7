"""The README claims only what exists: its commands, variables, exit codes and paths."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.commands import run
from tests.support.service import ROOT
from worker.exits import Exit
from worker.settings import Settings
from worker.settings.model import variable_of

README = (ROOT / "README.md").read_text()


def example(command: str) -> tuple[str, str]:
    """Return the line that ends with `command` in one of its examples, and what it prints there."""
    ((line, output),) = re.findall(rf"^```\n\$ ([^\n]*{re.escape(command)})\n(.*?)^```$", README, flags=re.M | re.S)
    return line, output


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake ([a-z][\w-]*)", README)):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target


def test_its_commands_exist() -> None:
    for command in set(re.findall(r"python -m worker (\w+)", README)):
        assert run(command, "--help", url=None).returncode == 0, command


def test_its_variables_exist_with_the_defaults_it_names() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| `?([^|`]*)`? \|", README, flags=re.M)
    assert len(rows) > 5
    by_variable = {variable_of(name): field for name, field in Settings.model_fields.items()}
    for variable, default in rows:
        assert variable in by_variable, variable
        if default.strip().isdigit():
            assert by_variable[variable].default == int(default), variable


def test_its_exit_codes_are_all_there_are() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.M)] == [int(code) for code in Exit]


def test_a_bad_environment_is_answered_as_it_shows(tmp_path: Path) -> None:
    """In a folder of its own: a developer's .env would be read."""
    command, shown = example("python -m worker check")
    values = dict(re.findall(r"(\w+)=(\S+)", command))
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **values}
    told = subprocess.run(
        [sys.executable, "-m", "worker", "check"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == Exit.SETTINGS
    assert told.stderr == shown


def test_its_diagnosis_is_the_one_that_was_recorded() -> None:
    """But for the times, which differ from record to record, and for what `…` stands for."""
    _, shown = example("python tools/redis_diagnostics.py")
    times = re.compile(r" +[\d.]+ m?s(?=  )")
    recorded = times.sub(" TIME", (ROOT / "docs" / "captures" / "deleted-host.txt").read_text()).splitlines()
    for line in times.sub(" TIME", shown).splitlines():
        whole = line.removesuffix("…")
        assert any(known.startswith(whole) if whole != line else known == line for known in recorded), line


def test_its_files_exist() -> None:
    for name in re.findall(r"`((?:worker|jobs)/[\w./]+\.\w+)`", README):
        assert (ROOT / name).exists(), name
