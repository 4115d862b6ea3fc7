"""JavaScript in tests: Node 18 or newer as a subprocess, and the tools that `make` has installed with npm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support import leaks

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
MODULES = ROOT / "node_modules" / "@worthit"


def _missing() -> str:
    node = shutil.which("node")
    if node is None:
        return "node is not installed: apt-get install nodejs, or https://nodejs.org"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < 18:
        return f"node is {version}, and the producer runs on 18 or newer"
    return "" if MODULES.is_dir() else "node_modules is missing: `make node_modules` installs it, with npm"


MISSING = _missing()
if MISSING and os.environ.get("CI"):
    raise RuntimeError(f"CI tests the JavaScript too, and {MISSING}")
#: For modules whose tests need Node. CI has it.
needs_node = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def tool(name: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a program of node_modules; returns what it said."""
    program = ROOT / "node_modules" / ".bin" / name
    command = [str(program), *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, timeout=240, check=False
    )


def evaluate(program: str, given: Any = None) -> Any:
    """Run a module's text, with the JSON of `given` on its stdin; returns what it printed as JSON."""
    return _run(["--input-type=module", "--eval", program], given, {})


def calls(environ: dict[str, str], *rows: list[Any], together: int = 1) -> list[dict[str, Any]]:
    """Run calls of the JavaScript producer; see js_calls.mjs."""
    answers: list[dict[str, Any]] = _run([str(SUPPORT / "js_calls.mjs"), str(together)], rows, environ)
    return answers


def run_module(program: str, environ: dict[str, str]) -> str:
    """Run a module's text; returns what it printed."""
    return _said(["--input-type=module", "--eval", program], None, environ)


def printed(module: Path) -> str:
    """Run a file; returns what it printed."""
    return _said([str(module)], None, {})


def _run(arguments: list[str], given: Any, environ: dict[str, str]) -> Any:
    return json.loads(_said(arguments, given, environ))


def _said(arguments: list[str], given: Any, environ: dict[str, str]) -> str:
    done = subprocess.run(
        ["node", *arguments],
        cwd=ROOT,
        env=environment(environ),
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(environ: dict[str, str]) -> dict[str, str]:
    """Return what a Node of a test finds: `environ`, and what marks it as ours."""
    return {"PATH": os.environ["PATH"], leaks.MARK: os.environ.get(leaks.MARK, ""), **environ}
