"""Pages that mean harm end within the job's limits of time and memory, and hide no product that stands before them.

Each is read in a process of its own, whose processor time the kernel limits: code that no Python code interrupts is
ended, too. `docs/products.md` has what they cost.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable

import pytest

from jobs.products.fetching import Page
from jobs.products.page import read_product
from jobs.products.reading.budget import MAX_SECONDS
from tests.support.products.corpus.hostile import PAGES
from worker.retry import PermanentError

#: What a page may add to a process that has read one before. A 512 MB instance runs two consumers of 60 MB each.
_MOST_MB = 160


def _read(make: Callable[[], str], answer: multiprocessing.connection.Connection) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(MAX_SECONDS) + 15, int(MAX_SECONDS) + 15))
    read_product(Page("https://shop.example/p/1", '<meta property="og:price:amount" content="1"><title>x</title>'))
    html = make()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        found = read_product(Page("https://shop.example/p/1", html))[0].name
    except PermanentError as error:
        found = type(error).__name__
    answer.send((found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if page.quick else pytest.mark.slow) for name, page in PAGES.items()]
)
def test_it_ends_within_its_budget(name: str) -> None:
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_read, args=(PAGES[name].make, there))
    process.start()
    there.close()
    try:
        found, megabytes = here.recv()
    except EOFError:
        process.join()
        pytest.fail(f"ended by signal {-(process.exitcode or 0)}: its processor time was used up")
    process.join()
    assert found in PAGES[name].found
    assert megabytes < _MOST_MB
