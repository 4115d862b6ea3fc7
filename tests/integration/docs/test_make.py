"""`make run` from any state of a checkout: what it installs, when, and what it says when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real Makefile that needs no package and whose worker only tells how it was called."""
    folder = tmp_path / "my checkout"
    (folder / "worker").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "worker" / "__main__.py").write_text("import sys; print('worker', *sys.argv[1:], sys.prefix)")
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).write_text("# nothing\n")
    return folder


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    python = f"PYTHON={sys._base_executable}"  # type: ignore[attr-defined]
    command = ["make", "--no-print-directory", python, *arguments]
    return subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, timeout=120, check=False)


def python_that(folder: Path, script: str) -> str:
    path = folder.parent / "other-python"  # make splits at spaces
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return f"PYTHON={path}"


@pytest.mark.slow
def test_it_installs_once_from_whatever_state_and_again_when_the_requirements_change(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)  # half made, and its interpreter is gone
    (checkout / ".venv" / "bin" / "python").symlink_to("/nowhere/python3")
    (checkout / "requirements-dev.txt").write_text("./is-not-there\n")
    assert make(checkout, "run").returncode != 0
    assert list((checkout / ".venv").glob(".installed-*")) == [], "an install that failed is not taken for done"

    (checkout / "requirements-dev.txt").write_text("# nothing\n")
    done = make(checkout, "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["Installing into .venv …", f"worker develop {checkout / '.venv'}"]
    assert make(checkout, "run").stdout == f"worker develop {checkout / '.venv'}\n", "what is installed works offline"

    (checkout / "requirements.txt").write_text("# other\n")
    shutil.rmtree(next((checkout / ".venv" / "lib").glob("*/site-packages/pip")))  # half made in another way
    changed = make(checkout, "run")
    assert (changed.returncode, changed.stdout.count("Installing")) == (0, 1), changed.stderr
    assert "Installing" not in make(checkout, "run").stdout


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('[ "$1" = --version ] && echo Python 3.9.2 || exit 1', "This needs Python 3.11 or newer; {} is Python 3.9.2."),
        ('case "$2" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
    ids=["too old", "no venv module"],
)
def test_a_python_that_does_not_do_is_explained(checkout: Path, script: str, words: str) -> None:
    python = python_that(checkout, script)
    told = make(checkout, python, "run")
    assert told.returncode != 0
    assert words.format(python.removeprefix("PYTHON=")) in told.stdout
    assert not (checkout / ".venv").exists()
