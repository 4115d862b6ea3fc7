"""The blip hunter, against a server that goes and comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import redis as redis_py

from tests.support import broken
from tests.support.diagnosing import tool
from tests.support.processes import belong_to_the_tests
from tests.support.proxy import Proxy
from tests.support.server import RedisServer
from tests.support.service import ROOT
from tests.support.waiting import eventually

TOOL = "tools/redis_diagnostics.py"


class Watching:
    """A running `--watch --json`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[dict[str, object]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.events.extend(json.loads(line) for line in self.process.stdout)

    def saw(self, event: str) -> list[dict[str, object]]:
        return [told for told in list(self.events) if told["event"] == event]

    def end(self) -> int:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._thread.join(60)
        return code


@contextmanager
def watching(url: str) -> Iterator[Watching]:
    process = subprocess.Popen(
        [sys.executable, "-u", TOOL, "--watch", "--json", "--interval", "0.05", "--timeout", "30"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=belong_to_the_tests,
    )
    try:
        watch = Watching(process)
        yield watch
    finally:
        process.kill()
        process.wait()


def test_an_outage_is_told_at_its_edges_and_summed_up(own_server: RedisServer) -> None:
    with watching(own_server.url) as watch:
        eventually(lambda: watch.saw("up"))
        own_server.kill()
        eventually(lambda: watch.saw("down"))
        own_server.restart(keep_data=True)
        eventually(lambda: watch.saw("back"))
        assert watch.end() == 1
    assert "refused" in [told["code"] for told in watch.saw("down")], "loading may follow it"
    (summary,) = watch.saw("summary")
    assert summary["outages"] == 1
    assert summary["restarts"] == 1
    assert summary["causes"] == Counter(told["code"] for told in watch.saw("down"))
    assert float(str(summary["longest_outage_seconds"])) > 0


def test_a_quiet_watch_ends_well(server: RedisServer) -> None:
    told = tool(TOOL, "--watch", "--for", "0.3", "--interval", "0.05", "--timeout", "30", url=server.url)
    assert told.returncode == 0, told.stdout
    first, *_, last = told.stdout.splitlines()
    assert "✓ answers in" in first
    assert "0 failed, 0 outages, 0 cuts, 0 restarts" in last


def test_a_connection_that_is_cut_without_an_outage_is_told(server: RedisServer) -> None:
    with Proxy(server.port) as proxy, watching(proxy.url) as watch:
        eventually(lambda: watch.saw("up"))

        def cut() -> list[dict[str, object]]:
            proxy.cut()
            return watch.saw("cut")

        eventually(cut)
        assert watch.end() == 1


def test_a_change_of_role_is_told(own_server: RedisServer) -> None:
    with watching(own_server.url) as watch, own_server.client() as admin:
        eventually(lambda: watch.saw("up"))
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        eventually(lambda: watch.saw("role"))
        assert watch.saw("role")[0]["role"] in ("slave", "replica")
        admin.execute_command("REPLICAOF", "NO", "ONE")
        watch.end()


def test_a_slow_answer_is_told(server: RedisServer, redis: redis_py.Redis) -> None:
    with watching(server.url) as watch:
        eventually(lambda: watch.saw("up"))

        seconds = iter((0.3, 1, 2, 4, 8, 16))  # ten times of what is usual on this machine just now

        def stall() -> list[dict[str, object]]:
            time.sleep(1)  # or stalls become the usual
            redis.execute_command("DEBUG", "SLEEP", next(seconds))
            time.sleep(0.5)
            return watch.saw("slow")

        eventually(stall)
        watch.end()


def test_a_url_that_cannot_work_is_not_watched() -> None:
    told = tool(TOOL, "--watch", url="http://x")
    assert told.returncode == 10
    assert "begins with http://" in told.stdout
    assert broken.PASSWORD not in told.stdout
