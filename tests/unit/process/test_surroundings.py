"""What a job has changed is put back; what cannot be is said in words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.process.surroundings import CannotPutBack, Surroundings


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Be in a folder that may be removed."""
    before, own = os.getcwd(), tmp_path / "own"
    own.mkdir()
    os.chdir(own)
    yield own
    os.chdir(before)


def test_a_working_directory_that_is_gone_cannot_be_put_back(folder: Path, tmp_path: Path) -> None:
    surroundings = Surroundings(lambda: None)
    os.chdir(tmp_path)
    surroundings.put_back()
    assert Path.cwd() == folder
    os.chdir(tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(CannotPutBack, match="the working directory"):
        surroundings.put_back()


def test_one_that_a_job_has_moved_to_and_removed_is_left(folder: Path, tmp_path: Path) -> None:
    surroundings = Surroundings(lambda: None)
    other = tmp_path / "other"
    other.mkdir()
    os.chdir(other)
    other.rmdir()
    surroundings.put_back()
    assert Path.cwd() == folder
