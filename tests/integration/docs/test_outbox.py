"""examples/outbox: exactly what SQLite or PostgreSQL has committed is enqueued, by SQLAlchemy and by Django."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.postgres import postgres
from tests.support.server import RedisServer
from tests.support.service import ROOT

pytestmark = pytest.mark.slow

#: Both begin with `begin()`, a transaction that `Rollback` undoes, `enqueue(function, *args)`, and `relay()`.
SQLALCHEMY = """
    import sys, threading
    from sqlalchemy import create_engine, select
    from sqlalchemy.orm import sessionmaker
    from sqlalchemy_outbox import Base, Outgoing, enqueue as enqueue_in, relay as relay_of
    engine = create_engine(sys.argv[1])
    Base.metadata.create_all(engine)
    Sessions = sessionmaker(engine)
    class begin:
        def __enter__(self):
            self.opened = Sessions.begin()
            return self.opened.__enter__()
        def __exit__(self, *error):
            return self.opened.__exit__(*error)
    def enqueue(session, *args, **options): enqueue_in(session, *args, **options)
    def relay(): return relay_of(Sessions, producer)
    def left():
        with Sessions() as session:
            return [row.problem for row in session.scalars(select(Outgoing).order_by(Outgoing.id))]
"""
DJANGO = """
    import sys, threading
    import django
    from django.conf import settings
    name, _, host = sys.argv[1].partition(":")
    databases = {"ENGINE": f"django.db.backends.{name}", "NAME": "postgres", "HOST": host, "USER": "postgres"}
    if name == "sqlite3":
        databases = {"ENGINE": "django.db.backends.sqlite3", "NAME": host}
    settings.configure(DATABASES={"default": databases}, INSTALLED_APPS=["django_outbox"], USE_TZ=True)
    django.setup()
    from django.core.management import call_command
    from django.db import connection, transaction
    call_command("migrate", verbosity=0)
    call_command("makemigrations", "--check", verbosity=0)
    from django_outbox.models import Outgoing, enqueue as enqueue_in, relay as relay_of
    begin = transaction.atomic
    def enqueue(_, *args, **options): enqueue_in(*args, **options)
    def relay():
        try:
            return relay_of(producer)
        finally:
            if threading.current_thread() is not threading.main_thread():
                connection.close()
    def left(): return list(Outgoing.objects.order_by("id").values_list("problem", flat=True))
"""
STORY = """
    from worthit_producer import InvalidJob, Producer, Retry, Unreachable
    producer = Producer.from_environment()
    ADD = "tests.support.tasks.add"

    class Rollback(Exception): pass
    try:
        with begin() as session:
            enqueue(session, ADD, "never")
            raise Rollback
    except Rollback:
        pass
    assert relay() == 0

    try:
        with begin() as session:
            enqueue(session, ADD, float("nan"))
        raise AssertionError("a call that cannot be sent was committed")
    except InvalidJob:
        pass
    assert left() == []

    with begin() as session:
        for number in range(20):
            enqueue(session, ADD, number, 1, retry=Retry(2, [1, 5]), group="mail")

    # A relay that dies after it has enqueued, before it has deleted.
    sent = producer.enqueue_many
    class Death(BaseException): pass
    def die(calls):
        sent(calls)
        raise Death
    producer.enqueue_many = die
    try:
        relay()
        raise AssertionError("it lives")
    except Death:
        pass
    producer.enqueue_many = sent
    assert len(left()) == 20

    # Two at a time send the same rows again.
    failed = []
    def run():
        try:
            while relay(): pass
        except Exception as error:
            if "locked" not in str(error):  # SQLite's way to say that somebody else writes
                failed.append(error)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    while relay(): pass
    assert not failed, failed
    assert left() == []

    # One that cannot be sent is not in the way of the others.
    with begin() as session:
        enqueue(session, ADD, "a", idempotency_key="taken")
        enqueue(session, ADD, "b", idempotency_key="taken")
        enqueue(session, ADD, "c", delay=60)
    relay()
    (problem,) = left()
    assert problem.startswith("This idempotency key was used before"), problem
    assert relay() == 0
"""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as folder:
        yield folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Where the examples' imports are found, as in a project that has installed the producer."""
    (tmp_path / "worthit_producer").symlink_to(ROOT / "producer")
    for example in ("sqlalchemy_outbox.py", "django_outbox"):
        (tmp_path / example).symlink_to(ROOT / "examples" / "outbox" / example)
    return tmp_path


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("library", ["sqlalchemy", "django"])
def test_exactly_what_was_committed_is_enqueued_once(
    server: RedisServer, redis: redis_py.Redis, request: pytest.FixtureRequest, project: Path, library: str, kind: str
) -> None:
    file = project / "app.sqlite3"
    host = "" if kind == "sqlite" else request.getfixturevalue("database")
    if library == "sqlalchemy":
        url = f"sqlite:///{file}" if kind == "sqlite" else f"postgresql+psycopg://postgres@/postgres?host={host}"
    else:
        url = f"sqlite3:{file}" if kind == "sqlite" else f"postgresql:{host}"
    if kind == "postgresql":
        clean(host)
    opening = SQLALCHEMY if library == "sqlalchemy" else DJANGO
    program = textwrap.dedent(opening) + textwrap.dedent(STORY)
    environ = {**os.environ, "REDIS_URL": server.url, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", program, url],
        cwd=project,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert redis.llen("rq:queue:default") == 20 + 1
    assert redis.zcard("rq:scheduled:default") == 1
    assert redis.scard("rq:group:mail") == 20


def clean(host: str) -> None:
    import psycopg

    with psycopg.connect(host=host, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def test_djangos_command_relays_what_is_there(server: RedisServer, redis: redis_py.Redis, project: Path) -> None:
    program = textwrap.dedent(DJANGO) + textwrap.dedent("""
        with begin():
            enqueue(None, "tests.support.tasks.add", 1, 2)
        call_command("relay_outbox", "--once")
        assert left() == []
    """)
    environ = {**os.environ, "REDIS_URL": server.url}
    command = [sys.executable, "-c", program, f"sqlite3:{project / 'app.sqlite3'}"]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert redis.llen("rq:queue:default") == 1
