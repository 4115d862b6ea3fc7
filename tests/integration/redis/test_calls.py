"""The scripts are sent in one place, which says what became of a call."""

from __future__ import annotations

import pytest
import redis as redis_py
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX

from tests.support import tasks
from tests.support.engine import LETTERS, script_calls
from worker.dead_letters.queue import DeadLetterQueue
from worker.redis import scripts
from worker.redis.trouble import RedisTrouble


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "among others"])
def test_a_refusal_names_the_commands_that_the_script_may_not_run(redis: redis_py.Redis, alone: bool) -> None:
    """Redis before 7.2 does not say which it is."""
    job = Queue("default", connection=redis).enqueue(tasks.add, 1, 1)
    redis.rpush(f"rq:queue:{LETTERS}", job.id)
    redis.execute_command("ACL", "SETUSER", "w", "on", "nopass", "~*", "&*", "+@all", "-hmget")
    limited = redis_py.Redis(port=redis.get_connection_kwargs()["port"], username="w", password="x")
    try:
        calls = script_calls(limited)
        command = calls.command(scripts.COLLECT, (), "", job.id, LETTERS, "", "")
        with pytest.raises(RedisTrouble) as caught:
            calls.run([command] if alone else [("PING",), command])
        assert (caught.value.code, caught.value.commands) == ("no_permission", "HMGET")
        with pytest.raises(RedisTrouble, match="HMGET"):
            DeadLetterQueue(calls.redis, RQ_KEY_PREFIX, LETTERS).page(0, 9)
    finally:
        limited.close()
        redis.execute_command("ACL", "DELUSER", "w")
