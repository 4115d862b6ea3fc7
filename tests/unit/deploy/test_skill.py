"""The skill for Render: its head is as Agent Skills want it, and what it says is so."""

from __future__ import annotations

import re

import yaml
from click import Context

from tests.support.service import ROOT
from worker.cli.main import main

FOLDER = ROOT / "skills" / "render-rq-worker"
_, HEAD, TEXT = (FOLDER / "SKILL.md").read_text().split("---\n", 2)


def test_its_head_is_as_the_format_wants_it() -> None:
    head = yaml.safe_load(HEAD)
    assert head["name"] == FOLDER.name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", head["name"])
    assert 0 < len(head["description"]) <= 1024
    assert len(head["compatibility"]) <= 500
    assert all(isinstance(value, str) for value in head["metadata"].values())


def test_its_links_commands_and_figures_are_true() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (FOLDER / link).resolve().exists(), link
    for command in re.findall(r"python -m worker ([a-z]+)", TEXT):
        assert main.get_command(Context(main), command) is not None, command
    blueprint = (ROOT / "render.yaml").read_text()
    for word in ("noeviction", "maxShutdownDelaySeconds", "WORKER_UNHEALTHY_EXIT", "WORKER_SERIALIZERS", "AUTOSCALE_"):
        assert word in TEXT, word
        assert word in blueprint, word
