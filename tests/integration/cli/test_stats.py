"""`python -m worker stats`: what functions have done, as people and programs read it."""

from __future__ import annotations

import json

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.commands import run
from tests.support.worker import work


def test_it_shows_what_has_run_and_how_long_it_took(url: str, redis: redis_py.Redis, queue: Queue) -> None:
    told = run("stats", url=url)
    assert told.stdout.startswith("Nothing has run since 20")
    for number in range(20):
        queue.enqueue(tasks.add, number, 1)
    queue.enqueue(tasks.boom)
    work(redis, RENDER_GIT_COMMIT="abc1234")
    lines = run("stats", "--since", "8h", url=url).stdout.splitlines()
    assert lines[0].split()[:5] == ["FUNCTION", "RUNS", "FAILED", "BURIED", "TOOK"]
    assert [line.split()[:4] for line in lines[1:3]] == [
        ["tests.support.tasks.add", "20", "0", "0"],
        ["tests.support.tasks.boom", "1", "1", "1"],
    ]
    assert "█" in lines[1]
    assert lines[4].endswith("(8.0 h), ten minutes a sign, the last not over yet.")
    assert lines[5].startswith("Release abc1234 came at 20")
    one = run("stats", "--function", "tests.support.tasks.boom", url=url).stdout
    assert one.startswith("tests.support.tasks.boom: 1 run, 1 failed, 1 buried\nruns        ")
    assert "add" not in one
    found = json.loads(run("stats", "--json", url=url).stdout)
    assert (found["period"], found["releases"][0]["release"]) == (60, "abc1234")
    add = found["functions"][0]
    assert (add["function"], add["processed"]) == ("tests.support.tasks.add", 20)
    assert 0 < add["run"]["p50"] <= add["run"]["p95"] <= add["run"]["p99"] < 60
    assert sum(piece["processed"] for piece in add["pieces"]) == 20
    assert run("stats", "--since", "soon", url=url).returncode == 2
    assert "Nothing has run of none since" in run("stats", "--function", "none", url=url).stdout
