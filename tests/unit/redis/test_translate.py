"""Every error that Redis or the network can give has a name, a sentence and a fix."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from redis import exceptions as redis_errors
from redis._parsers import _RESP2Parser

from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import TROUBLES, trouble


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def mismatch(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (
            caused(
                redis_errors.ConnectionError("Error -2 connecting"), socket.gaierror(-2, "Name or service not known")
            ),
            "dns",
        ),
        (caused(redis_errors.ConnectionError("Error 111"), ConnectionRefusedError(errno.ECONNREFUSED, "x")), "refused"),
        (caused(redis_errors.ConnectionError("Error 113"), OSError(errno.EHOSTUNREACH, "x")), "unreachable"),
        (caused(redis_errors.ConnectionError("Error 104"), ConnectionResetError(errno.ECONNRESET, "x")), "reset"),
        (caused(redis_errors.ConnectionError("x"), OSError(errno.EMFILE, "x")), "no_descriptors"),
        (redis_errors.ConnectionError("Connection closed by server."), "reset"),
        (
            caused(redis_errors.TimeoutError("Timeout connecting to server"), TimeoutError("timed out")),
            "connect_timeout",
        ),
        (caused(redis_errors.TimeoutError("Timeout reading from socket"), TimeoutError("timed out")), "read_timeout"),
        (caused(redis_errors.ConnectionError("x"), mismatch(62)), "tls_hostname"),
        (caused(redis_errors.ConnectionError("x"), mismatch(10)), "tls_certificate"),
        (caused(redis_errors.ConnectionError("x"), ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x")), "tls_to_plain"),
        (caused(redis_errors.ConnectionError("x"), ssl.SSLError(1, "handshake failure")), "tls"),
        (redis_errors.AuthenticationError("Authentication required."), "no_auth"),
        (
            redis_errors.AuthenticationError("WRONGPASS invalid username-password pair or user is disabled."),
            "wrong_password",
        ),
        (
            redis_errors.NoPermissionError("NOPERM User w has no permissions to run the 'evalsha' command"),
            "no_permission",
        ),
        (redis_errors.BusyLoadingError("LOADING Redis is loading the dataset in memory"), "loading"),
        (redis_errors.ReadOnlyError("READONLY You can't write against a read only replica."), "read_only"),
        (redis_errors.ResponseError("MASTERDOWN Link with MASTER is down"), "cluster_down"),
        (redis_errors.ResponseError("CLUSTERDOWN The cluster is down"), "cluster_down"),
        (redis_errors.OutOfMemoryError("OOM command not allowed when used memory > 'maxmemory'."), "out_of_memory"),
        (redis_errors.ResponseError("ERR DB capacity quota exceeded"), "out_of_memory"),
        (redis_errors.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "cannot_save"),
        (redis_errors.MaxConnectionsError("max number of clients reached"), "max_clients"),
        (redis_errors.ResponseError("ERR max concurrent connections exceeded"), "max_clients"),
        (redis_errors.ResponseError("ERR max requests limit exceeded. Limit: 500000"), "over_quota"),
        (redis_errors.ResponseError("ERR max daily request limit exceeded"), "over_quota"),
        (redis_errors.ResponseError("DB index is out of range"), "bad_database"),
        (redis_errors.InvalidResponse("Protocol Error: b'HTTP/1.1 400 Bad Request'"), "not_redis"),
        (redis_errors.InvalidResponse('Protocol error, got "\x15" as reply type byte'), "plain_to_tls"),
        (redis_errors.InvalidResponse("Protocol Error: b'\\x15\\x03\\x01'"), "plain_to_tls"),
        (redis_errors.MaxConnectionsError("Too many connections"), "pool_exhausted"),
        (redis_errors.ConnectionError("something new"), "unknown"),
    ],
)
def test_each_error_has_its_name(error: Exception, code: str) -> None:
    trouble = translate(error)
    assert trouble is not None
    assert trouble.code == code


def test_a_bug_of_ours_is_not_an_outage() -> None:
    assert translate(redis_errors.ResponseError("ERR user_script:12: attempt to index a nil value")) is None
    assert translate(ValueError("x")) is None
    assert translate(FileExistsError(errno.EEXIST, "a file of a job")) is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("NOREPLICAS Not enough good replicas to write.", "no_replicas"),
        ("MISCONF Errors writing to the AOF file", "cannot_save"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "wrong_type"),
        ("ERR max request size exceeded. Limit: 1048576 bytes, Actual: 1200345 bytes", "too_large"),
        ("ERR max single record size exceeded. Limit: 104857600 bytes", "too_large"),
        ("Protocol error: invalid bulk length", "too_large"),
        ("ERR string exceeds maximum allowed size (proto-max-bulk-len)", "too_large"),
    ],
)
def test_a_pipeline_quotes_its_command_and_that_does_not_decide(answer: str, code: str | None) -> None:
    said = f"Command # 1 (SET a user_script (OOM) \n max number of clients) of pipeline caused error: {answer}"
    found = translate(redis_errors.ResponseError(said))
    assert (found.code if found else None) == code


def test_a_denied_command_is_named_and_nothing_else_of_the_answer() -> None:
    trouble = translate(
        redis_errors.NoPermissionError("NOPERM User bob has no permissions to run the 'evalsha' command")
    )
    assert trouble is not None
    assert "EVALSHA" in str(trouble)
    assert "bob" not in str(trouble)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_every_trouble_is_said_in_whole_sentences(trouble: object) -> None:
    said = RedisTrouble(trouble)  # type: ignore[arg-type]
    assert said.trouble.sentence.endswith(".")
    assert said.trouble.fix.endswith(".")
    assert "Traceback" not in str(said)


def answered(line: str) -> Exception:
    """The error that redis-py makes of a server's line: it takes the code (LOADING, READONLY …) off most of them."""
    error = _RESP2Parser(65536).parse_error(line)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("NOAUTH Authentication required.", "no_auth"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "wrong_password"),
        ("ERR invalid password", "wrong_password"),
        ("ERR Client sent AUTH, but no password is set", "wrong_password"),
        ("NOPERM User bob has no permissions to run the 'evalsha' command", "no_permission"),
        ("NOPERM this user has no permissions to access one of the keys used as arguments", "no_permission"),
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("READONLY You can't write against a read only replica.", "read_only"),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", "read_only"),
        ("NOREPLICAS Not enough good replicas to write.", "no_replicas"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "out_of_memory"),
        ("EXECABORT Transaction discarded because of: OOM command not allowed", "out_of_memory"),
        ("ERR DB capacity quota exceeded", "out_of_memory"),
        ("MISCONF Errors writing to the AOF file: No space left on device", "cannot_save"),
        ("ERR max number of clients reached", "max_clients"),
        ("ERR max requests limit exceeded. Limit: 500000, Usage: 500000.", "over_quota"),
        ("ERR SELECT is not allowed in cluster mode", "bad_database"),
        ("ERR user_script:12: attempt to index a nil value script: abc, on @user_script:12.", None),
        ("NOSCRIPT No matching script.", None),
        ("CLUSTERDOWN The cluster is down", "cluster_down"),
        ("CLUSTERDOWN Hash slot not served", "cluster_down"),
        ("MASTERDOWN Link with MASTER is down and x is set to 'no'.", "cluster_down"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "cluster_down"),
        ("NOPERM No permissions to access a key", "no_permission"),
        ("ERR user_script:3: quota is nil script: abc, on @user_script:3.", None),
        # What a command inside a script was refused with: Valkey, Redis 7, Redis 6.
        ("READONLY You can't write against a read only replica. script: on @user_script:88.", "read_only"),
        (
            f"OOM command not allowed when used memory > 'maxmemory'. script: {'a' * 40}, on @user_script:1.",
            "out_of_memory",
        ),
        (f"NOREPLICAS Not enough good replicas to write. script: {'a' * 40}, on @user_script:1.", "no_replicas"),
        (f"MISCONF Redis is configured to save snapshots script: {'a' * 40}, on @user_script:1.", "cannot_save"),
        (
            "ERR ACL failure in script: User u has no permissions to run the 'set' command script: on @user_script:1.",
            "no_permission",
        ),
        (
            "ERR The user executing the script can't run this command or subcommand script: abc, on @user_script:1.",
            "no_permission",
        ),
        (
            "ERR Error running script (call to f_abc): @user_script:12: @user_script: 12: -READONLY You can't write.",
            "read_only",
        ),
        (
            "ERR Error running script (call to f_abc): @user_script:12: user_script:12: attempt to index a nil value",
            None,
        ),
        ("WRONGTYPE Operation against a key holding the wrong kind of value script: on @user_script:1.", "wrong_type"),
        ("ERR user_script:1: the OOM word script: on @user_script:1.", None),
        ("ERR unknown command 'EVALSHA', with args beginning with: 'a'", "unknown_command"),
        ("ERR This Redis command is not allowed from script script: ab12, on @user_script:1.", "unknown_command"),
        ("ERR Unknown Redis command called from script script: ab12, on @user_script:1.", "unknown_command"),
        ("MOVED 3999 10.1.2.3:6381", "cluster_keys"),
        ("ASK 3999 10.1.2.3:6381", "cluster_keys"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "cluster_keys"),
        (
            "ERR Script attempted to access a non local key in a cluster node script: ab12, on @user_script:1.",
            "cluster_keys",
        ),
        ("ERR Wrong number of args calling Redis command from script script: ab12, on @user_script:1.", None),
        ("ERR AUTH <password> called without any password configured for the default user.", "needless_password"),
    ],
)
def test_each_answer_of_a_server_has_its_name_as_redis_py_hands_it_on(line: str, code: str | None) -> None:
    found = translate(answered(line))
    assert (found and found.code) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (redis_errors.BusyLoadingError("Redis is loading the dataset in memory"), "loading"),
        (redis_errors.AuthenticationError("invalid username-password pair or user is disabled."), "wrong_password"),
        (redis_errors.ConnectionError("Connection closed by server."), "reset"),
        (redis_errors.MaxConnectionsError("Too many connections"), "pool_exhausted"),
    ],
)
@pytest.mark.parametrize("of_the_job", [FileNotFoundError(errno.ENOENT, "x"), socket.gaierror(-2, "x")])
def test_what_a_job_died_of_does_not_name_the_trouble_met_while_settling_it(
    error: Exception, code: str, of_the_job: Exception
) -> None:
    with pytest.raises(redis_errors.RedisError) as caught:  # noqa: PT012 — the context is what it is about
        try:
            raise of_the_job
        except OSError:
            raise error  # noqa: B904 — as redis-py does: with the job's error as its context
    found = translate(caught.value)
    assert found is not None
    assert found.code == code


