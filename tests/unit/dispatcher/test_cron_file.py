"""The file of a schedule: what it may hold, and where it says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py
from rq.cron import CronScheduler

from tests.support.schedules import Package
from worker.dispatcher import cron_file
from worker.settings.load import load


@pytest.fixture
def importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def read(package: Package) -> list[cron_file.Entry]:
    return cron_file.load(load({"WORKER_JOB_MODULES": package.name}, need_redis_url=False))


def test_a_schedule_is_read_in_rqs_format(importing: Path) -> None:
    package = Package(
        importing,
        """
        cron.register(work.tick, "default", interval=60)
        cron.register(work.tick, "low", args=("x",), cron="0 6 * * 1", meta={"missed": "skip"}, name="weekly")
        """,
    )
    first, second = read(package)
    assert (first.job.interval, first.catches_up) == (60, True)
    assert (second.job.cron, second.job.name, second.catches_up) == ("0 6 * * 1", "weekly", False)
    assert [one.key for one in read(package)] == [first.key, second.key], "the same on every instance and every time"
    rq = CronScheduler(redis_py.Redis())
    rq.load_config_from_file(f"{package.name}.schedule")
    assert [job.name for job in rq.get_jobs()] == [first.job.name, "weekly"], "rq cron reads it too"


def test_a_module_of_jobs_and_a_package_without_a_schedule_have_none() -> None:
    assert cron_file.load(load({"WORKER_JOB_MODULES": "tests.support.tasks,tests.support"}, need_redis_url=False)) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("cron.register(work.tick, 'default')", "interval=SECONDS or cron="),
        ("cron.register(work.tick, 'default', interval=1, cron='* * * * *')", "interval=SECONDS or cron="),
        ("cron.register(work.tick, 'default', cron='61 * * * *')", "interval=SECONDS or cron="),
        ("cron.register(work.tick, 'default', interval=-5)", "interval=-5"),
        ("cron.register(print, 'default', interval=5)", "WORKER_JOB_MODULES"),
        ("cron.register(lambda: 1, 'default', interval=5)", "WORKER_JOB_MODULES"),
        ("cron.register(work.tick, 'dead-letter', interval=5)", "dead-letter queue"),
        ("cron.register(work.tick, 'default', interval=5, meta={'missed': 'never'})", "missed='never'"),
        ("cron.register(work.tick, 'default', interval=5, args=(len,))", "arguments"),
        ("cron.register(work.tick, 'default', interval=float('inf'))", "interval=inf"),
        ("cron.register(work.tick, 'default', interval=float('nan'))", "interval=nan"),
        ("cron.register(work.tick, 'default', interval=5)\n" * 2, "twice"),
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def", "SyntaxError"),
    ],
)
def test_a_schedule_that_cannot_be_used_says_where_and_why(importing: Path, line: str, says: str) -> None:
    with pytest.raises(cron_file.ScheduleError, match="schedule") as caught:
        read(Package(importing, line))
    assert says in str(caught.value)
