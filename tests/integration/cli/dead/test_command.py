"""`python -m worker dead` as an operator uses it, against a real server, and in a real terminal where that matters."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry

from tests.support import tasks
from tests.support.commands import run
from tests.support.letters import bury, ids, record, seed
from tests.support.service import ROOT, Service
from tests.support.worker import consumer


def dead(*arguments: str, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    told = run("dead", *arguments, url=url, **environ)
    assert "Traceback" not in told.stderr, told.stderr
    return told


def listed(*arguments: str, url: str) -> list[str]:
    """Return the ids that a filter chooses."""
    told = dead("list", "--json", *arguments, url=url)
    assert told.returncode == 0, told.stderr
    return [json.loads(line)["id"] for line in told.stdout.splitlines()]


def audit(url: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dead("audit", "--json", url=url).stdout.splitlines()]


# -- looking ---------------------------------------------------------------------------------------------------------


def test_filters_choose(url: str, redis: redis_py.Redis) -> None:
    boom = bury(redis, tasks.boom)
    gone = bury(redis, tasks.give_up, queue="high")
    refused = bury(redis, "os.getcwd")
    wanted = {
        (): [refused.id, gone.id, boom.id],
        ("--queue", "high"): [gone.id],
        ("--function", "tests.support.tasks.*"): [gone.id, boom.id],
        ("--function", "os.getcwd"): [refused.id],
        ("--exception", "PermanentError"): [gone.id],
        ("--exception", "worker.retry.*"): [gone.id],
        ("--exception", "ValueError"): [boom.id],
        ("--reason", "refused_function"): [refused.id],
        ("--fingerprint", record(redis, boom.id)["fingerprint"]): [boom.id],
        ("--since", "1h"): [refused.id, gone.id, boom.id],
        ("--until", "1h"): [],
        ("--since", "2001-01-01", "--until", "2001-01-02"): [],
        ("--limit", "1"): [refused.id],
        (boom.id, refused.id, "nobody"): [boom.id, refused.id],
        (boom.id, refused.id, "--reason", "failed"): [boom.id],
    }
    assert {options: listed(*options, url=url) for options in wanted} == wanted


def test_what_was_requeued_or_deleted_is_not_listed(url: str, redis: redis_py.Redis) -> None:
    requeued, deleted, kept = bury(redis), bury(redis), bury(redis)
    requeued.requeue()
    deleted.delete()
    assert listed(url=url) == [kept.id]


def test_groups_count_kinds_of_failure(url: str, redis: redis_py.Redis) -> None:
    for number in range(3):
        bury(redis, tasks.boom, f"number {number}")
    example = bury(redis, tasks.give_up)
    groups = [json.loads(line) for line in dead("groups", "--json", url=url).stdout.splitlines()]
    assert [(group["count"], group["function"], group["reasons"]) for group in groups] == [
        (3, "tests.support.tasks.boom", {"failed": 3}),
        (1, "tests.support.tasks.give_up", {"permanent": 1}),
    ]
    assert groups[0]["message"] == "number 2", "the newest speaks for them"
    assert groups[1]["example"] == example.id
    table = dead("groups", url=url).stdout
    assert table.splitlines()[0].split() == [
        *("fingerprint", "count", "newest", "oldest", "queues", "function", "reason"),
        *("newest", "error"),
    ]
    assert "4 in 2 groups" in table


def test_show_tells_all_but_the_arguments_unless_asked(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.parse, "not JSON: hunter2")
    told = dead("show", job.id, url=url).stdout
    assert "json.decoder.JSONDecodeError" in told
    assert "in parse" in told
    assert f"Next: python -m worker dead replay {job.id}" in told
    assert "hunter2" not in told
    assert "hunter2" in dead("show", job.id, "--arguments", url=url).stdout
    assert json.loads(dead("show", job.id, "--arguments", "--json", url=url).stdout)["args"] == ["not JSON: hunter2"]


class Exporter:
    """A class of no job package."""


def test_show_never_unpickles_what_the_service_would_not(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.add, Exporter(), 1)
    told = dead("show", job.id, "--arguments", url=url).stdout
    assert "cannot be read" in told
    assert "refused_class" in told


def test_show_survives_arguments_that_cannot_be_shown(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.add, tasks.Shy(), 1, description="RQ itself would show them otherwise")
    assert "arguments    (<Shy>, 1)" in dead("show", job.id, "--arguments", url=url).stdout
    assert json.loads(dead("show", job.id, "--arguments", "--json", url=url).stdout)["args"] == ["<Shy>", 1]


def test_show_tells_the_history_and_a_hint(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.give_up)
    for _ in range(2):
        dead("replay", job.id, url=url)
        consumer(redis).work(burst=True)
    told = dead("show", job.id, url=url).stdout
    assert told.count("permanent  worker.retry.PermanentError there is no such product  (attempts 1)") == 2
    assert "Hint: it would fail again as it is" in told
    assert ids(redis) == [job.id]


def test_show_names_the_state_of_a_job_that_is_no_dead_letter(url: str, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    told = dead("show", job.id, url=url)
    assert (told.returncode, told.stderr.strip()) == (1, f"The job {job.id} is no dead letter: its status is queued.")


# -- replaying -------------------------------------------------------------------------------------------------------


def test_a_dry_run_changes_nothing(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 30, kinds=3)
    before = redis.dump("rq:queue:dead-letter")
    told = json.loads(dead("replay", "--all", "--dry-run", "--json", "--limit", "25", url=url).stdout)
    assert told["would_replay"] == 25
    assert told["kinds"][0] == {
        "queue": "default",
        "function": "tests.support.tasks.kind_0",
        "reason": "failed",
        "count": 9,
    }
    assert told["first_ids"][0] == "letter-0"
    assert "30 would be replayed. Nothing was changed." in dead("replay", "--all", "--dry-run", url=url).stdout
    assert redis.dump("rq:queue:dead-letter") == before
    assert redis.llen("rq:queue:default") == 0
    assert audit(url) == []


def test_a_filter_replays_the_oldest_first_and_leaves_the_others(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 9, kinds=3)
    told = dead("replay", "--function", "*.kind_1", "--limit", "2", url=url)
    assert told.stdout == "2 replayed.\n"
    assert Queue("default", connection=redis).job_ids == ["letter-1", "letter-4"]
    assert ids(redis) == [f"letter-{number}" for number in (0, 2, 3, 5, 6, 7, 8)]
    event = json.loads(told.stderr.splitlines()[-1])
    assert (event["event"], event["action"], event["count"]) == ("dead_letters.changed", "replay", 2)
    (line,) = audit(url)
    assert line["ids"] == ["letter-1", "letter-4"]
    assert "@" in line["who"]
    assert line["who"] == event["who"]
    assert line["note"] == "function *.kind_1"


def test_more_than_a_page_is_replayed(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 2500, kinds=2)
    assert dead("replay", "--function", "*.kind_0", url=url).stdout == "1,250 replayed.\n"
    assert len(ids(redis)) == 1250
    assert dead("replay", "--all", url=url).stdout == "1,250 replayed.\n"
    assert ids(redis) == []
    queued = Queue("default", connection=redis).job_ids
    assert len(queued) == len(set(queued)) == 2500


def test_a_rate_is_kept(url: str, redis: redis_py.Redis) -> None:
    """10 a second: after the first batch the rest follows at that pace, which the audit shows."""
    seed(redis, 20)
    assert dead("replay", "--all", "--rate", "10/s", url=url).stdout == "20 replayed.\n"
    moments = sorted(int(line["at"]) for line in audit(url))
    assert len(moments) == 10, "two at a time"
    assert moments[-1] - moments[0] >= 1700


def test_another_queue(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis)
    assert dead("replay", job.id, "--to", "high", url=url).returncode == 0
    assert Queue("high", connection=redis).job_ids == [job.id]
    consumer(redis).work(burst=True)
    assert FailedJobRegistry("high", connection=redis).get_job_ids() == [job.id]
    assert FailedJobRegistry("default", connection=redis).get_job_ids() == []
    assert ids(redis) == [job.id]
    refused = dead("replay", job.id, "--to", "dead-letter", url=url)
    assert refused.returncode == 2
    assert "no consumer reads it" in refused.stderr


def test_what_fails_again_meanwhile_is_not_replayed_again(url: str, redis: redis_py.Redis) -> None:
    with Service(url, WORKER_PROCESSES="1"):
        for _ in range(40):
            Queue("default", connection=redis).enqueue(tasks.boom)
        _until_count(redis, 40)
        assert dead("replay", "--all", "--rate", "40/s", url=url).stdout == "40 replayed.\n"
        _until_count(redis, 40)
    assert len(set(ids(redis))) == 40
    assert all(len(record(redis, job_id)["history"]) == 1 for job_id in ids(redis))


def _until_count(redis: redis_py.Redis, count: int) -> None:
    from tests.support.waiting import eventually

    eventually(lambda: redis.llen("rq:queue:dead-letter") == count, 20, what=f"{count} dead letters")


def test_good_canaries_let_the_rest_follow(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 12)  # tasks.add(1, 1): whatever made them fail is mended
    with Service(url, WORKER_PROCESSES="1"):
        told = dead("replay", "--all", "--canary", "3", url=url)
        assert (told.returncode, told.stdout) == (0, "12 replayed.\n")
        assert ids(redis) == []
    runs = {line["run"] for line in audit(url)}
    assert len(runs) == 1, "one command, one name in the audit"


def test_a_bad_canary_stops_the_rest(url: str, redis: redis_py.Redis) -> None:
    jobs = [bury(redis) for _ in range(6)]
    with Service(url, WORKER_PROCESSES="1"):
        told = dead("replay", "--all", "--canary", "2", url=url)
    assert (told.returncode, told.stdout) == (1, "2 replayed.\n")
    assert f"canary {jobs[0].id}: failed" in told.stderr
    assert "nothing more was replayed" in told.stderr
    assert ids(redis)[:4] == [job.id for job in jobs[2:]]


def test_canaries_that_nobody_runs_time_out(url: str, redis: redis_py.Redis) -> None:
    jobs = [bury(redis) for _ in range(3)]
    told = dead("replay", *(job.id for job in jobs), "--canary", "1", "--canary-timeout", "0.5", "--json", url=url)
    assert told.returncode == 1
    assert json.loads(told.stdout)["canaries_failed"] == {jobs[0].id: "still queued after the timeout"}
    assert "No consumer reads the queue 'default'" in told.stderr
    assert ids(redis) == [job.id for job in jobs[1:]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("replay",), "Name the ids"),
        (("replay", "x", "--all"), "Name the ids"),
        (("replay", "--all", "--rate", "fast"), "Write jobs per unit of time"),
        (("list", "--since", "yesterday"), "Write an age"),
        (("purge", "--older-than", "soon", "--yes"), "Write a number and a unit"),
        (("purge", "--yes"), "--older-than"),
        (("discard", "--all"), "Give --yes"),
        (("purge", "--older-than", "0s"), "Give --yes"),
        (("edit", "x"), "--undo alone"),
        (("edit", "x", "--args", "{"), "is not JSON"),
        (("edit", "x", "--args", "{}"), "JSON list"),
        (("edit", "x", "--kwargs", "[]"), "JSON object"),
    ],
)
def test_bad_input_ends_in_a_sentence(url: str, redis: redis_py.Redis, arguments: tuple[str, ...], words: str) -> None:
    seed(redis, 2)
    told = dead(*arguments, url=url)
    assert told.returncode == 2
    assert words in told.stderr
    assert len(ids(redis)) == 2


# -- deleting --------------------------------------------------------------------------------------------------------


def test_discard_leaves_nothing_of_a_job(url: str, redis: redis_py.Redis) -> None:
    job, kept = bury(redis), bury(redis)
    told = dead("discard", job.id, "nobody", "--yes", url=url)
    assert (told.returncode, told.stdout) == (1, "1 deleted.\n")
    assert "nobody is no dead letter" in told.stderr
    assert [key for key in redis.scan_iter() if job.id.encode() in key] == []
    assert FailedJobRegistry("default", connection=redis).get_job_ids() == ids(redis) == [kept.id]
    again = dead("discard", job.id, "--yes", "--json", url=url)
    assert json.loads(again.stdout)["deleted"] == 0


def test_purge_takes_what_is_old(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 10, step_seconds=3600, kinds=2)
    told = json.loads(dead("purge", "--older-than", "330m", "--yes", "--json", url=url).stdout)
    assert (told["deleted"], told["gone"]) == (5, 0)
    assert ids(redis) == [f"letter-{number}" for number in range(5, 10)]
    dead("purge", "--older-than", "1h", "--function", "*.kind_1", "--yes", url=url)
    assert ids(redis) == ["letter-6", "letter-8"], "9, 7 and 5 were of that kind"
    assert [line["action"] for line in audit(url)] == ["purge", "purge"]


def in_terminal(answer: str, *arguments: str, url: str) -> tuple[int, str]:
    """Run a command in a terminal of its own and answer its question."""
    parent, child = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "REDIS_URL": url, "WORKER_JOB_MODULES": "tests.support.tasks"}
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "dead", *arguments],
        cwd=ROOT,
        env={**environ, "TERM": "dumb"},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    said = bytearray()

    def read() -> None:
        while True:
            try:
                said.extend(os.read(parent, 4096) or b"")
            except OSError:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    os.write(parent, answer.encode() + b"\n")
    code = process.wait(timeout=60)
    reader.join(60)
    os.close(parent)
    return code, said.decode()


def test_deleting_asks_a_person(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 3)
    code, said = in_terminal("n", "discard", "--all", url=url)
    assert code == 1
    assert "Delete 3 dead letters for good?" in said
    assert len(ids(redis)) == 3
    code, said = in_terminal("y", "purge", "--older-than", "0s", url=url)
    assert (code, ids(redis)) == (0, []), said
    assert "3 deleted." in said


# -- editing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serializer", ["pickle", "json"])
def test_an_edited_letter_runs_with_its_new_arguments(url: str, redis: redis_py.Redis, serializer: str) -> None:
    job = Queue("default", connection=redis, serializer=serializer).enqueue(tasks.parse, "{")
    consumer(redis).work(burst=True)
    first = redis.hget(job.key, "data")
    assert dead("edit", job.id, "--args", '["[1]"]', url=url).returncode == 0
    assert redis.hget(job.key, "original_data") == first
    assert redis.hget(job.key, "description") == b"tests.support.tasks.parse('[1]')"
    dead("replay", job.id, url=url)
    consumer(redis).work(burst=True)
    fetched = Job.fetch(job.id, connection=redis, serializer=serializer)
    assert fetched.return_value() == [1]


def test_an_edit_can_be_undone_to_the_first_payload(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis, tasks.boom, "first")
    before = redis.hmget(job.key, "data", "description")
    dead("edit", job.id, "--args", '["second"]', url=url)
    dead("edit", job.id, "--kwargs", '{"message": "third"}', "--args", "[]", url=url)
    assert json.loads(dead("show", job.id, "--arguments", "--json", url=url).stdout)["kwargs"] == {"message": "third"}
    assert dead("edit", job.id, "--undo", url=url).returncode == 0
    assert redis.hmget(job.key, "data", "description") == before
    again = dead("edit", job.id, "--undo", url=url)
    assert again.returncode == 1
    assert "nothing to undo" in again.stderr
    assert [line["action"] for line in audit(url)] == ["undo", "edit", "edit"]


def test_a_payload_that_cannot_be_read_is_replaced_as_a_whole(url: str, redis: redis_py.Redis) -> None:
    job = bury(redis)
    redis.hset(job.key, "data", b"\x80spoilt")
    told = dead("edit", job.id, "--args", "[1, 2]", url=url)
    assert told.returncode == 1
    assert "give --function, --args and --kwargs together" in told.stderr
    name = "tests.support.tasks.add"
    assert dead("edit", job.id, "--function", name, "--args", "[1, 2]", "--kwargs", "{}", url=url).returncode == 0
    dead("replay", job.id, url=url)
    consumer(redis).work(burst=True)
    assert Job.fetch(job.id, connection=redis, serializer="json").return_value() == 3


def test_only_a_dead_letter_can_be_edited(url: str, redis: redis_py.Redis) -> None:
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    told = dead("edit", job.id, "--args", "[2, 2]", url=url)
    assert told.returncode == 1
    assert "no dead letter any more" in told.stderr


# -- exporting and importing -----------------------------------------------------------------------------------------


def test_an_import_brings_back_every_byte(url: str, redis: redis_py.Redis, tmp_path: Path) -> None:
    jobs = [bury(redis, tasks.boom, f"{number} \udce9", failure_ttl=-1 if number else 5000) for number in range(3)]
    for job in jobs:
        redis.hset(job.key, mapping={"binary": bytes(range(256)), b"\xff\x00": b"odd name"})
    before = {job.id: (redis.hgetall(job.key), redis.xrange(f"rq:results:{job.id}"), ids(redis)) for job in jobs}
    path = str(tmp_path / "letters.jsonl")
    assert dead("export", "--output", path, url=url).stderr.strip() == "3 exported."
    assert len(Path(path).read_text().splitlines()) == 3
    dead("discard", "--all", "--yes", url=url)
    assert redis.keys("rq:job:*") == []
    assert dead("import", path, url=url).stdout == "3 imported, 0 were there already.\n"
    after = {job.id: (redis.hgetall(job.key), redis.xrange(f"rq:results:{job.id}"), ids(redis)) for job in jobs}
    assert after == before
    assert 4900 < redis.ttl(jobs[0].key) <= 5000
    assert redis.ttl(jobs[1].key) == -1
    assert sorted(FailedJobRegistry("default", connection=redis).get_job_ids()) == sorted(job.id for job in jobs)
    again = dead("import", path, "--json", url=url)
    assert json.loads(again.stdout) | {"run": ""} == {"imported": 0, "there_already": 3, "run": ""}
    assert dead("replay", "--all", url=url).stdout == "3 replayed.\n"


def test_a_spoilt_line_is_named_and_what_came_before_is_kept(url: str, redis: redis_py.Redis, tmp_path: Path) -> None:
    seed(redis, 3)
    lines = dead("export", url=url).stdout.splitlines()
    dead("discard", "--all", "--yes", url=url)
    path = tmp_path / "letters.jsonl"
    for spoilt in ("{", "[]", lines[1].replace('"id": ', '"name": '), lines[1].replace('": "', '": "*', 6)):
        path.write_text("\n".join([lines[0], spoilt, lines[2]]))
        told = dead("import", str(path), url=url)
        assert told.returncode == 1, spoilt
        assert told.stderr.splitlines()[0].startswith("Line 2: ")
        assert ids(redis) == ["letter-0"]


def test_export_takes_filters_and_ids(url: str, redis: redis_py.Redis) -> None:
    seed(redis, 6, kinds=2)
    chosen = [json.loads(line)["id"] for line in dead("export", "--function", "*_1", url=url).stdout.splitlines()]
    assert chosen == ["letter-1", "letter-3", "letter-5"]
    told = dead("export", "letter-2", "nobody", url=url)
    assert (told.returncode, len(told.stdout.splitlines())) == (1, 1)
