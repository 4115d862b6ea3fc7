"""TLS by URL, through a real TLS server in front of a real Redis: good, and wrong in each way that has a name."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_py
import trustme

from tests.integration.test_doorbell import bell_on, wait_for_ring
from tests.support.server import RedisServer
from worker import queue
from worker.settings import load
from worker.translate import translate
from worker.troubles import TROUBLES


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@contextmanager
def tls_in_front_of(server: RedisServer, certificate: trustme.LeafCert) -> Iterator[int]:
    """A TLS server that hands on what it decrypts; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as front:
            with socket.create_connection(("127.0.0.1", server.port)) as back:
                answers = threading.Thread(target=pump, args=(back, front), daemon=True)
                answers.start()
                pump(front, back)
                answers.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def code_of(url: str) -> str | None:
    """Return the code of the trouble that a PING meets; None when it is answered."""
    with queue.build_client(load({"REDIS_URL": url}), client_name="test") as client:
        try:
            client.ping()
        except (redis_py.RedisError, OSError) as error:
            trouble = translate(error)
            if trouble is None:
                raise
        else:
            return None
    assert "127.0.0.1" not in str(trouble)
    return trouble.code


def test_a_certificate_of_a_known_authority_is_trusted(
    server: RedisServer, authority: trustme.CA, authority_file: Path
) -> None:
    with tls_in_front_of(server, authority.issue_cert("127.0.0.1")) as port:
        assert code_of(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority_file}") is None


def test_an_unknown_authority_is_not_trusted(server: RedisServer, authority: trustme.CA) -> None:
    with tls_in_front_of(server, authority.issue_cert("127.0.0.1")) as port:
        assert code_of(f"rediss://127.0.0.1:{port}") == "tls_certificate"


def test_an_expired_certificate(server: RedisServer, authority: trustme.CA, authority_file: Path) -> None:
    expired = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    with tls_in_front_of(server, expired) as port:
        assert code_of(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority_file}") == "tls_certificate"


def test_a_certificate_for_another_name(server: RedisServer, authority: trustme.CA, authority_file: Path) -> None:
    with tls_in_front_of(server, authority.issue_cert("other.example")) as port:
        assert code_of(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority_file}") == "tls_hostname"


def test_plain_text_spoken_to_a_tls_port_is_told_with_the_cure(server: RedisServer, authority: trustme.CA) -> None:
    """Most TLS servers cut the connection (so does Redis); one that sends its alert first is named for sure."""
    with tls_in_front_of(server, authority.issue_cert("127.0.0.1")) as port:
        code = code_of(f"redis://:hunter2@127.0.0.1:{port}")
    assert code in ("reset", "plain_to_tls")
    assert code is not None
    assert "rediss://" in TROUBLES[code].fix


def test_a_doorbell_rings_over_tls(
    server: RedisServer, redis: redis_py.Redis, authority: trustme.CA, authority_file: Path
) -> None:
    """TLS may hold a reply that select no longer sees: the ring must come all the same."""
    with tls_in_front_of(server, authority.issue_cert("127.0.0.1")) as port:
        bell = bell_on(f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority_file}", "high", "default")
        bell.arm()
        assert wait_for_ring(bell, 0.1) == 0
        redis.rpush("rq:queue:high", "a")
        assert wait_for_ring(bell) == 1
        bell.close()
