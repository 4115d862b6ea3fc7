"""docs/dead-letters.md shows what the commands really print, and names what exists."""

from __future__ import annotations

import re

import click

from tests.support import dead_session
from tests.support.commands import run
from worker.cli.dead.command import dead
from worker.engine.dead_letter import NEXT_STEPS, REASONS
from worker.settings import Settings
from worker.settings.model import variable_of

TEXT = dead_session.PAGE.read_text()
COMMANDS = TEXT.split("## The commands")[1].split("## With")[0]


def test_its_session_is_what_the_commands_print() -> None:
    shown = dead_session.normal(dead_session.shown_in(TEXT)).splitlines()
    assert dead_session.normal(dead_session.play()).splitlines() == shown


def test_its_commands_and_options_exist() -> None:
    names = set(dead.list_commands(click.Context(dead)))
    table = re.findall(
        r"^\| ((?:`[^`]+`(?:, )?)+) \|", TEXT.split("## The commands")[1].split("## With")[0], flags=re.M
    )
    told = {word.split()[0] for cell in table for word in re.findall(r"`([^`]+)`", cell)}
    assert told == names
    helps = "".join(run("dead", name, "--help", url=None).stdout for name in sorted(names))
    for option in set(re.findall(r"--[a-z][a-z-]+", COMMANDS)):
        assert option in helps or option == "--all", option


def test_its_reasons_are_all_there_are() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \| ([^|]*)\|", TEXT, flags=re.M)
    assert {code: (meaning, hint.strip()) for code, meaning, hint in rows} == {
        code: (meaning, NEXT_STEPS.get(code, "")) for code, meaning in REASONS.items()
    }


def test_its_variables_exist() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    assert set(re.findall(r"\b(?:DEAD_LETTER|WORKER|NOTIFY)_[A-Z_]+\b", TEXT.split(dead_session.END)[1])) <= known
