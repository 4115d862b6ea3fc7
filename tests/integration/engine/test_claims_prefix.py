"""`RQ_KEY_PREFIX={rq}`: every script keeps to one slot of a Redis Cluster, and to the prefix."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import RedisServer
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
#: Runs in a process of its own, because RQ reads its prefix when it is imported.
LIFE = textwrap.dedent(
    """
    import sys
    from datetime import timedelta
    import redis as redis_py
    from rq import Queue, Repeat, Retry, SimpleWorker
    from rq.rate_limit import RateLimit
    from tests.support import tasks
    from tests.support.engine import LETTERS, buried, collect, desk, finished, register, replay, retried
    from tests.support.worker import consumer
    from worker.engine.leases import heartbeat, orphans
    from worker.dispatcher.scheduled_jobs import move_due

    with redis_py.Redis(port=int(sys.argv[1])) as redis:
        queue = Queue("default", connection=redis)
        ann = desk(redis)
        register(redis, "ann")
        for job_id in "abcdefg":
            queue.enqueue(tasks.add, 1, 1, job_id=job_id, ttl=5000)
        a, b, c, d, e, f, g = ann.settle_and_claim([], 7).claims
        outcomes = [finished(a), finished(b, result_ttl=0), retried(c), retried(d, delay=60), buried(e)]
        exchange = ann.settle_and_claim(outcomes, 0)
        assert not exchange.fenced and not exchange.unsettled, exchange
        assert ann.release([f]) == [] and ann.extend(g) and heartbeat(ann, ["ann"]) == []
        redis.delete(ann.prefix + ":worker:ann")
        assert orphans(ann, ["default"]).dead == ["ann"]
        assert ann.rescue("?").running[0].job_id == "g"
        assert ann.rescue("").released == 1
        assert replay(ann, "e") and not collect(ann, LETTERS, "e", {"dead_letter": "{}"})
        queue.enqueue_in(timedelta(seconds=60), tasks.add, 1, 1, job_id="later", rate_limit=RateLimit("shop", 1))
        redis.zadd(ann.prefix + ":scheduled:default", {"later": 0, "d": 0})
        assert move_due(ann, ["default"])[0] == 2
        parent = queue.enqueue(tasks.add, 1, 1)
        queue.enqueue(tasks.add, 1, 1, depends_on=parent)
        queue.enqueue(tasks.boom, retry=Retry(max=1))
        queue.enqueue(tasks.add, 1, 1, repeat=Repeat(times=1))
        consumer(redis).work(burst=True)
        statuses = {redis.hget(key, "status") for key in redis.scan_iter(ann.prefix + ":job:*", _type="hash")}
        assert statuses == {b"finished", b"failed"}, statuses
        assert redis.llen(ann.prefix + ":queue:default") == 0
        strangers = [key for key in redis.scan_iter() if not key.startswith(ann.prefix.encode() + b":")]
        assert strangers == [], strangers
        print("prefix", ann.prefix, "keys", redis.dbsize())
    """
)


@pytest.fixture
def cluster() -> Iterator[RedisServer]:
    """A cluster of one node that serves every slot."""
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield server


def live(server: RedisServer, prefix: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIFE, str(server.port)],
        cwd=ROOT,
        env={**os.environ, "RQ_KEY_PREFIX": prefix},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("prefix", ["{rq}", "shop.1"])
def test_a_whole_life_under_another_prefix(server: RedisServer, prefix: str) -> None:
    run = live(server, prefix)
    assert run.returncode == 0, run.stderr[-3000:]
    assert f"prefix {prefix} keys" in run.stdout


def test_braces_keep_all_keys_in_one_slot_of_a_cluster(cluster: RedisServer) -> None:
    """A cluster's node refuses a script that touches keys of two slots."""
    run = live(cluster, "{rq}")
    assert run.returncode == 0, run.stderr[-3000:]
    without = live(cluster, "rq")
    assert without.returncode != 0, "the cluster does notice"
    assert "slot" in without.stderr.lower()
