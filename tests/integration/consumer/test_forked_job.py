"""Jobs in forks of their consumer: as isolated as RQ's, with our claims, verdicts and words."""

from __future__ import annotations

import errno
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis as redis_py
from rq import Callback, Queue, Retry
from rq.command import send_kill_horse_command, send_stop_job_command
from rq.job import Dependency

from tests.support import forks, processes, tasks
from tests.support.letters import record
from tests.support.waiting import eventually
from tests.support.worker import consumer
from worker import logs
from worker.consumer import Consumer, forked_job, job_process
from worker.process import forked, memory
from worker.settings import secrets

JOB = {"WORKER_ISOLATION": "job", "WORKER_JOB_MODULES": "tests.support.forks,tests.support.tasks"}


def forking(redis: redis_py.Redis, **environ: str) -> Consumer:
    return consumer(redis, **{**JOB, **environ})


def work(redis: redis_py.Redis, **environ: str) -> None:
    forking(redis, **environ).work(burst=True)


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = set(processes.children(os.getpid()))
    yield
    assert set(processes.children(os.getpid())) <= before, "neither running nor a zombie"


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that does not react is killed after a moment."""
    for module in (forked_job, job_process):
        monkeypatch.setattr(module, "KILL_SECONDS", 0.3)


# -- isolation ---------------------------------------------------------------------------------------------------------


def test_nothing_that_a_job_does_to_its_process_reaches_the_next_one(redis: redis_py.Redis, queue: Queue) -> None:
    jobs = [queue.enqueue(forks.spoil) for _ in range(3)]
    work(redis)
    assert [job.return_value() for job in jobs] == [[False] * 5] * 3


def test_each_job_has_a_process_and_its_callbacks_run_in_it(redis: redis_py.Redis, queue: Queue) -> None:
    good = queue.enqueue(forks.own_pid, on_success=Callback(forks.note_pid))
    bad = queue.enqueue(forks.raise_with_pid, on_failure=Callback(forks.note_pid))
    plain = queue.enqueue(forks.own_pid)
    work(redis)
    pids = [str(good.return_value()), record(redis, bad.id)["message"], str(plain.return_value())]
    assert len({*pids, str(os.getpid())}) == 4
    assert [redis.get(f"callback:{job.id}").decode() for job in (good, bad)] == pids[:2]  # type: ignore[union-attr]


def test_a_function_chooses_for_itself(redis: redis_py.Redis, queue: Queue) -> None:
    def pids(isolation: str) -> list[bool]:
        jobs = [
            queue.enqueue(function) for function in (forks.own_pid, forks.own_pid_forked, forks.own_pid_in_consumer)
        ]
        work(redis, WORKER_ISOLATION=isolation)
        return [job.return_value() == os.getpid() for job in jobs]

    assert pids("process") == [True, False, True]
    assert pids("job") == [False, False, True]


def test_a_job_gets_a_connection_of_its_own_and_inherits_none(redis: redis_py.Redis, queue: Queue) -> None:
    jobs = [queue.enqueue(forks.sockets_and_connection) for _ in range(2)]
    others = forks.open_sockets()
    work(redis)
    found = [job.return_value() for job in jobs]
    assert [one["inherited"] for one in found] == [others] * 2, "the test's own, and none of the consumer's"
    assert len({one["client"] for one in found}) == 2


def test_secrets_of_the_service_are_not_in_the_environment_of_jobs_that_need_none(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(**environ: str) -> dict[str, list[str]]:
        job = queue.enqueue(forks.secrets_seen)
        work(redis, **environ)
        found: dict[str, list[str]] = job.return_value()
        return found

    for name in secrets.NAMES:
        monkeypatch.setenv(name, "hunter2")
    assert seen() == {"job": [], "program": []}
    assert seen(WORKER_JOB_SECRETS="REDIS_URL") == {"job": ["REDIS_URL"], "program": ["REDIS_URL"]}
    assert seen(WORKER_ISOLATION="process") == {"job": [*secrets.NAMES], "program": [*secrets.NAMES]}
    assert os.environ["REDIS_URL"] == "hunter2", "the consumer's own stay"


def test_a_job_may_use_all_that_the_worker_offers(
    redis: redis_py.Redis, queue: Queue, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", "json")
    job = queue.enqueue(forks.tell)
    double = queue.enqueue(tasks.double, 4)
    work(redis)
    assert job.return_value() == f"{job.id} {job.id} 1 cached"
    assert job.get_meta()["progress"] == {"percent": 50, "message": "half"}
    assert double.return_value() == 8, "coroutines too"
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    spoken = [line for line in lines if line.get("job_id") == job.id]
    assert [line["event"] for line in spoken] == ["forks.spoke", "job.finished"]
    assert {line["function"] for line in spoken} == {"tests.support.forks.tell"}


def test_dependents_get_their_parents_value(redis: redis_py.Redis, queue: Queue) -> None:
    parent = queue.enqueue(tasks.look, {"a": [1, b"\xff"]})
    child = queue.enqueue(tasks.reads_its_parent, depends_on=parent)
    broken = queue.enqueue(tasks.boom)
    freed = queue.enqueue(tasks.add, 1, 2, depends_on=Dependency(jobs=[broken], allow_failure=True))
    work(redis)
    assert child.return_value() == {"a": [1, b"\xff"]}
    assert freed.return_value() == 3
    result = broken.latest_result()
    assert result is not None
    assert "ValueError: boom" in str(result.exc_string)


# -- crashes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "words"),
    [
        (tasks.die, ("", signal.SIGSEGV), "killed by signal 11 (SIGSEGV): a crash in native code"),
        (tasks.die, ("", signal.SIGKILL), "killed by signal 9 (SIGKILL)"),
        (tasks.exit_now, (3,), "ended with code 3 before the job had returned"),
        (tasks.exit_now, (0,), "ended with code 0 before the job had returned"),
        (forks.odd_result, (), "ended with code 9 before the job had returned"),
    ],
)
def test_the_death_of_its_process_is_the_jobs_own_crash(
    redis: redis_py.Redis, queue: Queue, function: object, args: tuple[int, ...], words: str
) -> None:
    before, job, after = queue.enqueue(tasks.add, 1, 2), queue.enqueue(function, *args), queue.enqueue(tasks.add, 3, 4)
    worker = forking(redis, WORKER_MAX_CRASHES="2")
    worker.work(burst=True)
    assert (before.return_value(), after.return_value()) == (3, 7)
    letter = record(redis, job.id)
    assert (letter["reason"], letter["attempts"]) == ("crashed", 2)
    assert words in letter["message"]
    assert (worker.slot.finished, worker.slot.buried) == (2, 1)


def test_a_job_that_crashed_once_runs_again(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(forks.die_once, str(tmp_path / "journal"))
    work(redis)
    assert job.return_value() == 2


def test_a_job_that_gets_on_step_by_step_is_buried_for_no_number_of_crashes(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(forks.climb, str(path))
    work(redis, WORKER_MAX_CRASHES="2")
    assert job.return_value() == "top"
    assert [line.split()[1] for line in path.read_text().splitlines()] == [f"step-{number}" for number in range(4)]
    assert redis.hget(job.key, "journal") is None, "what its steps have kept ends with it"
    assert not redis.keys("rq:journal:*")


def test_a_kill_for_lack_of_memory_is_told_as_such(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = iter(range(100))
    monkeypatch.setattr(memory, "oom_kills", lambda: next(kills))
    job = queue.enqueue(tasks.die)
    work(redis, WORKER_MAX_CRASHES="1")
    assert "the container's memory" in record(redis, job.id)["message"]


def test_whoever_holds_the_jobs_pipe_after_its_death_does_not_hold_the_consumer(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(forks.fork_and_die, str(path))
    work(redis, WORKER_MAX_CRASHES="1")
    assert record(redis, job.id)["reason"] == "crashed"
    eventually(lambda: not processes.is_alive(forks.program_of(path)), what="what it has started ends with it")


def test_a_job_that_closes_what_its_process_speaks_through_crashes_and_nothing_is_written_elsewhere(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    job, after = queue.enqueue(forks.close_everything, str(path)), queue.enqueue(tasks.add, 1, 2)
    work(redis, WORKER_MAX_CRASHES="1")
    assert "before the job had returned" in record(redis, job.id)["message"]
    assert path.read_bytes().startswith(b"mine")
    assert b'"outcome"' not in path.read_bytes()
    assert after.return_value() == 3


def test_no_job_fails_because_the_system_refuses_a_fork(
    redis: redis_py.Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forked_job, "REFUSED_SECONDS", 0.01)
    fork, refusals = forked.fork, iter([errno.EAGAIN, errno.EAGAIN, errno.ENOMEM])  # the first is the helper's

    def sometimes() -> int:
        if number := next(refusals, 0):
            raise OSError(number, os.strerror(number))
        return fork()

    monkeypatch.setattr(forked, "fork", sometimes)
    job = queue.enqueue(tasks.add, 1, 2)
    work(redis)
    assert job.return_value() == 3


# -- results -----------------------------------------------------------------------------------------------------------


def test_large_results_arrive_and_those_above_the_limit_fail_in_words(redis: redis_py.Redis, queue: Queue) -> None:
    large, larger = queue.enqueue(tasks.noise, 1), queue.enqueue(tasks.noise, 2)
    work(redis, WORKER_MAX_RESULT_BYTES="2000000")
    assert len(large.return_value()) == 1_000_000
    assert record(redis, larger.id)["reason"] == "result_too_large"


def test_a_result_that_cannot_be_stored_is_noted_as_rq_does(redis: redis_py.Redis, queue: Queue) -> None:
    job = queue.enqueue(tasks.unserialisable)
    work(redis)
    assert job.get_status() == "finished"
    assert "nserializable" in str(job.return_value())


# -- ended from outside ------------------------------------------------------------------------------------------------


def test_a_timeout_is_an_exception_first(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(forks.save_when_cut, str(tmp_path / "saved"), job_timeout=1, retry=Retry(max=1))
    work(redis)
    assert (tmp_path / "saved").read_text() == "JobTimeoutException"
    letter = record(redis, job.id)
    assert (letter["reason"], letter["attempts"]) == ("attempts_exhausted", 2)
    assert "1 seconds" in letter["message"]


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("function", [tasks.stuck_in_native_code, tasks.swallow, forks.stop_itself])
def test_a_job_that_does_not_react_to_its_timeout_is_killed(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, function: object
) -> None:
    job, after = queue.enqueue(function, str(tmp_path / "journal"), job_timeout=1), queue.enqueue(tasks.add, 1, 2)
    work(redis)
    letter = record(redis, job.id)
    assert (letter["reason"], letter["attempts"]) == ("timeout", 1)
    assert "did not react" in letter["message"]
    assert after.return_value() == 3


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("how", ["wait", "swallow"])
def test_stop_job_ends_it_with_what_it_has_started(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path, how: str
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(forks.start_program, str(path), how, on_stopped=Callback(forks.note_pid))
    after = queue.enqueue(tasks.add, 1, 2)
    with ordering(path, lambda: send_stop_job_command(redis, job.id)):
        work(redis)
    assert job.get_status() == "stopped"
    assert int(redis.get(f"callback:{job.id}") or 0) not in (0, os.getpid()), "its callback is its code"
    assert after.return_value() == 3
    assert not processes.is_alive(forks.program_of(path))


@pytest.mark.usefixtures("soon")
def test_kill_horse_fails_it(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(forks.start_program, str(path), "swallow")
    worker = forking(redis)
    with ordering(path, lambda: send_kill_horse_command(redis, worker.name)):
        worker.work(burst=True)
    assert record(redis, job.id)["message"] == "killed by the command kill-horse"
    assert not processes.is_alive(forks.program_of(path))


def test_what_a_job_has_started_goes_on_when_it_returns_as_with_rq(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    job = queue.enqueue(forks.start_program, str(path))
    work(redis)
    assert job.get_status() == "finished"
    assert processes.is_alive(forks.program_of(path))
    os.kill(forks.program_of(path), signal.SIGKILL)


# -- side by side ------------------------------------------------------------------------------------------------------


def test_several_run_at_once_and_the_death_of_one_leaves_the_others(
    redis: redis_py.Redis, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    jobs = [queue.enqueue(tasks.journal_and_meet, str(path), 3) for _ in range(3)]
    work(redis, WORKER_THREADS="3")
    assert {job.get_status() for job in jobs} == {"finished"}
    crashing = [queue.enqueue(tasks.die, "", signal.SIGSEGV) for _ in range(2)]
    others = [queue.enqueue(tasks.nap_in_steps, 0.2) for _ in range(4)]
    work(redis, WORKER_THREADS="3", WORKER_MAX_CRASHES="2")
    assert [record(redis, job.id)["attempts"] for job in crashing] == [2, 2]
    assert {job.get_status() for job in others} == {"finished"}


@pytest.mark.usefixtures("soon")
def test_side_by_side_each_has_its_timeout_and_its_order(redis: redis_py.Redis, queue: Queue, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    late = queue.enqueue(tasks.swallow, job_timeout=1)
    stopped = queue.enqueue(forks.start_program, str(path), "wait")
    other = queue.enqueue(tasks.sleep, 2)
    with ordering(path, lambda: send_stop_job_command(redis, stopped.id)):
        work(redis, WORKER_THREADS="3")
    assert [job.get_status() for job in (late, stopped, other)] == ["failed", "stopped", "finished"]
    assert not processes.is_alive(forks.program_of(path))


class ordering:  # noqa: N801 — reads as a verb
    """Give an order as soon as the journal says that the job's program runs."""

    def __init__(self, path: Path, order: Callable[[], object]) -> None:
        self._path = path
        self._order = order
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        eventually(lambda: self._path.exists() and "program-" in self._path.read_text(), what="the job's program")
        self._order()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()
