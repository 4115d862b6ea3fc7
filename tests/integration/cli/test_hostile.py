"""No command puts a stranger's control characters on the screen, or pages of his text.

Whoever can enqueue chooses ids, queues, functions, descriptions and messages; whoever can write keys chooses the rest.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import click
import pytest
import redis as redis_py
from rq.utils import now, utcformat

from tests.support.commands import run
from worker.cli.dead.command import dead
from worker.cli.main import main

#: Rewrites the screen, sets the title, turns the text round, hides it, starts a line of its own.
EVIL = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\u200b\x9b31m\r\x08\x7f\u2028`|<script>alert(1)</script>"
LONG = "x" * 100_000
ID = f"id-{EVIL}"
QUEUE = f"q-{EVIL}"
LETTERS = "rq:queue:dead-letter"

COMMANDS: dict[str, list[str]] = {
    "check": [],
    "enqueue": ["tests.support.tasks.add", "1", "2"],
    "migrate": ["--dry-run", "--json"],
    "status": ["--deep"],
    "types": [],
    "stop": [ID, "--wait", "0"],
    "log": [ID],
    "stats": [],
    "pause": ["--queue", "default", "--reason", "\x1b]0;owned\x07\u202e"],
    "resume": [],
    "dead list": [],
    "dead groups": [],
    "dead show": [ID, "--arguments"],
    "dead audit": [],
    "dead replay": ["--all", "--dry-run"],
    "dead discard": [ID, "--yes"],
    "dead purge": ["--older-than", "1s", "--yes"],
    "dead edit": [ID, "--args", "[1, 2]"],
    "dead export": ["--all"],
    "dead import": [],
}
#: They serve, and have tests of their own.
SERVE = {"run", "develop", "monitor"}


@pytest.fixture
def hostile(redis: redis_py.Redis) -> None:
    """Put the texts wherever a command may read them."""
    letter = {
        **dict.fromkeys(
            ("reason", "exception", "message", "function", "queue", "worker", "release", "at"), EVIL + LONG
        ),
        "fingerprint": EVIL,
        "attempts": EVIL,
        "traceback": EVIL * 3,
        "first_failed_at": EVIL,
        "history": [{"at": EVIL, "reason": EVIL, "message": EVIL + LONG, "attempts": EVIL}],
    }
    for job_id, status in (
        (ID, "failed"),
        (f"run-{EVIL}", "started"),
        (f"wait-{EVIL}", "queued"),
        (f"stray-{EVIL}", "queued"),
    ):
        redis.hset(
            f"rq:job:{job_id}",
            mapping={
                "status": status,
                "origin": QUEUE,
                "description": EVIL + LONG,
                "worker_name": f"w-{EVIL}",
                "data": b"\x80" + EVIL.encode(),
                "created_at": EVIL,
                "enqueued_at": EVIL,
                "ended_at": EVIL,
                "last_error": EVIL + LONG,
                "attempts": EVIL,
                "handbacks": "9" * 5000,
                "dead_letter": json.dumps(letter),
            },
        )
    redis.rpush(LETTERS, ID)
    redis.rpush(f"rq:queue:{QUEUE}", f"wait-{EVIL}")
    redis.sadd("rq:queues", f"rq:queue:{QUEUE}", LETTERS)
    redis.zadd(f"rq:failed:{QUEUE}", {ID: 2e9})
    redis.zadd(f"rq:scheduled:{QUEUE}", {f"wait-{EVIL}": 2e9})
    redis.zadd(f"rq:wip:{QUEUE}", {f"run-{EVIL}:{EVIL}": 2e9})
    worker = f"rq:worker:w-{EVIL}"
    redis.sadd("rq:workers", worker)
    told = {"state": EVIL, "queues": QUEUE, "hostname": EVIL, "pid": EVIL, "release": EVIL + LONG, "version": EVIL}
    counts = {"successful_job_count": EVIL, "failed_job_count": "9" * 5000, "memory_mb": EVIL}
    redis.hset(worker, mapping={**told, **counts, "last_heartbeat": utcformat(now())})
    redis.sadd(f"{worker}:executions", f"run-{EVIL}:{EVIL}")
    lines = [{"name": EVIL, "queue_name": EVIL, "cron": EVIL, "latest_enqueue_time": EVIL, "next_enqueue_time": 7}, 5]
    redis.hset("rq:cron_scheduler:worker", "cron_jobs", json.dumps(lines))
    redis.hset("rq:leader", "name", EVIL)


def test_every_command_is_tried() -> None:
    context = click.Context(main)
    there = {name for name in main.list_commands(context) if name not in SERVE | {"dead"}}
    there |= {f"dead {name}" for name in dead.list_commands(context)}
    assert there == set(COMMANDS)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("command", COMMANDS)
def test_it_prints_nothing_that_a_terminal_obeys(command: str, url: str, redis: redis_py.Redis, tmp_path: Path) -> None:
    environ = {"USER": EVIL, "LOGNAME": EVIL}
    if command == "migrate":
        environ |= {"MIGRATE_FROM": url, "MIGRATE_TO": re.sub(r"/\d+$", "", url) + "/1"}
    if command in ("dead audit", "dead import"):
        exported = tmp_path / "letters.jsonl"
        exported.write_text(run("dead", "export", "--all", url=url).stdout)
        COMMANDS["dead import"][:] = [str(exported)]
        run("dead", "discard", ID, "--yes", url=url, **environ)
    told = run(*command.split(), *COMMANDS[command], url=url, **environ)
    for text in (told.stdout, told.stderr):
        assert "Traceback (most recent call last)" not in text, text[-3000:]
        found = {
            f"U+{ord(one):04X}"
            for one in text
            if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp") and one not in "\n\t"
        }
        assert not found, (found, text[:2000])
        if command != "dead export":
            assert len(text) < 20_000, "a stranger's text is cut"
