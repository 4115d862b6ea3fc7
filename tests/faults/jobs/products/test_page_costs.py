"""The pages that mean harm, in a service with the memory of Render's smallest instance: none ends a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue

from tests.support import control_groups
from tests.support.products.corpus.hostile import PAGES
from tests.support.products.pages import sample
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.shop import Shop, page

LIMIT_BYTES = 512 * 2**20
#: The pages that take most memory of those that the job's fetcher lets through. All of them are read one by one in
#: `tests/unit/jobs/products/test_hostile_pages.py`.
HEAVIEST = (
    "items",
    "items with offers",
    "itemrefs in a chain",
    "100 attributes of every tag",
    "JSON: quotes",
    "paragraphs",
)
GOOD_JOBS = 100


@pytest.fixture
def control_group() -> Iterator[tuple[Path, str]]:
    with control_groups.limited_to(LIMIT_BYTES) as made:
        yield made


@pytest.mark.slow
def test_hostile_pages_kill_nobody_in_512_mb_and_good_jobs_finish_beside_them(
    server: RedisServer, queue: Queue, redis: redis_py.Redis, control_group: tuple[Path, str]
) -> None:
    group, peak = control_group
    with Shop() as shop:
        shop.routes["/good"] = sample("buy.html")
        hostile = [f"/{at}" for at in range(2 * len(HEAVIEST))]  # each twice, so that two are read at once
        for at, path in enumerate(hostile):
            shop.routes[path] = page(PAGES[HEAVIEST[at // 2]].make().encode())
        with Service(
            server.url,
            WORKER_JOB_MODULES="jobs",
            WORKER_PROCESSES="2",
            WORKER_ALLOW_PRIVATE_ADDRESSES="true",
            cgroup=group,
        ) as service:
            service.wait_for("child.spawned", role="consumer")
            urls = [shop.url(path) for path in hostile]
            good = [shop.url(f"/good?n={n}") for n in range(GOOD_JOBS)]
            mixed = [url for pair in zip(urls, good, strict=False) for url in pair] + good[len(urls) :]
            jobs = queue.enqueue_many([Queue.prepare_data("jobs.products.analyze_product", (url,)) for url in mixed])
            until(
                lambda: all(job.get_status(refresh=True) in {"finished", "failed"} for job in jobs),
                300,
                service=service,
            )
            by_url = dict(zip(mixed, jobs, strict=True))
            assert {by_url[url].get_status(refresh=True) for url in good} == {"finished"}
            assert service.of("child.exited", role="consumer") == []
            assert service.of("job.rescued") == []
            used = int((group / peak).read_text())
            print(f"{len(hostile)} hostile pages, {GOOD_JOBS} good ones: {used / 2**20:.0f} MB at most")
            assert used < LIMIT_BYTES
            assert service.terminate() == 0
