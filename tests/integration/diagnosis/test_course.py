"""The diagnosis against real targets that are broken in each way there is, and against good ones."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import redis as redis_py

from tests.support import broken
from tests.support.broken import PASSWORD, Authority, tls_in_front_of
from tests.support.diagnosing import SILENCE_SECONDS, TIMEOUT_SECONDS, diagnosed, failure
from tests.support.server import RedisServer
from worker.diagnosis.case import Address, target_of
from worker.diagnosis.report import Status
from worker.diagnosis.start import case_of
from worker.diagnosis.steps import latency
from worker.diagnosis.steps.tcp import check_tcp


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    """A server with a password."""
    with RedisServer(password=PASSWORD) as server:
        yield server


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine answers some PINGs late, which is worth a warning: tests/unit/diagnosis/steps/test_latency.py."""
    monkeypatch.setattr(latency, "_FAR_MS", float("inf"))
    monkeypatch.setattr(latency, "_ROUGH_MS", float("inf"))


def test_a_good_server_passes_every_step(server: RedisServer, redis: redis_py.Redis) -> None:
    redis.set("somebody's", "data")
    report = diagnosed(server.url)
    assert (report.exit_code, failure(report)) == (0, ("", ""))
    assert {step.name: step.status.value for step in report.steps if step.name not in ("fitness", "auth")} == {
        "url": "ok",
        "dns": "ok",
        "tcp": "ok",
        "tls": "skipped",
        "redis": "ok",
        "latency": "ok",
        "server": "ok",
        "rq": "ok",
        "rest": "skipped",
    }
    assert report.step("auth").facts["denied"] == []
    assert report.step("latency").facts["pings"] == 50
    assert report.step("server").facts["role"] == "master"
    assert report.conclusion.startswith("Redis works for the worker; look at this: Nothing is saved to disk")
    assert redis.keys() == [b"somebody's"], "it leaves nothing behind"


def test_a_server_that_saves_is_fit_without_reserve(own_server: RedisServer) -> None:
    report = diagnosed(own_server.url)
    assert report.status is Status.OK
    assert report.conclusion == "Redis is fit for the worker: 9 steps, nothing to do."


@pytest.mark.parametrize(
    ("target", "step", "code", "exit_code", "words"),
    [
        (lambda: nullcontext(broken.refused()), "tcp", "refused", 12, "127.0.0.1 (IPv4)"),
        (broken.blackhole, "tcp", "connect_timeout", 12, "firewall"),
        (broken.silent, "redis", "read_timeout", 14, "does not answer"),
        (broken.web_server, "redis", "not_redis", 14, "an HTTP server"),
        (broken.loading, "redis", "loading", 14, "passes by itself"),
        (broken.crowded, "redis", "max_clients", 14, "no more connections"),
        (broken.replica, "server", "read_only", 17, "must name the primary"),
        (broken.busy, "redis", "busy_script", 14, "busy running somebody's script"),
        (broken.lonely, "fitness", "no_replicas", 18, "too few of its replicas"),
        (broken.full, "fitness", "out_of_memory", 18, "refuses writes; trying to "),  # whatever comes first
    ],
    ids=["refused", "blackhole", "silent", "http", "loading", "max clients", "replica", "busy", "lonely", "full"],
)
def test_a_broken_target_is_named_with_its_stage_cause_and_fix(
    target: Callable[[], AbstractContextManager[str]], step: str, code: str, exit_code: int, words: str
) -> None:
    timeout = SILENCE_SECONDS if code.endswith("_timeout") else TIMEOUT_SECONDS
    with target() as url:
        began = time.monotonic()
        report = diagnosed(url, timeout=timeout)
        took = time.monotonic() - began
    assert failure(report) == (step, code), report
    assert report.exit_code == exit_code
    assert words in report.conclusion
    assert took < timeout * len(report.steps)
    assert all(finding.fix for each in report.steps for finding in each.findings if finding.status is Status.FAILED)


def test_a_name_that_does_not_exist_is_told_as_such() -> None:
    report = diagnosed(broken.unknown_name())
    assert failure(report) == ("dns", "dns")
    assert report.conclusion.startswith("The Redis host name does not resolve; ")
    skipped = [step.name for step in report.steps if step.status is Status.SKIPPED]
    assert skipped == ["tcp", "tls", "redis", "auth", "latency", "server", "fitness", "rq", "rest"]


def test_a_frozen_server_is_told_within_the_deadline(own_server: RedisServer) -> None:
    own_server.freeze()
    report = diagnosed(own_server.url, timeout=1)
    own_server.thaw()
    assert failure(report) == ("redis", "read_timeout")
    assert report.step("redis").seconds < 20


