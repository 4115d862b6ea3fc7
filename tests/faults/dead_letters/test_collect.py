"""Dead letters when things break: killed tools and consumers, outages, two terminals, burials meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

import pytest
import redis as redis_py
from rq import Queue

from tests.support import processes, tasks
from tests.support.checker import places
from tests.support.letters import LETTERS, ids, record, seed
from tests.support.processes import belong_to_the_tests
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from tests.support.waiting import eventually

COUNT = 2000


def start(*arguments: str, url: str) -> subprocess.Popen[str]:
    """Start `python -m worker dead …` and leave it running."""
    environ = {"PATH": os.environ["PATH"], "REDIS_URL": url, "WORKER_JOB_MODULES": "tests.support.tasks"}
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "dead", *arguments],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=belong_to_the_tests,
    )


def everywhere(redis: redis_py.Redis) -> tuple[list[str], list[str], list[str]]:
    """Return the ids on the queue, on the dead-letter queue and in the FailedJobRegistry, at one moment."""
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.lrange("rq:queue:default", 0, -1)
        pipeline.lrange(LETTERS, 0, -1)
        pipeline.zrange("rq:failed:default", 0, -1)
        queued, letters, failed = pipeline.execute()
    return tuple([job_id.decode() for job_id in where] for where in (queued, letters, failed))  # type: ignore[return-value]


def nothing_lost(redis: redis_py.Redis, count: int) -> None:
    """Each letter is queued once, or a dead letter once, and RQ's registry says the same."""
    queued, letters, failed = everywhere(redis)
    assert sorted(letters) == sorted(failed)
    assert not set(queued) & set(letters)
    assert len(queued) + len(letters) == len(set(queued) | set(letters)) == count


def has_replayed(redis: redis_py.Redis, tool: subprocess.Popen[str], count: int) -> None:
    """Wait until so many letters are on their queue; a tool that has ended by then has failed."""
    eventually(lambda: redis.llen("rq:queue:default") >= count or tool.poll() is not None, 120)
    assert redis.llen("rq:queue:default") >= count, tool.communicate()


def audited(redis: redis_py.Redis) -> int:
    return sum(int(values[b"count"]) for _, values in redis.xrange("rq:dead-letter:audit"))


@pytest.fixture
def letters(server: RedisServer, redis: redis_py.Redis) -> str:
    seed(redis, COUNT)
    return server.url


def test_a_tool_that_is_killed_in_the_middle_of_a_replay_leaves_a_clean_state(
    letters: str, redis: redis_py.Redis
) -> None:
    for goal in (100, 300):
        tool = start("replay", "--all", "--rate", "100/s", url=letters)  # slow: it must not end before we look
        try:
            has_replayed(redis, tool, goal)
        finally:
            tool.kill()
            tool.communicate()
        nothing_lost(redis, COUNT)
        replayed = redis.llen("rq:queue:default")
        assert goal <= replayed < COUNT, "it was in the middle"
        assert audited(redis) == replayed, "what it did is written down, although it could not say so"
    last = start("replay", "--all", url=letters)
    said, _ = last.communicate(timeout=90)
    assert (last.returncode, said) == (0, f"{COUNT - replayed:,} replayed.\n")
    nothing_lost(redis, COUNT)
    assert redis.llen(LETTERS) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_tool_that_is_stopped_says_where_it_stopped(letters: str, redis: redis_py.Redis, number: int) -> None:
    tool = start("replay", "--all", "--rate", "100/s", url=letters)
    has_replayed(redis, tool, 100)
    tool.send_signal(number)
    said, told = tool.communicate(timeout=30)
    assert tool.returncode == 1
    replayed = redis.llen("rq:queue:default")
    assert said == f"{replayed:,} replayed.\n"
    assert "Stopped. What was not replayed is as it was" in told
    assert "Traceback" not in told
    nothing_lost(redis, COUNT)


def test_an_outage_in_the_middle_of_a_replay_ends_in_words_and_the_same_command_goes_on() -> None:
    with RedisServer(aof=True) as server:
        with server.client() as redis:
            seed(redis, COUNT)
            tool = start("replay", "--all", "--rate", "100/s", url=server.url)
            has_replayed(redis, tool, 100)
        server.kill()
        _, told = tool.communicate(timeout=90)
        assert tool.returncode == 75
        assert "replayed so far" in told
        assert "Traceback" not in told
        server.start()
        with server.client() as redis:
            nothing_lost(redis, COUNT)
            left = redis.llen(LETTERS)
            assert 0 < left < COUNT
            said, _ = start("replay", "--all", "--json", url=server.url).communicate(timeout=90)
            assert json.loads(said)["replayed"] == left
            nothing_lost(redis, COUNT)


