"""`python -m worker types` knows what an analysis is."""

from __future__ import annotations

from tests.support.commands import run


def test_the_job_is_written_with_its_result() -> None:
    told = run("types", url=None, WORKER_JOB_MODULES="jobs")
    assert '"jobs.products.analyze_product": {\n      args: [url: string];' in told.stdout, told.stderr
    assert 'verdict: "buy" | "consider" | "avoid";' in told.stdout
