"""The doorbell rings for every queue and every waiter, takes nothing, and notices when its line is dead."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis as redis_py

from tests.support.doorbells import bell_on, wait_for_ring
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.waiting import eventually
from worker.redis import doorbell as module
from worker.redis.doorbell import Doorbell
from worker.redis.trouble import RedisTrouble


@pytest.fixture
def doorbell(server: RedisServer) -> Iterator[Doorbell]:
    bell = bell_on(server.url, "high", "default")
    yield bell
    bell.close()


def rings_again(doorbell: Doorbell) -> bool:
    """Arm and wait, as a loop does that notes trouble and goes on."""
    try:
        doorbell.arm()
        return wait_for_ring(doorbell, 0.2) > 0
    except RedisTrouble:
        return False


def blocked(redis: redis_py.Redis) -> list[int]:
    return [int(client["id"]) for client in redis.client_list() if client["name"] == "bell" and "b" in client["flags"]]


def test_it_rings_for_each_queue_and_takes_nothing(doorbell: Doorbell, redis: redis_py.Redis) -> None:
    doorbell.arm()
    assert wait_for_ring(doorbell, 0.1) == 0
    redis.rpush("rq:queue:default", "a")
    assert wait_for_ring(doorbell) == 1
    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]
    redis.rpush("rq:queue:high", "b", "c")
    assert wait_for_ring(doorbell) == 1
    assert redis.lrange("rq:queue:high", 0, -1) == [b"b", b"c"]


def test_what_waits_already_rings_at_once(doorbell: Doorbell, redis: redis_py.Redis) -> None:
    redis.rpush("rq:queue:high", "a")
    doorbell.arm()
    assert wait_for_ring(doorbell) == 1


def test_it_wakes_every_waiter(server: RedisServer, redis: redis_py.Redis) -> None:
    bells = [bell_on(server.url) for _ in range(5)]
    for bell in bells:
        bell.arm()
    redis.rpush("rq:queue:default", "a")
    assert [wait_for_ring(bell) for bell in bells] == [1] * 5
    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]
    for bell in bells:
        bell.close()


def test_arming_twice_sends_nothing_twice(doorbell: Doorbell, redis: redis_py.Redis) -> None:
    for _ in range(3):
        doorbell.arm()
    eventually(lambda: len(blocked(redis)) == 2)
    redis.rpush("rq:queue:high", "a")
    assert wait_for_ring(doorbell) == 1
    assert wait_for_ring(doorbell, 0.1) == 0


def test_a_block_that_ends_empty_is_no_ring_and_is_armed_again(server: RedisServer, redis: redis_py.Redis) -> None:
    bell = bell_on(server.url, block=0.2)
    bell.arm()
    assert wait_for_ring(bell) == 0
    assert bell.filenos() == []
    bell.arm()
    redis.rpush("rq:queue:default", "a")
    assert wait_for_ring(bell) == 1
    bell.close()


def test_it_survives_the_kill_of_its_connections(doorbell: Doorbell, redis: redis_py.Redis) -> None:
    doorbell.arm()
    eventually(lambda: len(blocked(redis)) == 2)
    for number in blocked(redis):
        redis.client_kill_filter(_id=number)
    for _ in range(2):  # each line says that it was cut
        with pytest.raises(RedisTrouble) as caught:
            wait_for_ring(doorbell)
        assert caught.value.code == "reset"
    redis.rpush("rq:queue:high", "a")
    eventually(lambda: rings_again(doorbell))
    assert redis.lrange("rq:queue:high", 0, -1) == [b"a"]


def test_a_reply_that_is_late_means_a_dead_line_and_the_next_arm_makes_a_new_one(
    server: RedisServer, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(server.port) as proxy:
        bell = bell_on(proxy.url, block=0.2)
        bell.arm()
        proxy.blackhole = True
        assert wait_for_ring(bell, 0.1) == 0
        bell.arm()  # not late yet
        monkeypatch.setattr(module, "LATE_SECONDS", 0.1)
        time.sleep(0.4)
        with pytest.raises(RedisTrouble) as caught:
            bell.arm()
        assert caught.value.code == "read_timeout"
        assert bell.filenos() == []
        proxy.blackhole = False
        redis.rpush("rq:queue:default", "a")
        eventually(lambda: rings_again(bell))
        bell.close()


def test_it_rings_again_after_the_server_was_restarted(own_server: RedisServer) -> None:
    bell = bell_on(own_server.url)
    bell.arm()
    own_server.restart(keep_data=False)
    with own_server.client() as redis:
        redis.rpush("rq:queue:default", "a")
    eventually(lambda: rings_again(bell))
    bell.close()


def test_closing_leaves_no_connection(server: RedisServer, redis: redis_py.Redis) -> None:
    bell = bell_on(server.url, "high", "default")
    bell.arm()
    eventually(lambda: len(blocked(redis)) == 2)
    bell.close()
    eventually(lambda: "bell" not in [client["name"] for client in redis.client_list()])
