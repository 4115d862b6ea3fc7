"""`RQ_KEY_PREFIX={rq}`: dead letters, their commands and their upkeep keep to the prefix, which is one cluster slot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.commands import run
from tests.support.server import RedisServer
from tests.support.service import ROOT

#: Runs in a process of its own, because RQ reads its prefix when it is imported.
BURY_AND_KEEP_UP = textwrap.dedent(
    """
    import sys
    import redis as redis_py
    from rq import Queue, SimpleWorker
    from rq.defaults import RQ_KEY_PREFIX
    from tests.support import tasks
    from tests.support.engine import script_calls
    from tests.support.letters import actions, box, payloads
    from tests.support.worker import consumer
    from worker.dead_letters.alerts import Alerts
    from worker.dead_letters.collect import Collect
    from worker.dead_letters.trim import Trim
    from worker.dispatcher.leader import Leadership
    from worker.dispatcher.dead_letters import dead_letter_chores
    from worker.process.scoreboard import Scoreboard
    from worker.settings.load import load

    with redis_py.Redis(port=int(sys.argv[1])) as redis:
        queue = Queue("default", connection=redis)
        for number in range(6):
            queue.enqueue(tasks.boom, job_id=f"job-{number}")
        consumer(redis).work(burst=True)
        queue.enqueue(tasks.boom, job_id="foreign")
        SimpleWorker([queue], connection=redis).work(burst=True)
        redis.delete(f"{RQ_KEY_PREFIX}:job:job-5")
        calls = script_calls(redis)
        settings = load({"WORKER_QUEUES": "default", "DEAD_LETTER_MAX_JOBS": "5", "DEAD_LETTER_ALERT_RATE": "3/h",
                         "DEAD_LETTER_ALERT_URL": "https://hooks.example.com", "NOTIFY_SECRET": "s"},
                        need_redis_url=False)
        board = Scoreboard(1)
        chore, _ = dead_letter_chores(settings, calls, payloads(), Leadership(calls, "ann"), board, "ann")
        chore.run()
        while chore._pass is not None:
            chore.run()
        left = [letter.job_id for letter in box(redis)]
        assert left == ["foreign", "job-4", "job-3", "job-2", "job-1"], left
        assert queue.job_ids == ["dead-letter-alert-" + box(redis).letters(["job-1"])[0].fingerprint], queue.job_ids
    """
)


def test_every_key_has_the_prefix(tmp_path: Path) -> None:
    with RedisServer() as server, server.client() as redis:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "RQ_KEY_PREFIX": "{rq}"}
        command = [sys.executable, "-c", BURY_AND_KEEP_UP, str(server.port)]
        told = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert told.returncode == 0, told.stderr
        path = str(tmp_path / "letters.jsonl")
        for arguments, words in (
            (("groups",), "5 in"),
            (("export", "--output", path), ""),
            (("edit", "job-1", "--args", '["x"]'), "Changed: args"),
            (("discard", "job-1", "foreign", "--yes"), "2 deleted."),
            (("import", path), "2 imported, 3 were there already."),
            (("replay", "job-2", "--to", "high"), "1 replayed."),
            (("replay", "--all"), "4 replayed."),
            (("audit",), "replay"),
        ):
            done = run("dead", *arguments, url=server.url, RQ_KEY_PREFIX="{rq}")
            assert done.returncode == 0, done.stderr
            assert words in done.stdout
        assert [key for key in redis.scan_iter() if not key.startswith(b"{rq}:")] == []
        assert redis.llen("{rq}:queue:high") == 1
        assert json.loads(redis.hget("{rq}:job:job-2", "dead_letter"))["queue"] == "default"
