"""`python -m worker log`: what a job says, while it runs too."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Thread

import pytest
import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.commands import run
from tests.support.service import ROOT
from tests.support.worker import work


def test_it_shows_what_a_job_has_said_and_what_there_is_not(url: str, redis: redis_py.Redis, queue: Queue) -> None:
    job = queue.enqueue(tasks.say, "begun", "two\nlines \x1b[2J")
    silent = queue.enqueue(tasks.add, 1, 2)
    work(redis)
    lines = run("log", job.id, url=url).stdout.splitlines()
    assert [line[23:] or line for line in lines] == [
        "   1         begun",
        "   1   50 %  half",
        "   1         two",
        "lines \\x1b[2J",
    ]
    rows = [json.loads(line) for line in run("log", job.id, "--json", url=url).stdout.splitlines()]
    assert [(row["attempt"], row["percent"], row["text"]) for row in rows] == [
        (1, None, "begun"),
        (1, 50, "half"),
        (1, None, "two\nlines \x1b[2J"),
    ]
    redis.lset(f"rq:log:{job.id}", 0, (redis.hget(job.key, "created_at") or b"") + b" 7")
    assert run("log", job.id, url=url).stdout.startswith("… 7 lines left out …\n")
    told = run("log", silent.id, url=url)
    assert (told.returncode, told.stderr) == (0, "The job is finished, and has said nothing.\n")
    told = run("log", "none", url=url)
    assert (told.returncode, told.stderr) == (1, "There is no job none: it was deleted, or has expired.\n")


def test_it_follows_a_job_until_its_end(
    url: str, redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = queue.enqueue(tasks.say, "begun")
    command = [sys.executable, "-m", "worker", "log", job.id, "--follow"]
    seen: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, env={"REDIS_URL": url}, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        output = follower.stdout

        def look(_connection: object) -> None:  # while the job runs
            reader = Thread(target=lambda: seen.append(output.readline()), daemon=True)
            reader.start()
            reader.join(60)

        monkeypatch.setattr(tasks, "observer", look)
        work(redis)
        assert follower.wait(60) == 0
        rest = output.read()
    assert [line.split()[-1] for line in seen] == ["begun"]
    assert rest == ""
