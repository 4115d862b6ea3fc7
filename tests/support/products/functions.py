"""The site's functions, in a Node of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.node import ROOT, environment
from tests.support.processes import belong_to_the_tests

FUNCTIONS = ROOT / "netlify" / "functions"
HOST = Path(__file__).with_name("netlify_host.mjs")


@contextmanager
def site(environ: dict[str, str], functions: list[Path] | None = None) -> Iterator[str]:
    """Serve the functions, or bundles of them; yields the site's URL."""
    process = subprocess.Popen(
        ["node", str(HOST), *map(str, functions or sorted(FUNCTIONS.glob("*.mjs")))],
        env=environment(environ),
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