def test_an_old_server_is_told_by_its_version() -> None:
    with broken.old() as url:
        report = diagnosed(url)
    assert failure(report) == ("auth", "unknown_command")
    assert "Redis 5.0.14, older than 6.2" in report.conclusion


@pytest.mark.parametrize(
    ("info", "product", "version", "too_old"),
    [
        ("upstash_version:1.9\r\nredis_version:6.2.6\r\n", "Upstash", "1.9", False),
        ("redis_version:7.4.0\r\ndragonfly_version:df-v1.30.0\r\n", "Dragonfly", "df-v1.30.0", False),
        ("redis_version:7.2.4\r\nvalkey_version:8.1.0\r\n", "Valkey", "8.1.0", False),
        ("redis_version:6.0.16\r\n", "Redis", "6.0.16", True),
        ("redis_version:6.2.0\r\n", "Redis", "6.2.0", False),
        ("nothing:known\r\n", "Redis or similar", "", False),
    ],
)
def test_products_are_told_apart(info: str, product: str, version: str, too_old: bool) -> None:
    with broken.old(info) as url:
        step = diagnosed(url).step("server")
    assert (step.facts["product"], step.facts["version"]) == (product, version)
    assert (step.status is Status.FAILED) == too_old


def test_one_dead_address_of_several_is_a_warning(server: RedisServer) -> None:
    case = case_of({}, server.url)
    case.target = target_of(server.url)
    case.addresses = [Address(socket.AF_INET, ip, server.port) for ip in ("127.0.0.2", "127.0.0.1")]
    found = check_tcp(case)
    assert [finding.status for finding in found.findings] == [Status.WARNING, Status.OK]
    assert "127.0.0.2 (IPv4)" in found.findings[0].says
    assert [address.ip for address in case.addresses] == ["127.0.0.1"], "later steps use what works"


def test_a_server_that_stops_answering_half_way_does_not_hold_the_tool_up() -> None:
    def answer(data: bytes) -> bytes:
        if b"SET" in data and b"diagnosis" in data:
            return b""  # the first thing after logging in
        return b"+PONG\r\n" if b"PING" in data else b"-ERR unknown command\r\n" * data.count(b"*")

    with broken.answering(answer) as port:
        report = diagnosed(f"redis://127.0.0.1:{port}", timeout=1)
    assert failure(report)[0] == "auth"
    assert report.seconds < 2 * len(report.steps)


# TLS


def test_a_good_certificate_is_told_with_its_days(server: RedisServer, authority: Authority) -> None:
    with tls_in_front_of(server.port, authority.good(days=90.5)) as port:
        report = diagnosed(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.file}")
    assert report.exit_code == 0
    facts = report.step("tls").facts
    assert (facts["days_left"], facts["names"]) == (90, ["127.0.0.1"])
    assert facts["version"].startswith("TLSv1.")


def test_a_certificate_that_expires_soon_is_a_warning(server: RedisServer, authority: Authority) -> None:
    with tls_in_front_of(server.port, authority.good(days=3.5)) as port:
        report = diagnosed(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.file}")
    assert report.exit_code == 0
    assert report.step("tls").status is Status.WARNING
    assert "The certificate expires on" in report.conclusion


@pytest.mark.parametrize(
    ("names", "days", "trusted", "code", "words"),
    [
        ((), -3.5, True, "tls_certificate", "It expired on"),
        ((), 90, False, "tls_certificate", "authority"),
        (("other.example",), 90, True, "tls_hostname", "for other.example, not for 127.0.0.1"),
    ],
    ids=["expired", "unknown authority", "wrong host"],
)
def test_a_bad_certificate_is_told_with_what_is_bad(
    server: RedisServer,
    authority: Authority,
    names: tuple[str, ...],
    days: float,
    trusted: bool,
    code: str,
    words: str,
) -> None:
    with tls_in_front_of(server.port, authority.good(*names, days=days)) as port:
        report = diagnosed(f"rediss://127.0.0.1:{port}" + f"?ssl_ca_certs={authority.file}" * trusted)
    assert failure(report) == ("tls", code)
    assert report.exit_code == 13
    assert words in str(report.step("tls").findings)
    assert report.step("tls").facts["names"], "the certificate was read although it is not trusted"


def test_tls_spoken_to_a_plain_server(server: RedisServer) -> None:
    """Redis waits for more when it gets a handshake: only asking it in plain text tells."""
    report = diagnosed(server.url.replace("redis://", "rediss://"), timeout=SILENCE_SECONDS)
    assert failure(report) == ("tls", "tls_to_plain")
    assert "use redis:// instead of rediss://" in report.conclusion.lower()


