"""What the children share: imported before the fork, and nothing that is not wanted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.service import ROOT
from worker.exits import Exit

PRELOAD = """
import sys
from worker.cli.serve import preload
from worker.settings.load import load
preload(load({"REDIS_URL": "redis://127.0.0.1:1/0", "WORKER_JOB_MODULES": "jobs.probe", **%r}))
print(*sorted(sys.modules))
"""


@pytest.mark.parametrize(("environ", "sentry"), [({}, False), ({"SENTRY_DSN": "http://key@127.0.0.1:1/1"}, True)])
def test_the_children_need_not_import_what_each_would_use(environ: dict[str, str], sentry: bool) -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", PRELOAD % environ], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"encodings.idna", "jobs.probe"} <= set(loaded)
    assert ("sentry_sdk" in loaded) is sentry
    assert "rich" not in loaded, "the service has no use for it"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("json.loads", "json.loads is not a class, and only classes may be allowed."),
        ("no_such_shop.Order", "cannot be imported (ModuleNotFoundError: No module named 'no_such_shop')"),
    ],
)
def test_a_class_for_pickles_that_is_none_ends_the_start_with_a_sentence(name: str, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELOAD % {"WORKER_PICKLE_CLASSES": name}],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.BOOT_FAILED
    assert f"WORKER_PICKLE_CLASSES: {name}" in done.stderr
    assert says in done.stderr