def test_a_busy_server_is_trouble() -> None:
    assert translate(answered("BUSY Redis is busy running a script. You can only call SCRIPT KILL.")) is not None


def test_the_name_of_a_host_does_not_decide() -> None:
    error = redis_errors.ConnectionError("Error -2 connecting to quota-db.example:6379. Name or service not known.")
    found = translate(caused(error, socket.gaierror(-2, "Name or service not known")))
    assert found is not None
    assert found.code == "dns"


@pytest.mark.parametrize(
    "error",
    [
        caused(
            redis_errors.ConnectionError("Error -2 connecting to db.internal.example:6379. Name or service not known."),
            socket.gaierror(-2, "Name or service not known"),
        ),
        caused(
            redis_errors.ConnectionError("Error 111 connecting to db.internal.example:6379. Connection refused."),
            ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        ),
        caused(
            redis_errors.ConnectionError("Error 1 connecting to db.internal.example:6379. Hostname mismatch"),
            mismatch(62),
        ),
        redis_errors.ConnectionError("something new at db.internal.example with hunter2"),
        redis_errors.AuthenticationError("WRONGPASS hunter2 at db.internal.example"),
        redis_errors.NoPermissionError("User hunter2 has no permissions to access 'db.internal.example'"),
        redis_errors.InvalidResponse("Protocol Error: b'db.internal.example hunter2'"),
    ],
    ids=lambda error: str(error)[:24],
)
def test_no_sentence_holds_a_host_or_a_secret(error: Exception) -> None:
    found = translate(error)
    assert found is not None
    for text in (str(found), found.detail):
        assert "db.internal.example" not in text
        assert "hunter2" not in text


def test_trouble_that_has_its_name_already_keeps_it() -> None:
    named = trouble("bad_url")
    assert translate(named) is named


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("READONLY You can't write against a read only replica. script: ab12, on @user_script:40.", "read_only"),
        ("OOM command not allowed when used memory > 'maxmemory'. script: ab12, on @user_script:40.", "out_of_memory"),
        ("NOREPLICAS Not enough good replicas to write. script: ab12, on @user_script:40.", "no_replicas"),
    ],
)
def test_a_refusal_inside_a_script_is_trouble_and_not_a_bug_of_ours(line: str, code: str) -> None:
    found = translate(answered(line))
    assert found is not None
    assert found.code == code
