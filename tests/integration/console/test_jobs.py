"""Jobs and one job's page: what they show, and what they keep from those who only look."""

from __future__ import annotations

import json

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.console import Client
from tests.support.letters import bury, seed
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.support.worker import consumer

SECRET = "4111-1111-card"


def test_a_job_is_found_by_what_it_was_given_by_who_may_act_alone(console: Client, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    job = queue.enqueue(tasks.add, SECRET, 2)
    queue.enqueue(tasks.add, 1, 2)
    assert [row["job_id"] for row in console.data(f"/jobs?text={SECRET}")["rows"]] == [job.id]
    assert console.data(f"/jobs?text={SECRET}", user="viewer")["rows"] == [], "else he could ask letter by letter"
    assert [row["job_id"] for row in console.data(f"/jobs?text={job.id}", user="viewer")["rows"]] == [job.id]
    assert len(console.data("/jobs?function=*.add&status=queued&queue=default&since=1h", user="viewer")["rows"]) == 2
    assert console.data("/jobs?status=finished")["rows"] == []
    for odd in ("status=lost", "since=sometime"):
        assert console.get(f"/jobs?{odd}").status == 400
    assert "2 jobs found; all of 2 jobs looked at." in console.get("/jobs").body


def test_a_search_of_very_many_goes_on_where_it_stopped(console: Client, redis: redis_py.Redis) -> None:
    seed(redis, 200)
    redis.sadd("rq:queues", "rq:queue:default")
    first = console.data("/jobs?status=failed")
    assert len(first["rows"]) == 50
    second = console.data(f"/jobs?status=failed&cursor={first['next']}")
    assert len({row["job_id"] for row in (*first["rows"], *second["rows"])}) == 100
    assert "Look further" in console.get("/jobs?status=failed").body


def test_a_viewer_sees_a_jobs_story_and_no_argument_in_it(console: Client, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.boom, SECRET.upper(), meta={"order": SECRET})
    redis.hset(f"rq:job:{job.id}", "description", f"boom({SECRET!r})")
    done = Queue("default", connection=redis).enqueue(tasks.add, SECRET, "-result")
    consumer(redis).work(burst=True)
    for path in (
        f"/jobs/{job.id}?show=all",
        f"/jobs/{done.id}?show=all",
        "/jobs",
        "/dead",
        "/",
        "/fleet",
        "/functions",
    ):
        for accept in ("text/html", "application/json"):
            assert SECRET not in console.get(path, user="viewer", Accept=accept).body, path
    shown = console.data(f"/jobs/{job.id}", user="viewer")["story"]
    assert (shown["function"], shown["status"], shown["queue"]) == ("tests.support.tasks.boom", "failed", "default")
    assert shown["attempts"][0]["outcome"] == "failed"
    assert shown["can"] == []
    hidden = console.get(f"/jobs/{job.id}").body
    assert f"boom({SECRET.upper()}" not in hidden
    asked = console.get(f"/jobs/{job.id}?show=all").body
    assert f"tests.support.tasks.boom(&#39;{SECRET.upper()}&#39;)" in asked
    returned = console.data(f"/jobs/{done.id}?show=all")
    assert returned["result"]["text"] == f"'{SECRET}-result'"


def test_the_form_holds_what_the_job_was_given_exactly(console: Client, redis: redis_py.Redis) -> None:
    odd = ["\u202eabc", "</textarea><script>alert(1)</script>", {"n": 1.5}]
    job = bury(redis, tasks.boom, *odd[:1])
    redis.hset(f"rq:job:{job.id}", "data", json.dumps(["tests.support.tasks.boom", None, odd, {}]).encode())
    call = console.data(f"/jobs/{job.id}?show=edit")["call"]
    assert json.loads(call["args"]) == odd
    body = console.get(f"/jobs/{job.id}?show=edit").body
    assert "<script>alert" not in body
    assert "\u202e" not in body
    assert console.get(f"/jobs/{job.id}?show=edit", user="viewer").body.count("<textarea") == 0


def test_jobs_that_are_not_there_or_have_odd_names(console: Client, redis: redis_py.Redis) -> None:
    assert console.get("/jobs/no-such-job").status == 404
    for name in ("..", "a/b/../c", "<b>", "a?b#c", "\u202e", b"\xff\xfe"):
        redis.hset(
            f"rq:job:{name}" if isinstance(name, str) else b"rq:job:" + name,
            mapping={"status": "queued", "origin": "q"},
        )
        redis.rpush("rq:queue:q", name)
    redis.sadd("rq:queues", "rq:queue:q")
    body = console.get("/jobs?queue=q").body
    links = [part.partition('"')[0] for part in body.split('class="id" href="')[1:]]
    assert len(links) == 6
    for link in links:
        assert console.get(link).status == 200, link


def test_jobs_are_run_again_canceled_and_deleted_from_their_queue(console: Client, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    done = queue.enqueue(tasks.add, 1, 2)
    consumer(redis).work(burst=True)
    assert "Run it again" in console.get(f"/jobs/{done.id}").body
    assert console.post("/do/job-again", {"id": done.id}).status == 303
    assert queue.job_ids == [done.id]
    assert console.post("/do/job-again", {"id": done.id}).status == 409
    assert "Cancel it" in console.get(f"/jobs/{done.id}").body
    assert console.post("/do/job-cancel", {"id": done.id}).status == 303
    assert done.get_status(refresh=True) == "canceled"
    assert console.post("/do/job-stop", {"id": done.id}).status == 409
    waiting = [queue.enqueue(tasks.add, 1, number).id for number in range(3)]
    eventually(lambda: "Delete the 3 jobs" in console.get("/queues").body, PATIENCE_SECONDS)
    queue.enqueue(tasks.add, 9, 9)
    for form in ({"queue": "default", "count": "3"}, {"queue": "default", "sure": "yes"}):
        assert console.post("/do/queue-empty", form).status == 400
    emptied = console.post(
        "/do/queue-empty", {"queue": "default", "count": "3", "sure": "yes"}, Accept="application/json"
    )
    assert emptied.json["done"].startswith("3 jobs of the queue 'default' deleted. 1 job")
    assert len(queue.job_ids) == 1
    assert not set(waiting) & set(queue.job_ids), "what came later stays"
    actions = [line["action"] for line in console.data("/dead/audit")["lines"]]
    assert actions == ["empty", "cancel", "run-again"]
