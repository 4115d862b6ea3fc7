"""JavaScript in tests: Node 20 or newer as a subprocess."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import leaks
from tests.support.processes import belong_to_the_tests

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
FUNCTIONS = ROOT / "netlify" / "functions"


def _missing() -> str:
    node = shutil.which("node")
    if node is None:
        return "node is not installed: apt-get install nodejs, or https://nodejs.org"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return (
        "" if int(version.lstrip("v").partition(".")[0]) >= 20 else f"node is {version}, and Netlify runs 20 or newer"
    )


MISSING = _missing()
#: For modules whose tests need Node. CI has it.
needs_node = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def evaluate(program: str, given: Any = None) -> Any:
    """Run a module's text, with the JSON of `given` on its stdin; returns what it printed as JSON."""
    return _run(["--input-type=module", "--eval", program], given, {})


def calls(environ: dict[str, str], *rows: list[Any], together: int = 1) -> list[dict[str, Any]]:
    """Run calls of the JavaScript producer; see js_calls.mjs."""
    answers: list[dict[str, Any]] = _run([str(SUPPORT / "js_calls.mjs"), str(together)], rows, environ)
    return answers


@contextmanager
def site(environ: dict[str, str]) -> Iterator[str]:
    """Serve the functions; yields the site's URL."""
    process = subprocess.Popen(
        ["node", str(SUPPORT / "netlify_host.mjs"), *map(str, sorted(FUNCTIONS.glob("*.mjs")))],
        env=_environment(environ),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=belong_to_the_tests,
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


def _run(arguments: list[str], given: Any, environ: dict[str, str]) -> Any:
    done = subprocess.run(
        ["node", *arguments],
        cwd=ROOT,
        env=_environment(environ),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _environment(environ: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], leaks.MARK: os.environ.get(leaks.MARK, ""), **environ}
