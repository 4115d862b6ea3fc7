"""Job modules are imported one by one, and what one of them opens is told by its own name."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from tests.support.job_package import JobPackage
from worker.engine.job_modules import BadJobModule, import_all

OPEN = "import socket\n{0} = socket.socket(type=socket.SOCK_DGRAM)\n"


def test_what_stays_open_is_on_the_account_of_the_module_that_opened_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = JobPackage(
        tmp_path,
        a="from . import quiet\n" + OPEN.format("before") + "from . import c\n" + OPEN.format("after"),
        b="import socket\nwith socket.socket(): pass",
        c=OPEN.format("own"),
        quiet="import json",
    )
    before = list(sys.meta_path)
    opened = import_all([package.name])
    assert sys.meta_path == before
    name = package.name
    assert opened == {f"{name}.a": ["a UDP socket"] * 2, f"{name}.c": ["a UDP socket"]}
    modules = [sys.modules[f"{name}.{module}"] for module in ("a", "a", "c")]
    for module, attribute in zip(modules, ("before", "after", "own"), strict=True):
        getattr(module, attribute).close()
    assert import_all([name]) == {}, "each is imported once"


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = JobPackage(tmp_path, broken="raise OSError('no')")
    before = list(sys.meta_path)
    with pytest.raises(BadJobModule, match=rf"the module {package.name}.broken cannot be imported \(OSError: no\)"):
        import_all([package.name])
    assert sys.meta_path == before


class Elsewhere(importlib.abc.MetaPathFinder):
    """Finds one module where Python's own finder does not look, as editable installations do."""

    def __init__(self, name: str, path: Path) -> None:
        self._name, self._path = name, path

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self._path) if name == self._name else None


def test_of_a_package_that_is_not_there_it_is_said_how_it_comes_into_the_image() -> None:
    with pytest.raises(BadJobModule, match="`COPY nowhere nowhere` in the Dockerfile and `!nowhere` in"):
        import_all(["nowhere.jobs"])


def test_a_module_that_another_finder_finds_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "somewhere.txt.py"
    path.write_text(OPEN.format("own"))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Elsewhere("jobs_found_elsewhere", path)])
    assert import_all(["jobs_found_elsewhere"]) == {"jobs_found_elsewhere": ["a UDP socket"]}
    sys.modules["jobs_found_elsewhere"].own.close()


def test_what_is_no_package_is_imported_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "single_module_of_jobs.py").write_text("x = 1")
    assert import_all(["single_module_of_jobs"]) == {}
    assert sys.modules["single_module_of_jobs"].x == 1
