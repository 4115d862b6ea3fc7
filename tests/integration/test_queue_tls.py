"""TLS by URL, through a real TLS server in front of a real Redis: good, and wrong in each way that has a name."""

from __future__ import annotations

import redis as redis_py

from tests.support.broken import Authority
from tests.support.doorbells import bell_on, wait_for_ring
from tests.support.server import RedisServer
from tests.support.tls_front import TlsFront
from worker import queue
from worker.redis.translate import translate
from worker.redis.troubles import TROUBLES
from worker.settings.load import load


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


def test_a_certificate_of_a_known_authority_is_trusted(server: RedisServer, authority: Authority) -> None:
    with TlsFront(server.port, authority.good()) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority.file}") is None


def test_an_unknown_authority_is_not_trusted(server: RedisServer, authority: Authority) -> None:
    with TlsFront(server.port, authority.good()) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}") == "tls_certificate"


def test_an_expired_certificate(server: RedisServer, authority: Authority) -> None:
    with TlsFront(server.port, authority.good(days=-1)) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority.file}") == "tls_certificate"


def test_a_certificate_for_another_name(server: RedisServer, authority: Authority) -> None:
    with TlsFront(server.port, authority.good("other.example")) as front:
        assert code_of(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority.file}") == "tls_hostname"


def test_plain_text_spoken_to_a_tls_port_is_told_with_the_cure(server: RedisServer, authority: Authority) -> None:
    """Most TLS servers cut the connection (so does Redis); one that sends its alert first is named for sure."""
    with TlsFront(server.port, authority.good()) as front:
        code = code_of(f"redis://:hunter2@127.0.0.1:{front.port}")
    assert code in ("reset", "plain_to_tls")
    assert code is not None
    assert "rediss://" in TROUBLES[code].fix


def test_a_doorbell_rings_over_tls(server: RedisServer, redis: redis_py.Redis, authority: Authority) -> None:
    """TLS may hold a reply that select no longer sees: the ring must come all the same."""
    with TlsFront(server.port, authority.good()) as front:
        bell = bell_on(f"rediss://127.0.0.1:{front.port}?ssl_ca_certs={authority.file}", "high", "default")
        bell.arm()
        assert wait_for_ring(bell, 0.1) == 0
        redis.rpush("rq:queue:high", "a")
        assert wait_for_ring(bell) == 1
        bell.close()
