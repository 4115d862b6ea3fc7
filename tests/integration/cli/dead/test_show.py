"""Where a job with steps stands, as the commands show it, and how they carry that on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job

from tests.support import tasks
from tests.support.commands import run
from tests.support.engine import everything, lives
from tests.support.server import RedisServer
from tests.support.worker import work


@pytest.fixture
def letter(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> Job:
    """A dead letter that has kept seven steps and moved a cursor."""
    job = queue.enqueue(tasks.steps_and_a_cursor, 7, {"page": "höher", "at": [1, 2]}, failure_ttl=600)
    work(redis)
    return job


def test_it_shows_the_last_steps_and_the_cursors(server: RedisServer, letter: Job) -> None:
    told = run("dead", "show", letter.id, url=server.url).stdout
    assert "steps        7 kept, the last ones: 'step:2', 'step:3', 'step:4', 'step:5', 'step:6'\n" in told
    assert re.search(
        r"What it said last\n  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}   1         seven steps are done\n\n", told
    )
    assert 'cursors      pages at {"page":"h\\u00f6her","at":[1,2]}\n' in told
    assert told.endswith(f"dead replay {letter.id} (it goes on from there; from the beginning with --fresh)\n")


def test_its_json_has_no_results_unless_arguments_are_asked_for(server: RedisServer, letter: Job) -> None:
    plain = json.loads(run("dead", "show", letter.id, "--json", url=server.url).stdout)
    assert [(line["attempt"], line["text"]) for line in plain["log"]] == [(1, "seven steps are done")]
    assert plain["journal"].startswith("7 steps kept, the last one 'step:6'; cursor pages at ")
    kept = plain["kept"]
    assert (kept["steps"], kept["cursors"]) == (7, {"pages": {"page": "höher", "at": [1, 2]}})
    assert [set(step) for step in kept["last_steps"]] == [{"name", "at"}] * 7
    whole = json.loads(run("dead", "show", letter.id, "--json", "--arguments", url=server.url).stdout)
    assert [step["result"] for step in whole["kept"]["last_steps"]] == [{"number": number} for number in range(7)]


def test_a_replay_keeps_what_there_is_unless_it_is_fresh(
    server: RedisServer, redis: redis_py.Redis, letter: Job
) -> None:
    assert run("dead", "replay", letter.id, url=server.url).returncode == 0
    assert redis.hlen(f"rq:journal:{letter.id}") == 8
    work(redis)
    assert run("dead", "replay", letter.id, "--fresh", url=server.url).returncode == 0
    assert not redis.exists(f"rq:journal:{letter.id}")
    assert not redis.hexists(letter.key, "journal")


def test_an_edit_says_that_the_steps_keep_what_they_have_returned(server: RedisServer, letter: Job) -> None:
    told = run("dead", "edit", letter.id, "--args", "[7, 1]", url=server.url).stdout
    assert "replay it with --fresh to call them again" in told


def test_an_exported_letter_comes_back_with_its_journal_and_its_log(
    server: RedisServer, redis: redis_py.Redis, letter: Job, tmp_path: Path
) -> None:
    saved = tmp_path / "letters"
    before, said = everything(redis)[f"rq:journal:{letter.id}"], redis.lrange(f"rq:log:{letter.id}", 0, -1)
    assert run("dead", "export", "--output", str(saved), url=server.url).returncode == 0
    assert run("dead", "discard", letter.id, "--yes", url=server.url).returncode == 0
    assert not redis.exists(f"rq:journal:{letter.id}", f"rq:log:{letter.id}")
    assert run("dead", "import", str(saved), url=server.url).returncode == 0
    assert everything(redis)[f"rq:journal:{letter.id}"] == before
    assert redis.lrange(f"rq:log:{letter.id}", 0, -1) == said
    assert all(lives(redis, f"rq:{kind}:{letter.id}", 600) for kind in ("journal", "log"))
    older = json.loads(saved.read_text())
    del older["journal"], older["log"]  # as releases before this one have written it
    saved.write_text(json.dumps(older))
    assert run("dead", "discard", letter.id, "--yes", url=server.url).returncode == 0
    assert run("dead", "import", str(saved), url=server.url).returncode == 0
    assert not redis.exists(f"rq:journal:{letter.id}")