def test_two_replays_at_once_replay_each_letter_once_and_pass_none_over(letters: str, redis: redis_py.Redis) -> None:
    tools = [start("replay", "--all", "--json", url=letters) for _ in range(2)]
    done = [json.loads(tool.communicate(timeout=90)[0])["replayed"] for tool in tools]
    assert sum(done) == COUNT
    nothing_lost(redis, COUNT)
    assert redis.llen(LETTERS) == 0


def test_a_replay_while_consumers_bury_takes_the_old_and_leaves_the_new(letters: str, redis: redis_py.Redis) -> None:
    """The replayed jobs finish; others fail for good all the while. Nothing is lost, nothing is replayed twice."""
    queue = Queue("default", connection=redis)
    with Service(letters, WORKER_PROCESSES="1", LOG_LEVEL="CRITICAL") as service:
        tool = start("replay", "--all", "--rate", "2000/s", "--json", url=letters)
        until(lambda: redis.exists("rq:dead-letter:audit"), what="the first replay", service=service)
        bad = []
        while tool.poll() is None:
            bad.append(queue.enqueue(tasks.boom).id)
        said, _ = tool.communicate()
        until(lambda: redis.zcard("rq:finished:default") == COUNT, 120, what="the replayed jobs' end", service=service)
        until(lambda: redis.llen(LETTERS) == len(bad), 120, what="the burials", service=service)
        assert sorted(ids(redis)) == sorted(bad)
    assert json.loads(said)["replayed"] == COUNT
    assert all(record(redis, job_id)["history"] == [] for job_id in bad), "none of them was replayed"


def test_an_outage_in_the_middle_of_a_purge_ends_in_words_and_loses_nothing_else() -> None:
    with RedisServer(aof=True) as server, Proxy(server.port) as proxy:
        with server.client() as redis:
            seed(redis, 20_000, step_seconds=1)
            proxy.delay_to_server = 0.05  # more than a hundred requests: it must not end before we look
            tool = start("purge", "--older-than", "1h", "--yes", url=proxy.url)
            eventually(lambda: redis.llen(LETTERS) < 19_500, 120)
        server.kill()
        _, told = tool.communicate(timeout=90)
        assert tool.returncode == 75
        assert "deleted so far" in told
        assert "Traceback" not in told
        server.start()
        with server.client() as redis:
            _, letters, failed = everywhere(redis)
            assert sorted(letters) == sorted(failed)
            assert len(letters) == len(redis.keys("rq:job:*")) == len(redis.keys("rq:results:*"))
            assert 3600 < len(letters) < 20_000
            again = start("purge", "--older-than", "1h", "--yes", "--json", url=server.url)
            said, _ = again.communicate(timeout=120)
            assert json.loads(said)["deleted"] > 0
            kept = ids(redis)
            assert kept == [f"letter-{number}" for number in range(20_000 - len(kept), 20_000)]
            assert 3600 - 300 <= len(kept) <= 3600


def test_consumers_that_are_killed_while_they_bury_bury_each_job_once(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    queue = Queue("default", connection=redis)
    with Service(server.url, LOG_LEVEL="CRITICAL", WORKER_MAX_CRASHES="100") as service:
        accepted = [queue.enqueue(tasks.boom, str(number)).id for number in range(600)]
        killer = threading.Thread(target=_kill_consumers, args=(service, redis, len(accepted)))
        killer.start()
        until(lambda: places(redis, accepted, ["default"]).settled, 180, what="every job's end", service=service)
        killer.join()
    found = places(redis, accepted, ["default"])
    assert (len(found.dead), found.missing, found.wrong) == (600, set(), {})
    assert Counter(ids(redis)) == Counter(accepted)


def _kill_consumers(service: Service, redis: redis_py.Redis, count: int) -> None:
    """Kill a consumer again and again, in the thick of it."""
    for goal in range(0, count, 60):
        deadline = time.monotonic() + 20
        while redis.llen(LETTERS) < goal and time.monotonic() < deadline:
            time.sleep(0.001)
        consumers = [pid for pid in processes.children(service.pid) if pid in _registered(redis)]
        if consumers:
            with contextlib.suppress(ProcessLookupError):  # its last word was a moment ago
                os.kill(consumers[0], signal.SIGKILL)


def _registered(redis: redis_py.Redis) -> set[int]:
    pids: list[Any] = [redis.hget(key, "pid") for key in redis.smembers("rq:workers")]
    return {int(pid) for pid in pids if pid}
