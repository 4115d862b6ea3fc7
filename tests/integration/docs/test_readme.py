"""The README claims only what exists: its commands, variables, exit codes and paths."""

from __future__ import annotations

import re

from tests.support.commands import run
from tests.support.service import ROOT
from worker.exits import Exit
from worker.settings import Settings
from worker.settings.model import variable_of

README = (ROOT / "README.md").read_text()


def test_its_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"\bmake (\w+)", README)):
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


def test_its_files_exist() -> None:
    for name in re.findall(r"`((?:worker|jobs)/[\w./]+\.\w+)`", README):
        assert (ROOT / name).exists(), name
