"""TLS by URL, through a real TLS server in front of a real Redis: good, and wrong in each way that has a name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_py
import trustme

from tests.support.doorbells import bell_on, wait_for_ring
from tests.support.server import RedisServer
from tests.support.tls_front import TlsFront
from worker import queue
from worker.redis.translate import translate
from worker.redis.troubles import TROUBLES
from worker.settings.load import load


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


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
    with TlsFront(server.port, authority.issue_cert("127.0.0.1")) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority_file}") is None


def test_an_unknown_authority_is_not_trusted(server: RedisServer, authority: trustme.CA) -> None:
    with TlsFront(server.port, authority.issue_cert("127.0.0.1")) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}") == "tls_certificate"


def test_an_expired_certificate(server: RedisServer, authority: trustme.CA, authority_file: Path) -> None:
    expired = authority.issue_cert("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))
    with TlsFront(server.port, expired) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority_file}") == "tls_certificate"


def test_a_certificate_for_another_name(server: RedisServer, authority: trustme.CA, authority_file: Path) -> None:
    with TlsFront(server.port, authority.issue_cert("other.example")) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority_file}") == "tls_hostname"


def test_plain_text_spoken_to_a_tls_port_is_told_with_the_cure(server: RedisServer, authority: trustme.CA) -> None:
    """Most TLS servers cut the connection (so does Redis); one that sends its alert first is named for sure."""
    with TlsFront(server.port, authority.issue_cert("127.0.0.1")) as front:
        code = code_of(f"redis://:hunter2@127.0.0.1:{front.port}")
    assert code in ("reset", "plain_to_tls")
    assert code is not None
    assert "rediss://" in TROUBLES[code].fix


def test_a_doorbell_rings_over_tls(
    server: RedisServer, redis: redis_py.Redis, authority: trustme.CA, authority_file: Path
) -> None:
    """TLS may hold a reply that select no longer sees: the ring must come all the same."""
    with TlsFront(server.port, authority.issue_cert("127.0.0.1")) as front:
        bell = bell_on(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority_file}", "high", "default")
        bell.arm()
        assert wait_for_ring(bell, 0.1) == 0
        redis.rpush("rq:queue:high", "a")
        assert wait_for_ring(bell) == 1
        bell.close()
