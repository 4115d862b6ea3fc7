"""The edge to Redis: each trouble that a real server can produce gets its name, and `Outage` keeps the score."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis as redis_py
from structlog.testing import capture_logs

from tests.support.server import RedisServer, free_port
from tests.support.waiting import eventually
from worker import queue
from worker.doorbell import Doorbell
from worker.errors import RedisTrouble, translate
from worker.scoreboard import RedisState
from worker.settings import Settings, load


def settings(url: str) -> Settings:
    return load({"REDIS_URL": url})


def trouble_with(url: str, call: Callable[[redis_py.Redis], Any] = lambda client: client.ping()) -> RedisTrouble:
    with pytest.raises((redis_py.RedisError, OSError)) as caught:
        call(queue.build_client(settings(url), client_name="test"))
    trouble = translate(caught.value)
    assert trouble is not None, caught.value
    assert "hunter2" not in str(trouble)
    return trouble


@contextmanager
def listener(answer: bytes | None) -> Iterator[int]:
    """Something that accepts connections and says `answer`, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.recv(4096)
                    connection.sendall(answer)

        held: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        for connection in held:
            connection.close()


def test_refused() -> None:
    assert trouble_with(f"redis://:hunter2@127.0.0.1:{free_port()}").code == "refused"


def test_a_name_that_does_not_resolve() -> None:
    assert trouble_with("redis://:hunter2@nosuch.invalid:6379").code == "dns"


def test_a_silent_listener_is_a_read_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "TIMEOUT_SECONDS", 0.3)
    with listener(None) as port:
        assert trouble_with(f"redis://127.0.0.1:{port}").code == "read_timeout"


