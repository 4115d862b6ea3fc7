"""Every error that Redis or the network can give has a name, a sentence and a fix."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest
from redis import exceptions as redis_errors

from worker.errors import TROUBLES, RedisTrouble, translate


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
        (redis_errors.ConnectionError("something new"), "unknown"),
    ],
)
def test_each_error_has_its_name(error: Exception, code: str) -> None:
    trouble = translate(error)
    assert trouble is not None
    assert trouble.code == code


def test_a_bug_of_ours_is_not_an_outage() -> None:
    assert translate(redis_errors.ResponseError("ERR user_script:12: attempt to index a nil value")) is None
    assert (
        translate(redis_errors.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"))
        is None
    )
    assert translate(ValueError("x")) is None
    assert translate(FileExistsError(errno.EEXIST, "a file of a job")) is None


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
