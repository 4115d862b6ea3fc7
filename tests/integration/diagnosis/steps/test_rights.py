"""The commands that the worker needs: the list is what a real service sends, and each lack of one is found."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import redis as redis_py
from rq import Queue, Retry
from rq.rate_limit import RateLimit

from tests.support import tasks
from tests.support.diagnosing import diagnosed, failure
from tests.support.server import RedisServer
from tests.support.service import ROOT, Service, until
from worker.diagnosis.course import REACHING
from worker.diagnosis.report import Status
from worker.keys import Keys
from worker.redis import needs

USER = "worker-user"


@pytest.fixture
def limited(server: RedisServer) -> Iterator[str]:
    """The URL of a user with the rights that `acl_rules` lists."""
    with server.user(USER, *needs.acl_rules(Keys("rq"))) as url:
        yield url


def test_a_user_with_the_needed_rights_alone_passes(limited: str) -> None:
    report = diagnosed(limited)
    assert failure(report) == ("", "")
    assert report.step("auth").facts["denied"] == []


def test_each_lack_of_a_right_is_found(limited: str, redis: redis_py.Redis) -> None:
    """A list with a command too few would show here: the form of another one would be counted for it."""
    elsewhere = ("SUBSCRIBE", "UNSUBSCRIBE", "HELLO", "PING")  # tried by the pub/sub trial; needed to connect at all
    for need in needs.all_needs():
        if need in elsewhere:
            continue
        redis.execute_command("ACL", "SETUSER", USER, f"-{need.lower()}")
        report = diagnosed(limited, steps=REACHING)
        redis.execute_command("ACL", "SETUSER", USER, f"+{need.lower()}")
        assert report.step("auth").facts["denied"] == [need]
        assert failure(report) == ("auth", "no_permission")
        assert need.replace("|", " ") in report.conclusion


def test_a_channel_that_may_not_be_listened_to_is_found(limited: str, redis: redis_py.Redis) -> None:
    redis.execute_command("ACL", "SETUSER", USER, "resetchannels")
    assert failure(diagnosed(limited)) == ("fitness", "no_permission")


def test_keys_that_may_not_be_touched_are_found(limited: str, redis: redis_py.Redis) -> None:
    redis.execute_command("ACL", "SETUSER", USER, "resetkeys", "~other:*")
    report = diagnosed(limited)
    assert failure(report) == ("auth", "no_permission")


def test_the_trial_of_rights_changes_nothing(server: RedisServer, redis: redis_py.Redis) -> None:
    queue = Queue("default", connection=redis)
    queue.enqueue(tasks.add, 1, 2)
    before = {key: (redis.dump(key), redis.pttl(key) < 0) for key in redis.scan_iter()}
    diagnosed(server.url)
    assert {key: (redis.dump(key), redis.pttl(key) < 0) for key in redis.scan_iter()} == before


def test_a_service_with_the_needed_rights_alone_works(limited: str, redis: redis_py.Redis) -> None:
    """Everything that sends commands of its own is in it: retries, delays, dependents, rate limits, dead letters."""
    queue = Queue("default", connection=redis)
    with Service(limited) as service:
        first = queue.enqueue(tasks.add, 1, 2)
        dependent = queue.enqueue(tasks.add, 3, 4, depends_on=first)
        failing = queue.enqueue(tasks.boom, "for good", retry=Retry(max=1, interval=1))
        limited_jobs = [queue.enqueue(tasks.add, 1, 2, rate_limit=RateLimit("one", 1)) for _ in range(3)]
        until(lambda: dependent.get_status() == "finished" and failing.get_status() == "failed", 30)
        until(lambda: [job.get_status() for job in limited_jobs] == ["finished"] * 3, 30)
        until(lambda: redis.llen("rq:queue:dead-letter") == 1)
        assert not service.of("redis.outage_started"), service.events


def test_the_list_covers_what_a_service_sends(own_server: RedisServer) -> None:
    with own_server.client() as redis:
        queue = Queue("default", connection=redis)
        jobs = [queue.enqueue(tasks.add, 1, 2), queue.enqueue(tasks.boom, "x", retry=Retry(max=1, interval=1))]
        jobs.append(queue.enqueue(tasks.add, 1, 2, depends_on=jobs[0]))
        redis.execute_command("ACL", "SETUSER", USER, "on", ">pw-of-user", "~*", "&*", "+@all")
        redis.config_resetstat()
        redis.execute_command("ACL", "LOG", "RESET")
        with Service(own_server.url.replace("redis://", f"redis://{USER}:pw-of-user@")):
            until(lambda: redis.llen("rq:queue:dead-letter") == 1, 30)
        sent = {name.removeprefix("cmdstat_").upper() for name in redis.info("commandstats")}
    ours = {"LLEN", "INFO", "CONFIG|RESETSTAT", "ACL|LOG"}
    unneeded = {"CLIENT|SETINFO", "CLIENT|INFO"}  # redis-py and RQ go on without their answers
    assert sent - ours - unneeded <= {*needs.all_needs(), *needs.OPTIONAL}


def test_the_list_covers_what_the_modules_of_the_service_call(redis: redis_py.Redis) -> None:
    """Chores that come every few minutes are not seen by running a service for a second."""
    beside = ("cli", "console", "diagnosis", "fleet")  # what people run, and what they need to read
    theirs = ("dead_letters/exported.py", "engine/stopping.py")  # used by these alone
    call = re.compile(r"\b(?:pipe|pipeline|redis|connection|_redis|_client)\.([a-z]+)\(")
    called = {
        (path.name, name.upper())
        for path in (ROOT / "worker").rglob("*.py")
        if path.relative_to(ROOT / "worker").parts[0] not in beside and not path.as_posix().endswith(theirs)
        for name in call.findall(path.read_text())
    }
    commands = {name.decode().upper() for name in redis.command_list()} - {"RESET"}
    missing = {(file, name) for file, name in called if name in commands and name not in needs.all_needs()}
    assert not missing
    assert {"XREVRANGE", "SCAN", "HSET"} <= {name for _, name in called}


def test_the_needs_of_the_scripts_are_read_from_them() -> None:
    found = needs.by_scripts()
    assert {"LPOP", "RPUSH", "LPUSH", "XADD", "HINCRBYFLOAT", "LREM", "TIME"} <= found
    words = {word for word in found if not word.isalpha()}
    assert not words


def test_a_lack_of_everything_is_told_shortly(server: RedisServer, redis: redis_py.Redis) -> None:
    rules = ("reset", "on", ">pw-of-user", "~*", "+ping", "+hello", "+client", "+set")
    redis.execute_command("ACL", "SETUSER", USER, *rules)
    report = diagnosed(server.url.replace("redis://", f"redis://{USER}:pw-of-user@"))
    redis.execute_command("ACL", "DELUSER", USER)
    finding = next(finding for finding in report.step("auth").findings if finding.status is Status.FAILED)
    assert finding.says.count(",") == 11
    assert "more" in finding.says
