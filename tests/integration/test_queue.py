"""The edge to Redis: each trouble that a real server can produce gets its name, and `Outage` keeps the score."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
from pydantic import SecretStr
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from tests.support.server import RedisServer, answers, free_port
from tests.support.service import ROOT
from tests.support.waiting import eventually
from worker import queue
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.settings import Settings
from worker.settings.load import load
from worker.settings.pace import HEALTH_CHECK_SECONDS


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


def test_tls_spoken_to_a_plain_server(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "TIMEOUT_SECONDS", 0.3)
    assert trouble_with(f"rediss://127.0.0.1:{server.port}").code == "tls"


def test_a_frozen_server_is_noticed_by_new_connections_and_by_old_ones(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "TIMEOUT_SECONDS", 0.3)
    client = queue.build_client(settings(own_server.url), client_name="test")
    eventually(lambda: answers(client))
    own_server.freeze()
    try:
        for call in (client.ping, queue.build_client(settings(own_server.url), client_name="test").ping):
            with pytest.raises(redis_py.RedisError) as caught:
                call()
            trouble = translate(caught.value)
            assert trouble is not None
            assert trouble.code == "read_timeout"
    finally:
        own_server.thaw()
    eventually(lambda: answers(client))


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


def test_a_replica_whose_primary_is_away(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("replica-serve-stale-data", "no")
        admin.replicaof("127.0.0.1", free_port())
    assert trouble_with(own_server.url, lambda client: client.get("a")).code == "cluster_down"


def test_a_server_that_cannot_save(own_server: RedisServer) -> None:
    (own_server.directory / "dump.rdb").mkdir()  # where the file should go
    with own_server.client() as admin:
        admin.set("a", "b")
        admin.config_set("save", "3600 1")
        admin.bgsave()
        eventually(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
    assert trouble_with(own_server.url, lambda client: client.set("a", "b")).code == "cannot_save"
    with own_server.client() as admin:
        admin.config_set("save", "")  # or it would not go when it is told to


@pytest.mark.parametrize(
    ("refuses", "code"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "out_of_memory"),
        (("REPLICAOF", "127.0.0.1", "1"), "read_only"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), "no_replicas"),
    ],
)
def test_what_scripts_and_pipelines_are_refused_is_named_as_well(
    own_server: RedisServer, refuses: tuple[str, ...], code: str
) -> None:
    """Most of what the worker sends is one or the other; servers and redis-py wrap what is answered to them."""
    with own_server.client() as admin:
        admin.execute_command(*refuses)
    write = "return redis.call('SET', KEYS[1], ARGV[1])"
    assert trouble_with(own_server.url, lambda client: client.eval(write, 1, "a", "b")).code == code
    assert (
        trouble_with(own_server.url, lambda client: client.pipeline(transaction=False).set("a", "b").execute()).code
        == code
    )


def test_a_server_that_loads_its_data(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.mset({f"key-{number}": "x" * 100 for number in range(300)})
        admin.config_set("loading-process-events-interval-bytes", 1024)
        admin.config_set("key-load-delay", 5_000)  # microseconds

        def reload() -> None:
            with suppress(redis_py.RedisError):
                admin.execute_command("DEBUG", "RELOAD")

        thread = threading.Thread(target=reload)
        thread.start()
        eventually(lambda: _code(own_server.url) == "loading")
        thread.join(60)


def test_a_server_that_is_busy_with_a_script(own_server: RedisServer) -> None:
    def spin() -> None:
        with own_server.client() as client, suppress(redis_py.ResponseError):
            client.eval("while true do end", 0)

    with own_server.client() as admin:
        admin.config_set("busy-reply-threshold", 50)
        thread = threading.Thread(target=spin)
        thread.start()
        eventually(lambda: _code(own_server.url) == "busy_script")
        admin.script_kill()
        thread.join(60)


def _code(url: str) -> str | None:
    """Return the code of the trouble that a PING meets; None when it meets none."""
    with queue.build_client(settings(url), client_name="test") as client:
        try:
            client.ping()
        except redis_py.RedisError as error:
            trouble = translate(error)
            return trouble.code if trouble else repr(error)
    return None


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


def test_a_client_has_a_name_short_timeouts_and_a_keepalive_that_notices_a_dead_peer_in_time(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    client = queue.build_client(settings(server.url), client_name="worker.test")
    connection = client.connection_pool.get_connection()
    sock = connection._sock
    assert (connection.socket_timeout, connection.socket_connect_timeout) == (5, 5)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, count = (
        sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + interval * count <= 15
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 15_000
    assert "worker.test" in [client["name"] for client in redis.client_list()]
    client.connection_pool.release(connection)
    client.set("a", "b")
    assert client.get("a") == b"b", "answers must stay bytes"
    client.close()


def test_a_url_cannot_take_away_the_timeouts_that_notice_silence(server: RedisServer) -> None:
    url = f"{server.url}?socket_timeout=600&socket_connect_timeout=600&health_check_interval=0&max_connections=1"
    with queue.build_client(settings(url), client_name="test", max_connections=3) as client:
        connection = client.connection_pool.get_connection()
        assert (connection.socket_timeout, connection.socket_connect_timeout) == (5, 5)
        assert connection.health_check_interval == HEALTH_CHECK_SECONDS
        assert client.ping(), "more than one connection"
        client.connection_pool.release(connection)


@pytest.mark.parametrize("option", ["protocol=2", "db=3"])
def test_options_that_say_how_to_connect_are_obeyed(server: RedisServer, option: str) -> None:
    name, _, value = option.partition("=")
    with queue.build_client(settings(f"{server.url.removesuffix('/0')}?{option}"), client_name="test") as client:
        assert client.ping()
        (me,) = [entry for entry in client.client_list() if entry["id"] == str(client.client_id())]
        assert me[{"protocol": "resp"}.get(name, name)] == value


def test_connecting_makes_no_errors_on_the_server(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        for blocking in (False, True):
            with queue.build_client(settings(own_server.url), client_name="test", blocking=blocking) as client:
                admin.config_resetstat()
                client.ping()
                with queue.clone(client, blocking=blocking) as twin:
                    twin.ping()
            # redis-py introduces itself (CLIENT SETINFO); servers older than Redis 7.2 do not know that.
            old = "valkey_version" not in admin.info("server") and admin.info("server")["redis_version"] < "7.2"
            assert set(admin.info("errorstats")) == ({"errorstat_ERR"} if old else set())


def given_by_others(server: RedisServer) -> Iterator[redis_py.Redis]:
    """Clients that no worker would make for itself."""
    eager = Retry(ExponentialBackoff(0.01, 0.1), 7)
    yield redis_py.Redis(port=server.port)
    yield redis_py.Redis(port=server.port, retry=eager, retry_on_error=[redis_py.RedisError], socket_timeout=None)
    yield redis_py.Redis.from_url(f"{server.url}?retry_on_timeout=yes&socket_timeout=3600&socket_keepalive=no")
    yield redis_py.Redis(port=server.port, decode_responses=True, encoding="latin-1", single_connection_client=True)
    yield redis_py.Redis(
        connection_pool=redis_py.BlockingConnectionPool(port=server.port, max_connections=1, retry=eager)
    )
    yield redis_py.Redis(port=server.port, protocol=3, legacy_responses=False)


def test_a_clone_has_connections_of_its_own_that_never_repeat_and_wait_only_for_a_while(server: RedisServer) -> None:
    for given in given_by_others(server):
        pool = given.connection_pool
        before = {name: repr(value) for name, value in pool.connection_kwargs.items()}
        mine = pool.get_connection()
        sent = given.info("stats")["total_connections_received"] if pool.max_connections > 1 else 0
        twin = queue.clone(given)
        connections = [twin.connection_pool.get_connection() for _ in range(queue.FEWEST_CONNECTIONS)]
        for connection in connections:
            assert connection.retry.get_retries() == 0
            assert 0 < connection.socket_timeout <= queue.LONGEST_TIMEOUT_SECONDS
            sock = connection._sock
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            twin.connection_pool.release(connection)
        assert twin.echo("ä") == "ä".encode()
        if sent:
            received = twin.info("stats")["total_connections_received"]
            assert received - sent >= len(connections), "none of them was the given client's"
        queue.close(twin)
        assert not any(connection.is_connected for connection in connections)
        assert mine.is_connected, "the given client is left alone"
        assert {name: repr(value) for name, value in pool.connection_kwargs.items()} == before
        pool.release(mine)
        given.close()


def test_a_clone_knows_user_database_and_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with RedisServer(arguments=("--unixsocket", str(path))) as server, server.user("ann", "+@all", "~*"):
        with redis_py.Redis(unix_socket_path=str(path), username="ann", password="hunter2", db=3) as given:
            twin = queue.clone(given)
            assert twin.acl_whoami() == "ann"
            (me,) = [entry for entry in twin.client_list() if entry["id"] == str(twin.client_id())]
            assert (me["db"], "U" in me["flags"]) == ("3", True)
            queue.close(twin)


FAKE = """
import sys
if sys.argv[1] == "without":
    sys.modules.update(dict.fromkeys(["lupa", "lupa.lua51", "lupa.lua53", "lupa.lua54"]))
