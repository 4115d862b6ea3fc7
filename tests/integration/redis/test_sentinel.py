"""Clients that follow a primary through real Sentinels: where they connect, what they call trouble, what uses them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis as redis_py
from redis.sentinel import Sentinel
from rq import Queue
from rq.job import Job

from producer import Misconfigured, Producer
from tests.support import tasks
from tests.support.broken import Authority, answering
from tests.support.commands import RQ, run
from tests.support.diagnosing import diagnosed, failure
from tests.support.sentinels import SERVICE, Guarded
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.tls_front import TlsFront
from tests.support.waiting import eventually
from worker import queue
from worker.diagnosis.markdown import markdown
from worker.diagnosis.report import Status
from worker.redis.translate import translate
from worker.settings.load import load

PASSWORD, SENTINEL_PASSWORD = "hunter2-of-data", "hunter2-of-sentinels"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """A primary and a replica under three Sentinels, with passwords; only `test_it_follows…` changes who is who."""
    with Guarded(password=PASSWORD, sentinel_password=SENTINEL_PASSWORD) as guarded:
        yield guarded


def client_of(url: str) -> redis_py.Redis:
    return queue.build_client(load({"REDIS_URL": url}), client_name="test")


def code_of(url: str) -> str:
    """Return the code of the trouble that a PING meets."""
    with client_of(url) as client, pytest.raises(redis_py.ConnectionError) as caught:
        client.ping()
    trouble = translate(caught.value)
    assert trouble is not None
    assert "hunter2" not in f"{trouble} {caught.value} {client!r}"
    return trouble.code


def plain(guarded: Guarded) -> str:
    """The same Sentinels' URL without passwords."""
    return guarded.url.replace(f":{PASSWORD}@", "").replace(f"?sentinel_password={SENTINEL_PASSWORD}", "")


def test_a_client_is_connected_to_the_primary(guarded: Guarded) -> None:
    with client_of(guarded.url) as client:
        assert client.info("replication")["role"] == "master"
        (connection,) = client.connection_pool._available_connections
        assert connection.port == guarded.port()


def test_what_is_wrong_with_sentinels_has_a_name(guarded: Guarded) -> None:
    assert code_of(guarded.url.replace(SENTINEL_PASSWORD, "hunter2-wrong")) == "sentinel_login"
    assert code_of(plain(guarded)) == "sentinel_login"
    assert code_of(guarded.url.replace(SERVICE, "another")) == "sentinel_service"
    assert code_of("redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster") == "sentinel_away"
    assert code_of(guarded.url.replace(PASSWORD, "hunter2-wrong")) == "wrong_password"


def test_a_minority_that_is_away_or_silent_is_no_trouble(guarded: Guarded) -> None:
    with answering(lambda _data: b"") as silent:
        url = guarded.url.replace("://", "://", 1).replace(f"@127.0.0.1:{guarded.sentinels[0].port}", "@127.0.0.1:1")
        url = url.replace(f":{guarded.sentinels[1].port}", f":{silent}")
        with client_of(url) as client:
            assert client.ping()


def test_a_server_that_is_no_primary_is_not_used() -> None:
    """As in the moment between a demotion and the Sentinels' word of it."""
    with RedisServer() as primary, RedisServer() as replica, replica.client() as admin:
        admin.replicaof("127.0.0.1", primary.port)
        with answering(naming(replica.port)) as sentinel:
            assert code_of(f"redis+sentinel://127.0.0.1:{sentinel}/mymaster") == "failover"
    with answering(naming(1)) as sentinel:
        assert code_of(f"redis+sentinel://127.0.0.1:{sentinel}/mymaster") == "primary_away"


def test_tls_to_the_sentinels_alone_and_to_all(guarded: Guarded, authority: Authority) -> None:
    certificate = authority.good()
    with ExitStack() as stack:
        fronts = [stack.enter_context(TlsFront(sentinel.port, certificate)) for sentinel in guarded.sentinels]
        hosts = ",".join(f"127.0.0.1:{front.port}" for front in fronts)
        url = f"redis+sentinel://:{PASSWORD}@{hosts}/{SERVICE}?sentinel_password={SENTINEL_PASSWORD}&sentinel_tls=true"
        with client_of(f"{url}&ssl_ca_certs={authority.file}") as client:
            assert client.ping()
        assert code_of(url) == "sentinel_away", "an authority that nobody knows"
    with RedisServer() as server, TlsFront(server.port, certificate) as front, answering(naming(front.port)) as port:
        with TlsFront(port, certificate) as sentinel:
            url = f"rediss+sentinel://127.0.0.1:{sentinel.port}/mymaster?ssl_ca_certs={authority.file}"
            with client_of(url) as client:
                assert client.ping()
        with client_of(url.replace(f"{sentinel.port}", f"{port}") + "&sentinel_tls=false") as client:
            assert client.ping()


def test_every_command_reads_such_a_url(guarded: Guarded) -> None:
    """`migrate` takes two of them, the producer over TCP one."""
    with client_of(guarded.url) as client:
        job = Queue("default", connection=client).enqueue(tasks.add, 1, 2)
    environ = {"WORKER_JOB_MODULES": "tests.support.tasks"}
    assert "default" in run("status", url=guarded.url, **environ).stdout
    assert run("check", url=guarded.url, **environ).returncode == 0
    with RedisServer() as other:
        moved = run("migrate", "--from", guarded.url, "--to", other.url, url=other.url, **environ)
        assert moved.returncode == 0, moved.stderr
        with other.client() as redis:
            assert Job.exists(job.id, connection=redis)
    with Producer.from_environment({"REDIS_URL": guarded.url}) as producer:
        job_id = producer.enqueue("tests.support.tasks.add", [1, 2]).id
    with client_of(guarded.url) as client:
        assert Job.exists(job_id, connection=client)
        client.flushdb()
    with pytest.raises(Misconfigured, match="of Sentinels"):
        Producer.from_environment({"REDIS_URL": "redis+sentinel://a:1"})


