"""A service that Render cannot probe ends by itself when it is unhealthy for too long, and only then."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from time import monotonic

import pytest
from rq import Queue

from tests.support import processes, tasks
from tests.support.server import RedisServer, free_port
from tests.support.service import Service, until
from tests.support.waiting import eventually
from worker.exits import Exit
from worker.health import self_probe
from worker.health.self_probe import SelfProbe
from worker.process.scoreboard import Scoreboard
from worker.process.slot import RedisState


def test_without_redis_since_the_start_it_ends_with_its_own_code(own_server: RedisServer) -> None:
    own_server.kill()
    with Service(own_server.url, WORKER_UNHEALTHY_EXIT="2", HEALTH_PORT=str(free_port())) as service:
        assert service.wait() == 74
        (event,) = service.of("service.unhealthy")
        assert event["code"] == 74
        assert "Not yet connected since the start" in event["reason"]
        assert service.of("service.stopped"), "it stops in order"


def test_a_later_outage_does_not_end_it(own_server: RedisServer) -> None:
    with Service(own_server.url, WORKER_UNHEALTHY_EXIT="10", HEALTH_PORT=str(free_port())) as service:
        with own_server.client() as client:
            job = Queue("default", connection=client).enqueue(tasks.add, 1, 2)
            until(lambda: job.get_status(refresh=True) == "finished", service=service)
        own_server.kill()
        service.wait_for("redis.outage_started")
        began = monotonic()
        until(lambda: monotonic() - began > 13, service=service)
        own_server.restart(keep_data=True)
        service.wait_for("redis.outage_ended")
        assert service.of("service.unhealthy") == []
        assert service.terminate() == 0


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores TERM, as a stuck one does."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, preexec_fn=processes.belong_to_the_tests
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def stuck_board(supervisor: subprocess.Popen[bytes]) -> Scoreboard:
    board = Scoreboard(max_consumers=1)
    board.header.supervisor_pid = supervisor.pid
    board.header.started_at = board.header.heartbeat = monotonic() - 3600
    return board


def test_a_supervisor_that_does_not_react_is_killed(
    supervisor: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_probe, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(self_probe, "END_SECONDS", 0.3)
    board = stuck_board(supervisor)
    probe = SelfProbe(board, limit=0.2, grace=0.1)
    began = monotonic()

    def turned() -> bool:
        probe.turn()
        return supervisor.poll() is not None

    eventually(turned)
    assert supervisor.returncode == -signal.SIGKILL
    assert board.header.fate == Exit.UNHEALTHY
    assert monotonic() - began >= 0.2 + 0.1 + 0.3


def test_what_was_seen_before_a_pause_of_the_whole_container_does_not_count(
    supervisor: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([100.0, 101.5, 103.0, 500.0, 501.5, 503.0, 504.5, 514.0])
    monkeypatch.setattr(self_probe, "monotonic", lambda: next(moments))
    board = stuck_board(supervisor)
    probe = SelfProbe(board, limit=10, grace=0)
    fates = []
    for _ in range(8):
        probe.turn()
        fates.append(board.header.fate)
    assert fates == [0] * 7 + [Exit.UNHEALTHY]


def test_a_recovery_begins_the_count_anew(supervisor: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    board = Scoreboard(max_consumers=1)
    header, (consumer,) = board.header, board.consumers
    header.supervisor_pid, header.wanted_consumers, header.ever_connected = supervisor.pid, 1, 1
    moments = iter([100.0, 108.0, 116.0, 124.0, 132.0])
    probe = SelfProbe(board, limit=10, grace=0)
    healthy = iter([False, False, True, False, False])

    def now() -> float:
        moment = next(moments)
        header.heartbeat = consumer.heartbeat = moment if next(healthy) else moment - 100
        consumer.pid, consumer.redis_state = supervisor.pid, RedisState.CONNECTED
        return moment

    monkeypatch.setattr(self_probe, "monotonic", now)
    for _ in range(5):
        probe.turn()
    assert header.fate == 0