import fakeredis
from rq import Queue
from worker.consumer import Consumer
redis = fakeredis.FakeStrictRedis()
queue = Queue("default", connection=redis)
job = queue.enqueue("tests.support.tasks.add", 1, 2)
try:
    Consumer([queue], connection=redis).work(burst=True)
finally:
    print(job.get_status().value)
"""


@pytest.mark.parametrize(("lua", "status"), [("with", "finished"), ("without", "queued")])
def test_fakeredis_works_with_lua_and_ends_in_a_sentence_without(lua: str, status: str) -> None:
    environ = {**os.environ, "WORKER_JOB_MODULES": "tests.support.tasks", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", FAKE, lua]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.endswith(f"{status}\n"), done.stderr
    assert (done.returncode == 0) == (lua == "with")
    assert ("pip install 'fakeredis[lua]'" in done.stderr) == (lua == "without")


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with RedisServer(arguments=("--unixsocket", str(path))):
        with queue.build_client(settings(f"unix://{path}"), client_name="test") as client:
            assert client.ping()
    assert trouble_with(f"unix://{path}").code == "refused"


def test_an_idle_connection_that_was_closed_is_renewed_unnoticed(server: RedisServer, redis: redis_py.Redis) -> None:
    with queue.build_client(settings(server.url), client_name="test") as client:
        assert client.ping()
        for entry in redis.client_list():
            if entry["name"] == "test":
                redis.client_kill_filter(_id=entry["id"])
        assert client.ping()


@pytest.mark.parametrize("url", ["redis://:hunter2/more@host:6379", "redis://[hunter2", "http://hunter2@host"])
def test_a_bad_url_is_not_quoted(server: RedisServer, url: str) -> None:
    bad = settings(server.url).model_copy(update={"redis_url": SecretStr(url)})
    for call in (queue.build_client, queue.connect_with_retry):
        with pytest.raises(RedisTrouble) as caught:
            call(bad, client_name="test")
        assert caught.value.code == "bad_url"
        said = "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in said
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_connect_with_retry_leaves_no_connection_behind_when_it_fails(
    server: RedisServer, redis: redis_py.Redis
) -> None:
    redis.execute_command("ACL", "SETUSER", "w", "on", ">hunter2", "~*", "&*", "+@all", "-ping")
    try:
        with pytest.raises(RedisTrouble) as caught:
            queue.connect_with_retry(
                settings(f"redis://w:hunter2@127.0.0.1:{server.port}"), client_name="left", deadline=time.monotonic()
            )
        assert caught.value.code == "no_permission"
        eventually(lambda: "left" not in [client["name"] for client in redis.client_list()])
    finally:
        redis.execute_command("ACL", "DELUSER", "w")


def test_connect_with_retry_waits_for_the_server(own_server: RedisServer) -> None:
    own_server.kill()
    reasons: list[str] = []
    clients: list[redis_py.Redis] = []

    def connect() -> None:
        clients.append(
            queue.connect_with_retry(
                settings(own_server.url),
                client_name="test",
                deadline=time.monotonic() + 60,
                on_trouble=lambda trouble, _delay: reasons.append(trouble.code),
            )
        )

    thread = threading.Thread(target=connect)
    thread.start()
    eventually(lambda: len(reasons) >= 2)
    own_server.restart(keep_data=True)
    thread.join(60)
    assert clients[0].ping()
    assert set(reasons) <= {"refused", "loading", "reset"}
    assert reasons


def test_connect_with_retry_gives_up_at_its_deadline_with_the_reason() -> None:
    with pytest.raises(RedisTrouble, match="refuses the connection"):
        queue.connect_with_retry(
            settings(f"redis://127.0.0.1:{free_port()}"), client_name="test", deadline=time.monotonic() + 0.5
        )
