"""The Dockerfile, read step by step: there is no engine here that could build it."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatch

from tests.support.dockerfile import copied, instructions, one, stages
from tests.support.service import ROOT

LOCK = (ROOT / "requirements.lock").read_text()


def test_what_it_copies_exists_and_reaches_the_build() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copied()) == sorted(kept)
    for source in copied():
        assert (ROOT / source).exists(), source


def test_every_package_of_ours_that_the_service_imports_is_copied() -> None:
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    files = [path for name in copied() for path in (ROOT / name).rglob("*.py")]
    imported = {
        name for path in files for name in re.findall(r"^ *(?:from|import) (\w+)", path.read_text(), flags=re.M)
    }
    assert imported & ours <= set(copied())


def test_nothing_secret_or_superfluous_reaches_the_build() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    for name in (".env", ".git", "tests", "bench", ".venv", "requirements-dev.txt", "docs"):
        assert not any(fnmatch(name, rule[1:]) for rule in rules if rule.startswith("!")), name


def test_its_python_is_pinned_to_the_bytes_of_one_release_on_one_debian() -> None:
    (argument,) = (rest for name, rest in instructions() if name == "ARG")
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-[a-z]+@sha256:[0-9a-f]{64}", argument)
    assert [one("FROM", stage).split()[0] for stage in range(2)] == ["python:${PYTHON}"] * 2


def test_the_image_that_runs_installs_nothing() -> None:
    runs = [rest for name, rest in stages()[-1] if name == "RUN"]
    assert all("apt" not in run and "pip" not in run for run in runs), runs


def test_it_installs_only_what_the_lock_knows_by_hash_and_compiles_nothing() -> None:
    (install,) = (rest for name, rest in stages()[0] if name == "RUN" and "pip" in rest)
    for option in ("--require-hashes", "--no-deps", "--only-binary :all:"):
        assert option in install


def test_it_runs_without_rights_under_tini() -> None:
    user, _, group = one("USER").partition(":")
    assert int(user) >= 1000
    assert int(group) >= 1000
    assert json.loads(one("ENTRYPOINT")) == ["tini", "--"]
    assert json.loads(one("CMD")) == ["python", "-m", "worker"]


def test_the_lock_pins_what_is_required_and_each_pin_has_its_hashes() -> None:
    locked = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", LOCK, flags=re.M))
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", line)
        if found:
            name, version = found[1].lower(), found[2]
            assert locked.get(name) == version, f"{name} {version} is not in the lock: run `make lock`"
    for pin in re.split(r"\n(?=[a-z0-9])", LOCK):
        assert pin.startswith("#") or "--hash=sha256:" in pin, pin
    assert "://" not in LOCK, "the lock names no index"


def test_the_lock_holds_nothing_that_only_tests_need() -> None:
    development = re.findall(r"^([A-Za-z0-9-]+)==", (ROOT / "requirements-dev.txt").read_text(), flags=re.M)
    assert development
    for name in development:
        assert not re.search(rf"^{name.lower()}==", LOCK, flags=re.M), name
