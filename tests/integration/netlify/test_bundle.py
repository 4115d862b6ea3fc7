"""The functions as Netlify bundles them."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.support.node import needs_node, tool
from tests.support.producers import rest_environment
from tests.support.products import functions
from tests.support.rest_stub import RestStub


@needs_node
def test_the_functions_run_from_a_bundle_as_netlify_makes_it(tmp_path: Path, stub: RestStub) -> None:
    sources = sorted(functions.FUNCTIONS.glob("*.mjs"))
    bundled = tool(
        "esbuild",
        *map(str, sources),
        *("--bundle", "--platform=node", "--format=esm", "--target=node18", "--out-extension:.js=.mjs"),
        f"--outdir={tmp_path}",
    )
    assert bundled.returncode == 0, bundled.stderr
    with functions.site(rest_environment(stub), functions=sorted(tmp_path.glob("*.mjs"))) as site:
        answer = httpx.post(f"{site}/api/analyze", json={"url": "https://shop.example/lamp"}, timeout=60)
        assert answer.status_code == 202, answer.text
        assert httpx.get(site + answer.headers["location"], timeout=60).json()["status"] == "queued"
