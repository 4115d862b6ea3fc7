"""`python -m worker pause` and `resume` as an operator uses them."""

from __future__ import annotations

import json

import redis as redis_py

from tests.support.commands import run
from worker.dead_letters import changes
from worker.dead_letters.queue import DeadLetterQueue


def test_the_commands_pause_show_and_resume(url: str, redis: redis_py.Redis) -> None:
    told = run("pause", "--queue", "default", "--for", "10m", "--reason", "\x1b[2Jthe shop\u202e", url=url)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("The queue 'default' is paused: no consumer begins such a job until 20")
    assert run("pause", "--function", "jobs.mail.send", "--queue", "default", url=url).returncode == 0
    assert "no function's name" in run("pause", "--function", "jobs.mail send", url=url).stderr
    for wrong in ("3 days", "0.1s", "9999w"):
        told = run("pause", "--for", wrong, url=url)
        assert (told.returncode, told.stdout) == (2, ""), wrong
    shown = run("status", url=url)
    assert "! The queue 'default' is paused for " in shown.stdout
    assert "\\x1b[2Jthe shop\\u202e. It ends in " in shown.stdout
    assert "\x1b" not in shown.stdout
    states = {queue["name"]: queue["paused"] for queue in json.loads(run("status", "--json", url=url).stdout)["queues"]}
    assert states == {"default": True}

    other = run("resume", "--queue", "bulk", url=url)
    others = "the queue 'default'; the function jobs.mail.send on the queue 'default'"
    assert (other.returncode, other.stdout) == (1, f"The queue 'bulk' was not paused. What is: {others}.\n")
    assert run("resume", url=url).stdout == "2 pauses ended.\n"
    assert run("resume", url=url).stdout == "Nothing is paused.\n"
    audit = changes.audit(DeadLetterQueue(redis, "rq", "dead-letter"), 10)
    assert [(line["action"], line["note"]) for line in audit][:2] == [
        ("resume", "everything"),
        ("pause", "function jobs.mail.send queue default"),
    ]