def test_an_http_server_is_not_redis() -> None:
    with listener(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") as port:
        assert trouble_with(f"redis://127.0.0.1:{port}").code == "not_redis"


def test_tls_spoken_to_a_plain_server(server: RedisServer) -> None:
    assert trouble_with(f"rediss://127.0.0.1:{server.port}").code in ("tls_to_plain", "reset", "tls")


def test_passwords_missing_and_wrong() -> None:
    with RedisServer(password="s3cret") as server:
        assert trouble_with(f"redis://127.0.0.1:{server.port}").code == "no_auth"
        assert trouble_with(f"redis://:hunter2@127.0.0.1:{server.port}").code == "wrong_password"


def test_a_user_without_a_command(server: RedisServer, redis: redis_py.Redis) -> None:
    redis.execute_command("ACL", "SETUSER", "w", "on", ">hunter2", "~*", "&*", "+@all", "-evalsha")
    try:
        trouble = trouble_with(f"redis://w:hunter2@127.0.0.1:{server.port}", lambda client: client.evalsha("0" * 40, 0))
        assert trouble.code == "no_permission"
        assert "EVALSHA" in str(trouble)
    finally:
        redis.execute_command("ACL", "DELUSER", "w")


def test_a_full_server(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory", "1")
    assert trouble_with(own_server.url, lambda client: client.set("a", "b")).code == "out_of_memory"


def test_a_replica(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.replicaof("127.0.0.1", free_port())
    assert trouble_with(own_server.url, lambda client: client.set("a", "b")).code == "read_only"


def test_too_many_clients(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.ping()
        admin.config_set("maxclients", "1")
        assert trouble_with(own_server.url).code == "max_clients"


def test_a_database_that_does_not_exist(server: RedisServer) -> None:
    assert trouble_with(f"redis://127.0.0.1:{server.port}/99").code == "bad_database"


def test_a_command_whose_reply_is_lost_is_not_sent_again_by_the_client(server: RedisServer) -> None:
    """A script that moves a job must not run twice because the connection broke."""
    pushes: list[bytes] = []

    def relay(front: socket.socket, back: socket.socket) -> None:
        with front, back:
            while True:
                ready, _, _ = select.select([front, back], [], [])
                for source, target in ((front, back), (back, front)):
                    if source in ready:
                        data = source.recv(65536)
                        if b"RPUSH" in data:
                            pushes.append(data)
                            return  # it was sent, and nobody ever hears what became of it
                        if not data:
                            return
                        target.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            while True:
                front, _ = listening.accept()
                relay(front, socket.create_connection(("127.0.0.1", server.port)))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        client = queue.build_client(settings(f"redis://127.0.0.1:{listening.getsockname()[1]}"), client_name="test")
        assert client.ping()
        with pytest.raises(redis_py.ConnectionError):
            client.rpush("list", "once")
    assert len(pushes) == 1


def test_connect_with_retry_waits_for_the_server(own_server: RedisServer) -> None:
    own_server.kill()
    reasons: list[str] = []
    clients: list[redis_py.Redis] = []

    def connect() -> None:
        clients.append(
            queue.connect_with_retry(
                settings(own_server.url),
                client_name="test",
                deadline=time.monotonic() + 15,
                on_trouble=lambda trouble, _delay: reasons.append(trouble.code),
            )
        )

    thread = threading.Thread(target=connect)
    thread.start()
    eventually(lambda: len(reasons) >= 2)
    own_server.restart(keep_data=True)
    thread.join(15)
    assert clients[0].ping()
    assert set(reasons) <= {"refused", "loading", "reset"}
    assert reasons


def test_connect_with_retry_gives_up_at_its_deadline_with_the_reason() -> None:
    with pytest.raises(RedisTrouble, match="refuses the connection"):
        queue.connect_with_retry(
            settings(f"redis://127.0.0.1:{free_port()}"), client_name="test", deadline=time.monotonic() + 0.5
        )


def test_an_outage_is_logged_at_its_edges_and_seen_by_whoever_watches() -> None:
    edges: list[tuple[RedisState, str]] = []
    outage = queue.Outage(lambda state, reason: edges.append((state, reason)))
    with capture_logs() as logged:
        queue.log = queue.logs.get_logger()  # not the one that an earlier test has cached
        outage.over()
        outage.note(redis_py.ConnectionError("Connection closed by server."))
        assert outage.delay() == 0.0, "the first retry is at once"
        for _ in range(20):
            outage.note(redis_py.ConnectionError("Connection closed by server."))
            assert 0 <= outage.delay() <= queue.CAP_SECONDS
        outage.over()
        outage.over()
    assert [line["event"] for line in logged] == ["redis.outage_started", "redis.outage_ended"]
    assert logged[0]["code"] == "reset"
    assert logged[1]["attempts"] == 21
    assert edges == [(RedisState.CONNECTED, ""), (RedisState.OUTAGE, "reset"), (RedisState.CONNECTED, "")]


def test_a_bug_is_no_outage(redis: redis_py.Redis) -> None:
    with pytest.raises(redis_py.ResponseError) as caught:
        redis.eval("return nothing.at_all", 0)
    with pytest.raises(redis_py.ResponseError):
        queue.Outage(lambda _state, _reason: None).note(caught.value)


@pytest.fixture
def doorbell(server: RedisServer) -> Iterator[Doorbell]:
    bell = Doorbell(
        lambda: queue.build_client(settings(server.url), client_name="bell", blocking=True), "rq", ["high", "default"]
    )
    yield bell
    bell.close()


def wait_for_ring(doorbell: Doorbell, seconds: float = 2.0) -> int:
    ready, _, _ = select.select(doorbell.filenos(), [], [], seconds)
    return doorbell.rung() if ready else 0


def test_the_doorbell_rings_for_each_queue_and_takes_nothing(doorbell: Doorbell, redis: redis_py.Redis) -> None:
    doorbell.arm()
    assert wait_for_ring(doorbell, 0.1) == 0
    redis.rpush("rq:queue:default", "a")
    assert wait_for_ring(doorbell) == 1
    assert redis.lrange("rq:queue:default", 0, -1) == [b"a"]
    redis.rpush("rq:queue:high", "b", "c")
    assert wait_for_ring(doorbell) == 1
    assert redis.lrange("rq:queue:high", 0, -1) == [b"b", b"c"]


def test_the_doorbell_survives_a_cut_connection(doorbell: Doorbell, redis: redis_py.Redis) -> None:
    doorbell.arm()
    for client in redis.client_list():
        if client["name"] == "bell":
            redis.client_kill_filter(_id=client["id"])
    with pytest.raises((redis_py.RedisError, OSError)):  # noqa: PT012 — which of the two reads meets the cut is not ours to say
        for _ in range(2):
            wait_for_ring(doorbell)
    redis.rpush("rq:queue:high", "a")
    for _ in range(3):
        try:
            doorbell.arm()
            if wait_for_ring(doorbell):
                break
        except (redis_py.RedisError, OSError):
            continue
    else:
        pytest.fail("it never rang again")


def test_the_doorbell_wakes_every_waiter(server: RedisServer, redis: redis_py.Redis) -> None:
    def client() -> redis_py.Redis:
        return queue.build_client(settings(server.url), client_name="bell", blocking=True)

    bells = [Doorbell(client, "rq", ["default"]) for _ in range(5)]
    for bell in bells:
        bell.arm()
    redis.rpush("rq:queue:default", "a")
    assert [wait_for_ring(bell) for bell in bells] == [1] * 5
    for bell in bells:
        bell.close()
