"""Trouble with Redis is named where Redis is called, and nothing else is taken for trouble."""

from __future__ import annotations

import gc

import pytest
import redis as redis_py
from redis.exceptions import NoScriptError, ResponseError, WatchError

from tests.support.ports import free_port
from tests.support.server import RedisServer
from worker.redis.client import Client, translating
from worker.redis.trouble import RedisTrouble


def test_a_command_and_a_pipeline_raise_trouble_by_its_name() -> None:
    client = Client.over(redis_py.Redis(port=free_port()))
    with pytest.raises(RedisTrouble, match="refuses the connection"):
        client.get("a")
    with pytest.raises(RedisTrouble, match="refuses the connection"):
        client.pipeline().get("a").execute()
    with pytest.raises(RedisTrouble, match="refuses the connection"), client.pipeline() as pipeline:
        pipeline.watch("a")


def test_a_refused_command_has_its_name_in_a_pipeline_too(redis: redis_py.Redis) -> None:
    redis.execute_command("ACL", "SETUSER", "w", "on", "nopass", "~*", "+@all", "-get")
    try:
        client = Client.over(redis_py.Redis(port=redis.get_connection_kwargs()["port"], username="w", password="x"))
        for call in (client.get, lambda key: client.pipeline().get(key).execute()):
            with pytest.raises(RedisTrouble) as caught:
                call("a")
            assert caught.value.code == "no_permission"
        client.close()
    finally:
        redis.execute_command("ACL", "DELUSER", "w")


def test_what_a_caller_acts_on_and_what_is_a_bug_pass_as_they_are(redis: redis_py.Redis) -> None:
    client = Client.over(redis)
    with pytest.raises(NoScriptError):
        client.evalsha("0" * 40, 0)
    with pytest.raises(ResponseError, match="nonexistent global"):
        client.eval("return nothing", 0)
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        redis.set("a", 1)
        pipeline.multi()
        pipeline.get("a")
        with pytest.raises(WatchError):
            pipeline.execute()


def test_an_error_that_is_no_trouble_with_redis_passes() -> None:
    with pytest.raises(FileNotFoundError), translating():
        raise FileNotFoundError("a file of a job")


def test_a_client_over_another_keeps_its_connections_open(server: RedisServer) -> None:
    """redis-py closes the connections of a client that nobody holds any more, in whatever thread that happens."""
    plain = redis_py.Redis.from_pool(redis_py.ConnectionPool(port=server.port))
    client = Client.over(plain)
    connected = client.client_id()
    del plain
    gc.collect()
    assert client.client_id() == connected
    other = Client.over(client._owner)
    del other
    gc.collect()
    assert client.client_id() == connected, "nor does one that is forgotten close them"
    client.close()
    assert client.client_id() != connected, "closing it does"
    client.close()
