"""Dead letters on the pages: by cause, a look before, canaries, a rate, a stop; deleting, editing, the download."""

from __future__ import annotations

import json
import re
from typing import Any

import redis as redis_py

from tests.support import tasks
from tests.support.console import Client
from tests.support.letters import box, bury, ids, record, seed
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.support.worker import consumer
from worker.console.reading.dead import MOST_KINDS
from worker.dead_letters import changes


def begin(console: Client, **form: str) -> str:
    """Begin a replay; returns its name."""
    begun = console.post("/do/dead-replay", form)
    assert begun.status == 303, begun
    found = re.match(r"/dead/runs/(\w+)\?note=", begun.headers["location"])
    assert found is not None
    return found[1]


def run(console: Client, name: str) -> dict[str, Any]:
    replay: dict[str, Any] = console.data(f"/dead/runs/{name}")["replay"]
    return replay


def test_causes_a_look_before_and_a_replay_after_canaries_that_finish(console: Client, redis: redis_py.Redis) -> None:
    for _ in range(3):
        bury(redis, tasks.add, 1, "x")
    bury(redis, tasks.boom, "<script>alert(1)</script>")
    data = console.data("/dead")
    assert [(kind["count"], kind["function"]) for kind in data["survey"]["kinds"]] == [
        (3, "tests.support.tasks.add"),
        (1, "tests.support.tasks.boom"),
    ]
    assert data["survey"]["kinds"][0]["error"].startswith("TypeError: unsupported operand")
    assert "<script>alert" not in console.get("/dead").body
    fingerprint = data["survey"]["kinds"][0]["fingerprint"]
    look = console.get(f"/dead/replay?fingerprint={fingerprint}", user="viewer").body
    assert "3 jobs would be replayed" in look
    assert len(ids(redis)) == 4, "looking changes nothing"
    for job_id in ids(redis)[:3]:
        edited = console.post("/do/dead-edit", {"id": job_id, "function": "tests.support.tasks.add", "args": "[1, 2]"})
        assert edited.status == 303, edited.body
    name = begin(console, fingerprint=fingerprint, canary="1", rate="50/s")
    eventually(lambda: run(console, name)["phase"] == "waiting", PATIENCE_SECONDS)
    assert len(ids(redis)) == 3
    assert "No consumer reads" in run(console, name)["warning"]
    assert consumer(redis).work(burst=True)
    eventually(lambda: run(console, name)["phase"] == "done", PATIENCE_SECONDS)
    assert run(console, name)["done"] == 3
    assert len(ids(redis)) == 1
    lines = changes.audit(box(redis), 10)
    assert {(line["action"], line["who"].partition(" ")[0]) for line in lines} == {
        ("replay", "operator@console"),
        ("edit", "operator@console"),
    }
    assert console.data("/dead/audit")["lines"][0]["run"] == name
    assert "operator@console" in console.get("/dead/audit").body


def test_a_canary_that_fails_stops_the_rest(console: Client, redis: redis_py.Redis) -> None:
    for _ in range(3):
        bury(redis, tasks.boom)
    name = begin(console, all="yes", canary="1")
    eventually(lambda: run(console, name)["phase"] == "waiting", PATIENCE_SECONDS)
    consumer(redis).work(burst=True)
    eventually(lambda: run(console, name)["phase"] == "failed", PATIENCE_SECONDS)
    assert [state for _, state in run(console, name)["failed"]] == ["failed"]
    assert run(console, name)["done"] == 1
    assert "did not finish" in console.get(f"/dead/runs/{name}").body


def test_a_slow_replay_can_be_stopped(console: Client, redis: redis_py.Redis) -> None:
    seed(redis, 40)
    name = begin(console, all="yes", rate="2/m")
    eventually(lambda: run(console, name)["done"] >= 1, PATIENCE_SECONDS)
    assert "Stop it" in console.get(f"/dead/runs/{name}").body
    assert "Stop it" not in console.get(f"/dead/runs/{name}", user="viewer").body
    assert console.post("/do/dead-abort", {"run": name}).status == 303
    eventually(lambda: run(console, name)["phase"] == "aborted", PATIENCE_SECONDS)
    assert len(ids(redis)) >= 38
    assert console.post("/do/dead-abort", {"run": name}).status == 400