def test_the_diagnosis_has_a_step_for_each_sentinel(guarded: Guarded) -> None:
    report = diagnosed(guarded.url)
    assert report.exit_code == 0
    names = [step.name for step in report.steps]
    assert names[:6] == ["url", "sentinel_1", "sentinel_2", "sentinel_3", "primary", "dns"]
    assert report.step("primary").says == f"127.0.0.1:{guarded.port()}, named by 3 of 3 Sentinels"
    told = report.step("sentinel_2")
    assert f"names 127.0.0.1:{guarded.port()} · 1 replica · quorum 2 of 3 Sentinels" in told.says
    assert told.facts["replicas"] == [{"at": f"127.0.0.1:{guarded.other.port}", "link": "ok", "flags": "slave"}]
    assert "hunter2" not in report.model_dump_json() + markdown(report)
    unnamed = diagnosed(guarded.url.replace(SERVICE, "another"))
    assert failure(unnamed) == ("primary", "sentinel_service")
    assert unnamed.exit_code == 22
    assert failure(diagnosed(plain(guarded))) == ("primary", "sentinel_login")
    one_away = diagnosed(guarded.url.replace(f"@127.0.0.1:{guarded.sentinels[0].port}", "@127.0.0.1:1"))
    assert one_away.step("sentinel_1").status is Status.WARNING
    assert one_away.exit_code == 0
    assert failure(diagnosed("redis+sentinel://127.0.0.1:1/mymaster")) == ("primary", "sentinel_away")


def test_a_clone_of_redis_pys_own_client_follows_as_well(guarded: Guarded) -> None:
    sentinels = [("127.0.0.1", sentinel.port) for sentinel in guarded.sentinels]
    theirs = Sentinel(sentinels, sentinel_kwargs={"password": SENTINEL_PASSWORD})
    given = theirs.master_for(SERVICE, password=PASSWORD, decode_responses=True)
    before = {name: repr(value) for name, value in given.connection_pool.connection_kwargs.items()}
    twin = queue.clone(given)
    assert twin.echo("ä") == "ä".encode()
    (connection,) = twin.connection_pool._available_connections
    assert connection.port == guarded.port()
    assert connection.retry.get_retries() == 0
    assert {name: repr(value) for name, value in given.connection_pool.connection_kwargs.items()} == before
    queue.close(twin)
    assert not connection.is_connected
    assert given.ping(), "the given client is left alone"


def test_rqs_own_way_of_naming_sentinels_works_with_the_consumer(guarded: Guarded, tmp_path: Path) -> None:
    """`rq worker -c settings` with `SENTINEL`, as RQ's documentation has it."""
    instances = [("127.0.0.1", sentinel.port) for sentinel in guarded.sentinels]
    (tmp_path / "rq_settings.py").write_text(
        f"SENTINEL = {{'INSTANCES': {instances}, 'MASTER_NAME': '{SERVICE}', 'PASSWORD': '{PASSWORD}',"
        f" 'SENTINEL_KWARGS': {{'password': '{SENTINEL_PASSWORD}'}}}}\n"
    )
    with client_of(guarded.url) as client:
        job = Queue("default", connection=client).enqueue(tasks.add, 1, 2)
        command = [RQ, "worker", "-w", "worker.consumer.Consumer", "-c", "rq_settings", "--burst", "--quiet", "default"]
        environ = {"PATH": os.environ["PATH"], "WORKER_JOB_MODULES": "tests.support.tasks"}
        environ["PYTHONPATH"] = f"{ROOT}:{tmp_path}"
        subprocess.run(command, cwd=ROOT, env=environ, check=True, timeout=120)
        assert job.get_status() == "finished"
        client.flushdb()


def test_it_follows_a_switch_and_hangs_up_what_waits_at_a_frozen_primary(guarded: Guarded) -> None:
    """A connection that waits in a blocking command, as a doorbell does, ends when another primary is named."""
    with client_of(guarded.url) as client:
        frozen = guarded.primary
        waiting = client.connection_pool.get_connection()
        waiting.send_command("BLPOP", "nothing", 0)
        frozen.freeze()
        try:
            with pytest.raises(redis_py.ConnectionError):
                waiting.read_response(timeout=60)
            client.connection_pool.release(waiting)
            eventually(lambda: port_of(client) not in (0, frozen.port), what="the new primary")
        finally:
            frozen.thaw()
        assert client.set("key", "value")


def port_of(client: redis_py.Redis) -> int:
    """Return the port that a PING goes to, 0 when it goes nowhere."""
    try:
        client.ping()
    except redis_py.RedisError:
        return 0
    return int(client.connection_pool._available_connections[-1].port)


def naming(port: int):  # type: ignore[no-untyped-def]
    """Return the answers of a stand-in for a Sentinel that names a port of this machine, right or wrong."""
    where = f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(port))}\r\n{port}\r\n".encode()

    def answer(data: bytes) -> bytes:
        said = b"+OK\r\n" * data.count(b"SETINFO")
        if b"GET-MASTER-ADDR-BY-NAME" in data:
            said += where + b"*-1\r\n"
        return said

    return answer
