"""What a real server refuses, alone, inside a script and in a pipeline, has a name; a bug of a script has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from tests.support.server import RedisServer
from tests.support.waiting import eventually
from worker.redis.translate import translate


def code_of(client: redis_py.Redis, lua: str) -> str | None:
    """Run a script and name what it met; "none" when it was taken for a bug of ours."""
    try:
        client.eval(lua, 0)
    except redis_py.RedisError as error:
        trouble = translate(error)
        return trouble.code if trouble else "none"
    return None


@pytest.fixture(scope="module")
def restricted() -> Iterator[redis_py.Redis]:
    """A server without ZADD, whose user may run neither ZCARD nor touch anything but `mine`."""
    with RedisServer(arguments=("--rename-command", "ZADD", "")) as server, server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-zcard", "resetkeys", "~mine")
        yield client


@pytest.mark.parametrize(
    ("lua", "code"),
    [
        ("return redis.call('ZADD', 'mine', 1, 'b')", "unknown_command"),
        ("return redis.call('SUBSCRIBE', 'a')", "unknown_command"),
        ("return redis.call('ZCARD', 'mine')", "no_permission"),
        ("return redis.call('GET', 'others')", "no_permission"),
        ("return redis.call('GET', 'mine', 'too much')", "none"),
        ("redis.call('DEL', 'mine') redis.call('LPUSH', 'mine', 'a') return redis.call('GET', 'mine')", "wrong_type"),
        ("return nothing.at_all", "none"),
        ("this is not Lua", "none"),
        ("return redis.call('GET', 'mine')", None),
    ],
)
def test_what_a_command_in_a_script_is_refused_is_named_and_a_bug_is_not(
    restricted: redis_py.Redis, lua: str, code: str | None
) -> None:
    restricted.delete("mine")
    assert code_of(restricted, lua) == code


@pytest.mark.parametrize("words", [("ZADD", "mine", "1", "b"), ("ZCARD", "mine"), ("GET", "others")])
def test_the_same_is_named_alone_and_in_a_pipeline(restricted: redis_py.Redis, words: tuple[str, ...]) -> None:
    codes = set()
    for call in (
        lambda: restricted.execute_command(*words),
        lambda: restricted.pipeline(transaction=False).execute_command(*words).execute(),
    ):
        with pytest.raises(redis_py.RedisError) as caught:
            call()
        trouble = translate(caught.value)
        assert trouble is not None
        assert "others" not in str(trouble)
        codes.add(trouble.code)
    assert codes <= {"unknown_command", "no_permission"}
    assert len(codes) == 1


def test_a_cluster_whose_slots_are_elsewhere_or_not_served() -> None:
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server, server.client() as client:
        assert code_of(client, "return 1") is None
        with pytest.raises(redis_py.RedisError) as caught:
            client.set("a", "b")
        named = translate(caught.value)
        assert named is not None
        assert named.code == "cluster_down"
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        eventually(lambda: client.cluster("INFO")["cluster_state"] == "ok")
        with pytest.raises(redis_py.RedisError) as caught:
            client.mset({"a": 1, "b": 2})
        named = translate(caught.value)
        assert named is not None
        assert named.code == "cluster_keys"