def test_plain_text_spoken_to_a_tls_server(server: RedisServer, authority: Authority) -> None:
    with tls_in_front_of(server.port, authority.good()) as port:
        report = diagnosed(f"redis://:{PASSWORD}@127.0.0.1:{port}")
    assert failure(report) == ("redis", "plain_to_tls")
    assert "use rediss:// instead of redis://" in report.conclusion


def test_a_file_of_the_url_that_is_no_certificate(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    report = diagnosed(f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={tmp_path / 'ca.pem'}")
    assert failure(report) == ("tls", "tls")
    assert "A file named in the URL cannot be used" in report.conclusion


# Login


def test_a_missing_password(guarded: RedisServer) -> None:
    report = diagnosed(f"redis://127.0.0.1:{guarded.port}")
    assert failure(report) == ("auth", "no_auth")
    assert report.exit_code == 15


def test_a_wrong_password(guarded: RedisServer) -> None:
    report = diagnosed(f"redis://:nothing-like-it@127.0.0.1:{guarded.port}")
    assert failure(report) == ("auth", "wrong_password")
    assert "nothing-like-it" not in report.model_dump_json()


def test_the_right_password(guarded: RedisServer) -> None:
    report = diagnosed(guarded.url)
    assert report.exit_code == 0
    assert report.step("auth").says.startswith("the password of the default user is right")


def test_a_database_that_does_not_exist(server: RedisServer) -> None:
    assert failure(diagnosed(server.url.replace("/0", "/99"))) == ("auth", "bad_database")


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(aof=True, arguments=("--unixsocket", str(path))):
        report = diagnosed(f"unix://{path}")
    assert report.status is Status.OK
    assert failure(diagnosed(f"unix://{tmp_path / 'none.sock'}")) == ("tcp", "refused")


# A server that is not fit


def test_an_evicting_server_with_a_limit_is_not_fit(own_server: RedisServer) -> None:
    with own_server.client() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lru")
        assert diagnosed(own_server.url).status is Status.WARNING, "without a limit nothing is evicted yet"
        admin.config_set("maxmemory", "100mb")
        report = diagnosed(own_server.url)
    assert failure(report) == ("fitness", "eviction")
    assert "allkeys-lru" in report.conclusion
    assert "noeviction" in report.conclusion


def test_little_headroom_for_memory_and_clients_is_a_warning() -> None:
    arguments = ("--maxclients", "10", "--timeout", "5")
    with RedisServer(maxmemory="20mb", arguments=arguments) as server, server.client() as client:
        while client.info("memory")["used_memory"] < 17 * 1024**2:
            client.set(f"filling:{client.dbsize()}", "x" * 20_000)
        report = diagnosed(server.url)
    codes = {finding.code for finding in report.step("fitness").findings if finding.status is Status.WARNING}
    assert codes == {"memory_headroom", "no_persistence", "client_headroom", "idle_timeout", "result_memory"}
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("room", "limit", "status"),
    [(4096, "100mb", Status.WARNING), (0, "100mb", Status.WARNING), (4096, "0", Status.OK), (1024, "100mb", None)],
)
def test_room_that_the_server_sets_aside_for_results_is_named_where_memory_is_limited(
    own_server: RedisServer, room: int, limit: str, status: Status | None
) -> None:
    with own_server.client() as admin:
        admin.config_set("stream-node-max-bytes", room)
        admin.config_set("maxmemory", limit)
        fitness = diagnosed(own_server.url).step("fitness")
    told = [finding for finding in fitness.findings if finding.code == "result_memory"]
    assert [finding.status for finding in told] == ([status] if status is not None else [])
    assert all("stream-node-max-bytes" in finding.says for finding in told)
    assert fitness.facts["stream_node_max_bytes"] == room


def test_a_server_that_refuses_info_config_and_client_is_still_told_apart() -> None:
    """INFO and CONFIG are nobody's need; CLIENT SETNAME is the worker's, so that is said."""
    with RedisServer(arguments=("--rename-command", "INFO", "", "--rename-command", "CONFIG", "")) as server:
        report = diagnosed(server.url)
        assert report.exit_code == 0
        assert report.step("server").facts["version"]
        assert report.step("fitness").says == "fit"
    with RedisServer(arguments=("--rename-command", "CLIENT", "")) as server:
        report = diagnosed(server.url)
        assert failure(report) == ("auth", "unknown_command")
        assert report.step("auth").facts["denied"] == ["CLIENT|SETNAME"]
        assert report.step("rq").status is Status.OK, "the rest is looked at all the same"


def test_a_cluster_needs_a_prefix_with_braces() -> None:
    with RedisServer(arguments=("--cluster-enabled", "yes")) as server, server.client() as admin:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        report = diagnosed(server.url)
    assert failure(report) == ("server", "cluster_keys")
