"""The test toolkit itself: what other tests build on must do what it says, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Queue
from rq.job import Job
from rq.rate_limit import RateLimit

from tests.support import checker, leaks, processes, tasks, worker
from tests.support.proxy import Proxy
from tests.support.resp import NotRespError, message_end
from tests.support.server import RedisServer, answers
from tests.support.service import ROOT, Service
from tests.support.waiting import eventually

REFUSALS = (redis_py.ConnectionError, redis_py.TimeoutError)


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


def through(proxy: Proxy, **options: object) -> redis_py.Redis:
    """A client that tells every trouble at once instead of trying again."""
    settings = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 30, **options}
    return redis_py.Redis.from_url(proxy.url, **settings)


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_eventually_returns_the_first_true_value_and_names_what_did_not_come() -> None:
    values = iter([0, "", 7])
    assert eventually(lambda: next(values)) == 7
    with pytest.raises(AssertionError, match=r"the moon did not come true within 0\.05 s.*3 == 4"):
        eventually(lambda: complain("3 == 4"), 0.05, what="the moon")


def complain(text: str) -> None:
    raise AssertionError(text)


# -- processes --------------------------------------------------------------------------------------------------------


def test_a_zombie_is_dead_and_a_stopped_process_is_alive() -> None:
    sleeper = subprocess.Popen(["sleep", "60"])
    os.kill(sleeper.pid, signal.SIGSTOP)
    assert processes.is_alive(sleeper.pid)
    assert sleeper.pid in processes.children(os.getpid())
    processes.kill_all([sleeper.pid])
    assert sleeper.returncode is None  # not reaped yet
    assert not processes.is_alive(sleeper.pid)
    sleeper.wait()


def named(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_a_tree_is_found_by_its_mark_wherever_it_went() -> None:
    script = "setsid sleep 61 & sleep 62 & wait"
    mark = uuid.uuid4().hex
    shell = subprocess.Popen(["sh", "-c", script], env={**os.environ, "TREE": mark})
    eventually(lambda: list(map(named, processes.with_environment("TREE", mark))).count("sleep") == 2)
    assert len(processes.descendants(shell.pid)) == 2
    assert 0 < processes.pss(shell.pid) <= processes.rss(shell.pid)
    assert processes.tree_pss(shell.pid) > processes.pss(shell.pid)
    shell.kill()
    shell.wait()
    orphans = processes.with_environment("TREE", mark)
    assert len(orphans) == 2
    processes.kill_all(orphans)
    assert processes.with_environment("TREE", mark) == []


def test_a_process_is_found_as_soon_as_it_was_started() -> None:
    for _ in range(20):
        mark = uuid.uuid4().hex
        sleeper = subprocess.Popen(["sleep", "60"], env={"TREE": mark})
        found = processes.with_environment("TREE", mark)
        sleeper.kill()
        sleeper.wait()
        assert found == [sleeper.pid]


# -- server -----------------------------------------------------------------------------------------------------------


def test_a_server_with_an_append_only_file_keeps_its_data_over_a_kill() -> None:
    with RedisServer(aof=True) as server, server.client() as client:
        client.set("key", "value")
        port, first = server.port, server.pid
        server.kill()
        assert not processes.is_alive(first)
        server.restart(keep_data=True)
        assert (server.port, client.get("key")) == (port, b"value")
        server.restart(keep_data=False)
        assert client.get("key") is None


def test_a_server_that_keeps_no_data_does_not_pretend_to() -> None:
    with RedisServer() as server, pytest.raises(ValueError, match="aof=True"):
        server.restart(keep_data=True)


def test_a_frozen_server_accepts_and_does_not_answer_until_it_thaws() -> None:
    with RedisServer() as server, server.client(socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client:
        server.freeze()
        with pytest.raises(redis_py.TimeoutError):
            client.ping()
        server.thaw()
        eventually(lambda: answers(client))


def test_stopping_a_frozen_server_leaves_no_process_and_no_file() -> None:
    server = RedisServer(aof=True).start()
    pid, folder = server.pid, server.directory
    server.freeze()
    server.stop()
    server.stop()
    assert not processes.is_alive(pid)
    assert not folder.exists()


def test_a_server_refuses_writes_when_full_and_clients_without_its_password() -> None:
    with RedisServer(maxmemory="3mb", password="open-sesame") as server, server.client() as client:
        with pytest.raises(redis_py.exceptions.OutOfMemoryError):
            [client.set(f"key-{index}", "x" * 100_000) for index in range(64)]
        with pytest.raises(redis_py.AuthenticationError):
            redis_py.Redis(port=server.port, retry=Retry(NoBackoff(), 0)).ping()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="no-such-option"):
        RedisServer(arguments=("--no-such-option", "1")).start()


def test_only_ones_own_server_is_flushed(redis: redis_py.Redis, server: RedisServer) -> None:
    redis.set("precious", "1")
    with RedisServer() as mine:
        mine.port, own = server.port, mine.port
        with pytest.raises(RuntimeError, match="not ours"):
            mine.flush()
        mine.port = own
    assert redis.get("precious") == b"1"


# -- proxy ------------------------------------------------------------------------------------------------------------


def test_cut_before_the_server_never_sees_the_command(proxy: Proxy, redis: redis_py.Redis) -> None:
    client = through(proxy)
    client.incr("seen")
    proxy.lose("seen", "before")
    with pytest.raises(redis_py.ConnectionError):
        client.incr("seen")
    assert (proxy.lost, redis.get("seen")) == (1, b"1")
    assert client.incr("seen") == 2  # one plan, one cut


def test_cut_after_the_server_acts_and_the_client_never_knows(proxy: Proxy, redis: redis_py.Redis) -> None:
    client = through(proxy)
    proxy.lose("seen", "after")
    with pytest.raises(redis_py.ConnectionError):
        client.incr("seen")
    assert (proxy.lost, redis.get("seen")) == (1, b"1")
    assert client.incr("seen") == 2


@pytest.mark.parametrize(("when", "expected"), [("before", b"2"), ("after", b"3")])
def test_the_nth_matching_command_is_meant_over_all_connections(
    proxy: Proxy, redis: redis_py.Redis, when: str, expected: bytes
) -> None:
    proxy.lose("counter", "before" if when == "before" else "after", nth=3)
    first, second = through(proxy), through(proxy)
    first.set("other", "1")
    first.incr("counter")
    second.incr("counter")
    with pytest.raises(redis_py.ConnectionError):
        first.incr("counter")
    assert redis.get("counter") == expected


@pytest.mark.parametrize(("when", "expected"), [("before", None), ("after", b"1")])
def test_in_a_pipeline_only_what_stands_before_the_cut_is_done(
    proxy: Proxy, redis: redis_py.Redis, when: str, expected: bytes | None
) -> None:
    proxy.lose("marked", "before" if when == "before" else "after")
    with through(proxy).pipeline(transaction=False) as pipeline:
        pipeline.incr("earlier").incr("marked").incr("later")
        with pytest.raises(redis_py.ConnectionError):
            pipeline.execute()
    assert (redis.get("earlier"), redis.get("marked"), redis.get("later")) == (b"1", expected, None)


def test_a_command_that_comes_in_pieces_is_still_found(proxy: Proxy, redis: redis_py.Redis) -> None:
    proxy.lose("split-marker", "before")
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as raw:
        for piece in (b"*2\r\n$4\r\nINCR\r\n$12\r\nspl", b"it-mar", b"ker\r\n"):
            raw.sendall(piece)
            time.sleep(0.05)
        assert raw.recv(100) == b""
    assert redis.get("split-marker") is None


def test_a_blocked_command_can_lose_its_reply(proxy: Proxy, redis: redis_py.Redis) -> None:
    client = through(proxy)
    proxy.lose("BLPOP", "after")
    threading.Timer(0.2, lambda: redis.rpush("list", "item")).start()
    with pytest.raises(redis_py.ConnectionError):
        client.blpop("list", timeout=30)
    assert redis.llen("list") == 0  # popped and lost: exactly what the worker must survive


def test_random_cuts_repeat_with_their_seed(server: RedisServer) -> None:
    def fates(seed: int) -> list[str | None]:
        with Proxy(server.port, seed=seed) as proxy:
            proxy.lose_at_random("INCR", 0.4)
            return [proxy.fate(b"INCR") for _ in range(40)]

    assert fates(7) == fates(7) != fates(8)
    assert {"before", "after", None} == set(fates(7))


def test_cut_ends_every_connection_at_once(proxy: Proxy) -> None:
    clients = [socket.create_connection(("127.0.0.1", proxy.port), timeout=30) for _ in range(3)]
    for client in clients:
        client.sendall(b"*1\r\n$4\r\nPING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
    assert proxy.cut() == 3
    for client in clients:
        with client:
            assert client.recv(100) == b""


def test_a_delay_lengthens_the_way_without_narrowing_it(proxy: Proxy) -> None:
    client = through(proxy)
    client.ping()
    proxy.delay_to_server, proxy.delay_to_client = 0.03, 0.05
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began >= 0.08
    began = time.monotonic()
    with client.pipeline(transaction=False) as pipeline:
        for _ in range(200):
            pipeline.ping()
        pipeline.execute()
    assert 0.08 <= time.monotonic() - began < 8, "one after the other they take 16 s"


def test_refused_connections_come_through_again_later_and_old_ones_live_on(proxy: Proxy) -> None:
    old = through(proxy)
    old.ping()
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    assert old.ping()
    proxy.admit()
    assert through(proxy).ping()


def test_a_blackhole_swallows_silently_and_heals_with_what_was_sent(proxy: Proxy, redis: redis_py.Redis) -> None:
    client = through(proxy, socket_timeout=0.3)
    eventually(lambda: answers(client))
    proxy.blackhole = True
    with pytest.raises(redis_py.TimeoutError):
        client.incr("late")
    assert redis.get("late") is None
    proxy.blackhole = False
    eventually(lambda: redis.get("late") == b"1")


def test_bytes_that_are_no_resp_pass_untouched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream, Proxy(upstream.getsockname()[1]) as proxy:
        proxy.lose("hello", "before")
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as client:
            client.sendall(b"\x16\x03\x01hello")
            server, _ = upstream.accept()
            with server:
                server.settimeout(30)
                assert server.recv(100) == b"\x16\x03\x01hello"
                server.sendall(b"\x16\x03\x03hello to you")
                assert client.recv(100) == b"\x16\x03\x03hello to you"


@pytest.mark.parametrize(
    "message",
    [
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:5\r\n",
        b"%1\r\n+k\r\n~2\r\n#t\r\n_\r\n",
        b">2\r\n$7\r\nmessage\r\n=5\r\ntxt:a\r\n",
    ],
)
def test_a_message_ends_where_it_ends_however_it_is_cut(message: bytes) -> None:
    assert all(message_end(message[:length]) is None for length in range(len(message)))
    assert message_end(message) == len(message)
    assert message_end(b"+x\r\n" + message + b"+y\r\n", 4) == 4 + len(message)
    with pytest.raises(NotRespError):
        message_end(b"\x16" + message)


# -- checker ----------------------------------------------------------------------------------------------------------


def test_the_checker_finds_jobs_that_are_finished_dead_waiting_lost_and_in_two_places(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    good = queue.enqueue(tasks.add, 1, 2, result_ttl=600)
    bad = queue.enqueue(tasks.boom)
    worker.consumer(redis).work(burst=True)
    waiting, lost, twice = (queue.enqueue(tasks.add, 1, 2) for _ in range(3))
    redis.lrem(queue.key, 0, lost.id)
    redis.zadd("rq:finished:default", {twice.id: 2e9})
    found = checker.places(redis, [job.id for job in (good, bad, waiting, lost, twice)], ["default"])
    assert (found.finished, found.dead, found.under_way, found.missing) == (
        {good.id},
        {bad.id},
        {waiting.id},
        {lost.id},
    )
    assert list(found.wrong) == [twice.id]
    assert not found.settled


def test_the_checker_knows_where_jobs_wait_for_others_and_for_a_slot(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    first, second = (queue.enqueue(tasks.add, 1, 2, rate_limit=RateLimit(checker.RATE_LIMIT, 1)) for _ in range(2))
    child, ready = (queue.enqueue(tasks.add, 1, 2, depends_on=first) for _ in range(2))
    redis.zrem("rq:deferred:default", ready.id)
    redis.zadd("rq:ready:default", {ready.id: 1})
    ids = [job.id for job in (first, second, child, ready)]
    assert list(checker.places(redis, ids, ["default"]).wrong) == [ready.id], "its hash says deferred"
    redis.hset(ready.key, "status", "ready_to_enqueue")
    assert checker.places(redis, ids, ["default"]).under_way == set(ids)


def test_the_checker_misses_a_dead_letter_without_its_entry_and_a_job_whose_hash_is_gone(redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    bad = queue.enqueue(tasks.boom)
    worker.consumer(redis).work(burst=True)
    assert checker.places(redis, [bad.id], ["default"]).settled
    redis.delete("rq:queue:dead-letter")
    vanished = queue.enqueue(tasks.add, 1, 2)
    redis.delete(Job.key_for(vanished.id))
    assert set(checker.places(redis, [bad.id, vanished.id], ["default"]).wrong) == {bad.id, vanished.id}


# -- service, and the run as a whole ----------------------------------------------------------------------------------


def test_no_process_of_a_service_survives_a_failing_test(server: RedisServer) -> None:
    seen = []

    def failing_test(service: Service) -> None:
        with service:
            service.wait_for("child.spawned", role="consumer")
            seen.extend(service.pids())
            complain("the test's own failure")

    with pytest.raises(AssertionError, match="the test's own failure"):
        failing_test(Service(server.url))
    assert len(seen) >= 2
    assert not any(map(processes.is_alive, seen))


def test_waiting_for_an_event_that_does_not_come_shows_the_services_last_words(server: RedisServer) -> None:
    with Service(server.url) as service:
        service.wait_for("service.started")
        with pytest.raises(AssertionError, match=r"(?s)the event moon\.landed .*service\.started"):
            service.wait_for("moon.landed", timeout=0.2)


@pytest.mark.parametrize("leak", [True, False])
def test_a_run_that_leaves_a_process_behind_fails_and_names_it(tmp_path: Path, leak: bool) -> None:
    body = "subprocess.Popen(['sleep', '63'], start_new_session=True)" if leak else "pass"
    (tmp_path / "test_it.py").write_text(f"import subprocess\ndef test_it():\n    {body}\n")
    (tmp_path / "conftest.py").write_text("from tests.support import leaks\nleaks.GRACE_SECONDS = 1.0\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.support.leaks",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "1 passed" in run.stdout
    assert run.returncode == int(leak)
    assert ("sleep 63" in run.stdout) == leak


def test_what_this_run_starts_carries_its_mark(server: RedisServer) -> None:
    with Service(server.url) as service:
        service.wait_for("child.spawned", role="consumer")
        assert {server.pid, service.pid, *service.children()} <= set(leaks.left_behind())
