"""What the probes of a real service say about a server that refuses some commands."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import timedelta

import redis as redis_py
from rq import Queue

from tests.support import tasks
from tests.support.ports import free_port
from tests.support.server import RedisServer
from tests.support.service import Service, until


def said(port: int) -> str:
    """Return what /healthz answers, whatever its code."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


def test_healthz_names_the_commands_that_the_server_refuses(
    server: RedisServer, redis: redis_py.Redis, queue: Queue
) -> None:
    redis.execute_command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-xadd", "-zrem")
    job = queue.enqueue(tasks.add, 1, 1)
    port = free_port()
    try:
        with Service(f"redis://limited:secret@127.0.0.1:{server.port}/0", HEALTH_PORT=str(port)) as service:
            until(lambda: "Refused: XADD, ZREM." in said(port), service=service)
            assert "limited" not in said(port)
            assert job.get_status() == "queued", "it could not be settled"
            redis.execute_command("ACL", "SETUSER", "limited", "+@all")
            until(lambda: job.get_status() == "finished", service=service)
            until(lambda: "Connected to Redis" in said(port), service=service)
            # Only a chore of the dispatcher needs this one.
            redis.execute_command("ACL", "SETUSER", "limited", "-zrangebyscore")
            queue.enqueue_in(timedelta(seconds=1), tasks.add, 1, 1)
            until(lambda: "these chores do not: scheduled jobs (ZRANGEBYSCORE)" in said(port), service=service)
            other = queue.enqueue(tasks.add, 1, 1)
            until(lambda: other.get_status() == "finished", service=service)
            redis.execute_command("ACL", "SETUSER", "limited", "+@all")
            until(lambda: "Connected to Redis" in said(port), service=service)
    finally:
        redis.execute_command("ACL", "DELUSER", "limited")
