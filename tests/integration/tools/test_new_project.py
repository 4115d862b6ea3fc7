"""`make new-project` in a fresh clone: what it leaves is green, runs, and knows nothing of WorthIt."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.service import ROOT
from tools.new_project.__main__ import LONGEST_NAME, main, renamed

#: The longest that is taken: lines grow by it.
NAME = "second-billing-in-europe"
#: Run in what is left, besides lint: the example job, what knows names and folders, and `make run` whole. The rest of
#: `make check` is the worker's own, which no name changes; it takes as long there as here.
TESTS = (
    "tests/unit/jobs/test_invoices.py",
    "tests/unit/docs",
    "tests/unit/deploy",
    "tests/support/test_layout.py",
    "tests/integration/docs/test_readme.py",
    "tests/integration/cli/test_develop.py::test_it_shows_a_job_serves_keeps_its_data_and_stops_cleanly",
)


def command(project: Path, *line: str) -> str:
    """Run a command in the project, which must succeed; returns what it said."""
    others = ("PYTEST", "GIT_", "CI")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    done = subprocess.run(line, cwd=project, env=environ, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{' '.join(line)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which `make new-project` has run, with this checkout's tools instead of installed ones."""
    folder = tmp_path_factory.mktemp("clone") / "service"
    command(ROOT, "git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    if (ROOT / ".mypy_cache").is_dir():  # what is unchanged need not be checked again
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    stamp = folder.parent / "stamp"
    stamp.touch()
    os.utime(stamp, (2**32, 2**32))  # newer than any list of requirements: make installs nothing
    told = make(folder, "new-project", f"NAME={NAME}")
    assert re.search(r"^Second billing in europe: \d+ files are gone, \d+ carry the new name, \d+ are new", told, re.M)
    return folder


def make(project: Path, *arguments: str) -> str:
    return command(project, "make", f"VENV={ROOT / '.venv'}", f"STAMP={project.parent / 'stamp'}", *arguments)


@pytest.mark.slow
def test_what_it_leaves_is_clean_green_and_runs(project: Path) -> None:
    """One test, so that the clone is made once, wherever tests are handed out to."""
    knows_nothing_of_worthit_and_deploys_under_its_own_name(project)
    make(project, "lint")
    command(project, str(ROOT / ".venv/bin/python"), "-m", "pytest", "-q", "-p", "no:xdist", *TESTS)


def knows_nothing_of_worthit_and_deploys_under_its_own_name(project: Path) -> None:
    left = command(project, "git", "ls-files", "--cached", "--others", "--exclude-standard").split()
    files = [project / name for name in left if (project / name).is_file()]
    strange = re.compile(r"worthit|analyze_product|netlify/|jobs[./]products", re.I)
    assert [
        str(path.relative_to(project))
        for path in files
        if path.name != "LICENSE" and strange.search(path.read_bytes().decode(errors="replace"))
    ] == []
    blueprint = yaml.safe_load((project / "render.yaml").read_text())
    names = [service["name"] for service in blueprint["services"]]
    assert names == [f"{NAME}-redis", f"{NAME}-worker", f"{NAME}-monitor"]
    monitor = {one.get("key"): one.get("value") for one in blueprint["services"][2]["envVars"]}
    assert monitor["AUTOSCALE_SERVICE"] == f"{NAME}-worker"
    for gone in ("lxml", "webencodings", "extruct"):
        for name in ("requirements.txt", "requirements-dev.txt", "requirements.lock"):
            assert f"{gone}==" not in (project / name).read_text()
    assert (project / "requirements.lock").read_text().count("\n    --hash") > 100


def test_the_readme_shows_the_example_job() -> None:
    example = ROOT / "tools" / "new_project" / "template" / "jobs" / "invoices.py"
    assert f"```python\n{example.read_text()}```" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("given", [[], [""], ["Billing"], ["a b"], ["-a"], ["a" * (LONGEST_NAME + 1)], ["a", "b"]])
def test_a_name_that_will_not_do_is_refused_in_words(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given) == 2
    assert "make new-project NAME=billing" in capsys.readouterr().err


def test_each_spelling_of_the_name_follows() -> None:
    text = "WorthIt! worker, WorthIt's, WorthIt-worker/1, worthit_producer, @worthit/producer, WORTHIT_QUEUE"
    assert renamed(text, "my-mail") == (
        "My mail worker, My mail's, my-mail-worker/1, my_mail_producer, @my-mail/producer, MY_MAIL_QUEUE"
    )