def test_nothing_is_changed_by_what_is_not_meant(console: Client, redis: redis_py.Redis) -> None:
    seed(redis, 5)
    for path, form in (
        ("/do/dead-replay", {}),
        ("/do/dead-replay", {"all": "yes", "rate": "much"}),
        ("/do/dead-replay", {"all": "yes", "canary": "-1"}),
        ("/do/dead-replay", {"since": "yesterday-ish"}),
        ("/do/dead-replay", {"id": "no-such-job"}),
        ("/do/dead-discard", {"all": "yes"}),
        ("/do/dead-discard", {"sure": "yes"}),
        ("/do/dead-export", {}),
    ):
        refused = console.post(path, form)
        assert refused.status == 400, (path, form)
    assert console.post("/do/dead-replay", {"all": "yes", "to": "dead-letter"}).status == 409
    assert len(ids(redis)) == 5
    assert console.get("/dead?since=yesterday-ish").status == 400


def test_deleting_and_the_download_take_what_the_filter_chooses(console: Client, redis: redis_py.Redis) -> None:
    seed(redis, 5)
    kept = bury(redis, tasks.add, 1, "x")
    got = console.post("/do/dead-export", {"function": "*.add"})
    assert got.headers["content-disposition"] == 'attachment; filename="dead-letters.jsonl"'
    assert [json.loads(line)["id"] for line in got.body.splitlines()] == [kept.id]
    assert console.data("/dead/audit")["lines"][0]["action"] == "export", "it holds arguments"
    assert console.post("/do/dead-discard", {"function": "*.add", "sure": "yes"}).status == 303
    assert kept.id not in ids(redis)
    assert len(ids(redis)) == 5
    one = ids(redis)[0]
    gone = console.post("/do/dead-discard", {"id": one, "sure": "yes"}, Accept="application/json")
    assert gone.json == {"done": "1 dead letter deleted.", "then": "/dead"}
    assert one not in ids(redis)
    assert console.post("/do/dead-discard", {"id": one, "sure": "yes"}).status == 409


def test_arguments_are_written_as_json_and_taken_back(console: Client, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.add, 1, "x")
    form = {"id": job.id, "function": "tests.support.tasks.add", "args": "[1, 1]", "kwargs": ""}
    for odd in ({"args": "[1,"}, {"args": '{"a": 1}'}, {"kwargs": "[]"}, {"function": "os; rm"}, {"args": "[NaN]"}):
        assert console.post("/do/dead-edit", {**form, **odd}).status == 409, odd
    assert console.post("/do/dead-edit", form).status == 303
    assert console.post("/do/dead-undo", {"id": job.id}).status == 303
    assert console.post("/do/dead-undo", {"id": job.id}).status == 409
    assert console.post("/do/dead-edit", form).status == 303
    assert console.post("/do/dead-replay", {"id": job.id}).status == 303
    consumer(redis).work(burst=True)
    job.refresh()
    assert job.return_value() == 2
    assert record(redis, job.id) == {}


def test_a_page_of_very_many_is_bounded_and_says_how_far_it_looked(console: Client, redis: redis_py.Redis) -> None:
    seed(redis, 5_000)
    first = console.data("/dead")
    assert (len(first["letters"]), first["of"]) == (50, 5_000)
    assert first["survey"]["looked_at"] <= first["survey"]["of"] == 5_000
    done = eventually(lambda: (now := console.data("/dead"))["survey"]["finished"] and now, PATIENCE_SECONDS)
    assert done["survey"]["total"] == 5_000
    assert sum(kind["count"] for kind in done["survey"]["kinds"]) == 5_000
    assert len(done["survey"]["kinds"]) <= MOST_KINDS
    second = console.data(f"/dead?before={first['next']}")
    assert not {one["job_id"] for one in second["letters"]} & {one["job_id"] for one in first["letters"]}
    none = console.data("/dead?function=no.such")
    assert none["letters"] == []
    assert 0 < none["looked_at"] <= 5_000
