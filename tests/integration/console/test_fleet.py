"""Fleet, Schedule and Functions: what they show of a real service, and a line of the schedule that is run now."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.console import Client, serving
from tests.support.letters import seed
from tests.support.schedules import Package
from tests.support.server import RedisServer
from tests.support.service import Service, until
from tests.support.waiting import PATIENCE_SECONDS, eventually


def test_a_fleet_at_work_is_shown_with_what_each_consumer_does(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    running = queue.enqueue(tasks.nap_in_steps, 300)
    with (
        Service(server.url, RENDER_GIT_COMMIT="3f2a9c1ddd", RENDER_INSTANCE_ID="srv-shop") as service,
        serving(server.url, WORKER_QUEUES="high,default") as console,
    ):
        until(lambda: redis.zcard("rq:wip:default") == 1, PATIENCE_SECONDS, service=service)
        (instance,) = eventually(lambda: console.data("/fleet")["instances"], PATIENCE_SECONDS)
        assert instance["name"].startswith("srv-shop.")
        assert instance["ours"]
        assert instance["releases"] == ["3f2a9c1"]

        def busy() -> bool:
            fleet = console.data("/fleet")
            return any(one["jobs"] == [running.id] for one in fleet["instances"][0]["consumers"])

        eventually(busy, PATIENCE_SECONDS)
        assert console.data("/fleet")["functions"] == {running.id: "tests.support.tasks.nap_in_steps"}
        form = {"function": f"@{instance['name']}", "for": "10m", "reason": "a look at its disk"}
        assert console.post("/do/pause", form).headers["location"].startswith("/fleet?note=")
        eventually(lambda: console.data("/fleet")["quiet_ones"] == [instance["name"]], PATIENCE_SECONDS)
        assert "Quiet: it begins no job" in console.get("/fleet").body
        assert console.post("/do/resume", form).status == 303
        eventually(lambda: console.data("/fleet")["quiet_ones"] == [], PATIENCE_SECONDS)
        for path in ("/fleet", "/"):
            page = console.get(path, user="viewer").body
            assert running.id[:15] in page
            assert "tests.support.tasks.nap_in_steps" in page
            assert "300" not in page, "a viewer sees no arguments"


def test_a_line_of_the_schedule_shows_its_runs_and_is_run_now(
    server: RedisServer, redis: redis_py.Redis, tmp_path: Path
) -> None:
    path = tmp_path / "ticks"
    package = Package(tmp_path, f'cron.register(work.tick, "default", cron="0 0 1 1 *", args=({str(path)!r},))')
    with (
        Service(server.url, WORKER_QUEUES="default", **package.environ) as service,
        serving(server.url, **package.environ) as console,
    ):
        lines = until(lambda: console.data("/schedule")["lines"], PATIENCE_SECONDS, service=service)
        (line,) = lines
        assert (line["when"], line["queue"], line["runs"], line["passed_over"]) == ("0 0 1 1 *", "default", [], False)
        form = {"number": str(line["number"]), "name": line["name"]}
        for wrong in ({"number": "7"}, {"name": "another"}):
            assert console.post("/do/cron-run", {**form, **wrong}).status == 409
        assert console.post("/do/cron-run", {"name": line["name"]}).status == 400
        assert console.post("/do/cron-run", form).status == 303
        until(path.exists, PATIENCE_SECONDS, service=service)
        (written,) = console.data("/dead/audit")["lines"]
        assert (written["action"], written["which"]) == ("cron-run", line["name"])
        later = Queue("default", connection=redis).enqueue_in(timedelta(hours=1), tasks.add, 1, 2)
        delayed = eventually(lambda: console.data("/schedule")["delayed"], PATIENCE_SECONDS)
        assert [(one["job"]["job_id"], one["job"]["function"]) for one in delayed] == [
            (later.id, "tests.support.tasks.add")
        ]
        assert delayed[0]["due_at"] - console.data("/schedule")["now"] > 3000


def test_functions_are_counted_from_samples_of_very_many(console: Client, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    queue.enqueue_many([Queue.prepare_data(tasks.add, (1, 2)) for _ in range(300)])
    queue.enqueue_many([Queue.prepare_data(tasks.boom, ("secret",)) for _ in range(300)])
    seed(redis, 7)
    console.get("/queues")  # reads the fleet
    rows = {row["function"]: row for row in eventually(lambda: console.data("/functions")["rows"], PATIENCE_SECONDS)}
    assert rows["tests.support.tasks.add"]["waiting"] == 300
    assert rows["tests.support.tasks.boom"]["waiting"] == 300
    assert rows["tests.support.tasks.kind_0"]["dead"] == 7
    assert console.data("/functions")["of"] == 600
    assert "secret" not in console.get("/functions").body


def test_what_functions_did_is_shown_with_releases_and_what_waits(console: Client, redis: redis_py.Redis) -> None:
    now = int(redis.time()[0])
    for ago in range(1, 6):
        slow = ago < 3
        redis.hset(
            f"rq:history:60:{now // 60 - ago}", "shop.mail", f"p=10 f={int(slow)} r{20 if slow else 12}=10 w3=10"
        )
    redis.hset("rq:history:releases", mapping={"b07d5e2": f"{now - 150} {now}", "old": f"{now - 90_000} {now - 150}"})
    Queue("default", connection=redis).enqueue("shop.mail", job_id="waits")
    redis.hset("rq:job:waits", "enqueued_at", "2026-01-01T00:00:00.000000Z")
    console.get("/queues")  # reads the fleet
    row = eventually(lambda: [row for row in console.data("/functions")["history"] if row["oldest"]], PATIENCE_SECONDS)[
        0
    ]
    assert (row["function"], row["processed"], row["failed"], row["buried"]) == ("shop.mail", 50, 2, 0)
    assert 0.08 < row["run"]["p50"] < 0.2
    assert 2 < row["run"]["p95"] < 4
    one = console.data("/functions?function=shop.mail")
    took, waited, counts = one["charts_of"]
    p95 = [value for value in took["curves"][1]["values"] if value is not None]
    assert [value > 1 for value in p95] == [False, False, False, True, True]
    assert waited["now"]["values"][0] > 86400
    assert [curve["name"] for curve in counts["curves"]] == ["runs", "failed"]
    ((place, release, _),) = one["marks"]
    assert release == "b07d5e2"
    assert 0.9 < place < 1
    page = console.get("/functions?function=shop.mail").body
    assert page.count('<svg class="curves"') == 3
    assert "b07d5e2" in page
    assert "oldest waiting now" in page
    assert console.get("/functions?since=1y").status == 400
    assert "It has not run in this time." in console.get("/functions?function=none").body


def test_hostile_jobs_are_glanced_at_safely(console: Client, redis: redis_py.Redis) -> None:
    for number, data in enumerate(
        (b"\x00" * 300_000, b"\x80\x05garbage", b"", b"[", b'["<script>alert(1)</script>\\u202e"')
    ):
        redis.hset(f"rq:job:odd-{number}", mapping={"data": data, "status": "queued" * 1000, "origin": "\x1b[31m"})
        redis.rpush("rq:queue:default", f"odd-{number}")
    redis.set("rq:job:wrong-type", "x")
    redis.rpush("rq:queue:default", "wrong-type", "gone", b"\xff\xfe")
    redis.sadd("rq:queues", "rq:queue:default")
    console.get("/queues")
    page = console.get("/functions").body
    assert "unreadable" in page
    assert "&lt;script&gt;alert" in page
    assert "<script>alert" not in page
    assert "\u202e" not in page
