"""The same jobs through RQ's own worker and through the consumer: every key and field, before, during and after.

Only times and random ids are masked (see ``tests/support/snapshots.py``). What differs on purpose stands in one table.
"""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis as redis_py
from rq import Callback, Queue, Repeat, Retry, SimpleWorker, Worker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError
from rq.group import Group
from rq.job import Dependency, Job
from rq.rate_limit import RateLimit
from rq.scheduler import RQScheduler
from rq.webhook import Webhook
from rq.worker import BaseWorker

from tests.support import snapshots, tasks
from tests.support.engine import script_calls
from tests.support.server import RedisServer
from tests.support.shop import Shop, status
from tests.support.snapshots import Snapshot
from tests.support.waiting import eventually
from tests.support.worker import SETTINGS
from worker.consumer import Consumer
from worker.dispatcher.scheduled_jobs import move_due
from worker.retry import ISOLATIONS
from worker.settings.load import load

WORKER = "parity"
QUEUES = ["high", "default"]


@dataclass(frozen=True)
class Difference:
    """Something that the consumer does otherwise on purpose: at which keys and fields (patterns), and why."""

    key: str
    field: str
    reason: str

    def covers(self, key: str, name: str) -> bool:
        return bool(re.fullmatch(self.key, key) and re.fullmatch(self.field, name))


#: Those of every run.
ALWAYS = (
    Difference("rq:clean_(registries:.*|groups)", ".*", "locks of RQ's cleaning, which is not a consumer's business"),
    Difference(
        "rq:(execution:.*|executions:[^:]*|wip:[^:]*)",
        r"\(ttl\)|.*<execution>",
        "a lease outlives any outage that we ride out; RQ's ends with the job's timeout",
    ),
    Difference("rq:worker:parity", r"\(ttl\)", "a worker with claims is known to be dead after 30 s, not 240"),
    Difference("rq:worker:parity", "memory_mb", "`status` shows it"),
    Difference("rq:worker:parity", "isolation", "`status` shows it"),
    Difference("rq:worker:parity", "threads", "`status` shows it"),
    Difference("rq:worker:parity", "release", "`status` shows it"),
    Difference("rq:worker:parity", "fence", "claims that reach the server too late are told by it, and refused"),
    Difference("rq:history:.*", ".*", "`python -m worker stats` shows it"),
    Difference("rq:worker:parity:executions", r"\(ttl\)", "what a dead worker held stays known until it is rescued"),
)
_LETTER = "a job that failed for good is a dead letter too"
#: Those of some runs; a scenario names the ones that it expects, and each must occur.
ON_PURPOSE = {
    "letter": Difference("rq:queue:dead-letter", ".*", _LETTER),
    "letter's queue": Difference("rq:queues", "rq:queue:dead-letter", _LETTER),
    "letter's record": Difference("rq:job:.*", "dead_letter|buried_at|meta.dead_letter", _LETTER),
    "attempts": Difference("rq:job:.*", "attempts", "counted for retry policies and for people"),
    "last error": Difference("rq:job:.*", "last_error|first_failed_at", "shown while the job waits to run again"),
    "counters": Difference(
        "rq:worker:parity",
        "failed_job_count|successful_job_count|total_working_time",
        "a consumer that takes the place of another under its name counts on",
    ),
    "our words": Difference("rq:results:.*", r"\[0\].exc_string", "what RQ says in its own words we say in ours"),
    "parents left": Difference(
        "rq:job:.*:dependents",
        ".*",
        "a job that goes on its queue leaves the sets of all its parents, so that it goes once",
    ),
    "nothing kept": Difference("rq:failed:default", ".*", "RQ leaves the id of a job that is gone in its registry"),
    "deleted": Difference(
        "rq:(job:job|results:job|finished:default)",
        ".*",
        "what somebody deleted stays deleted; RQ writes its hash and result anew",
    ),
    "not counted": Difference(
        "rq:worker:parity", "successful_job_count|total_working_time", "an outcome that is dropped is not counted"
    ),
    "stopped": Difference(
        "rq:(job:job|results:job|worker:parity)",
        r"ended_at|worker_name|\[0\].execution_ended_at|total_working_time",
        "RQ's parent process does not know what its work-horse knew, nor when it ended",
    ),
    "failure ttl": Difference(
        "rq:results:.*",
        r"\(ttl\)",
        "the result goes with the hash; RQ never lets it expire unless failure_ttl is given",
    ),
}
BURIED = ("letter", "letter's queue", "letter's record", "attempts")


@dataclass
class Stage:
    """One database with its worker; `snapshots` are what was seen, in order."""

    redis: redis_py.Redis
    ours: bool
    notes: Path  #: what is seen while a job runs, which may be in a fork
    isolation: str = "process"
    options: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[str, Snapshot]] = field(default_factory=list)
    worker_class: ClassVar[type[BaseWorker]] = SimpleWorker

    def queue(self, name: str = "default", **options: Any) -> Queue:
        return Queue(name, connection=self.redis, **{**self.options, **options})

    def enqueue(self, function: Any, *args: Any, job_id: str = "job", queue: str = "default", **options: Any) -> Job:
        return self.queue(queue).enqueue(function, *args, job_id=job_id, **options)

    def look(self, when: str) -> None:
        self.seen.append((when, snapshots.take(self.redis)))

    def work(self) -> None:
        worker = self._worker()
        self.notes.write_bytes(b"")
        tasks.observer = lambda _redis: self._note()
        try:
            worker.work(burst=True, logging_level="ERROR")
        finally:
            tasks.observer = None
        with self.notes.open("rb") as notes:
            while notes.peek(1):
                self.seen.append(("during", pickle.load(notes)))
        self.look("after")

    def _note(self) -> None:
        with self.notes.open("ab") as notes:
            pickle.dump(snapshots.take(self.redis), notes)

    def move_scheduled(self) -> None:
        """Make what is scheduled due, and have it moved."""
        for name in QUEUES:
            for job_id in self.redis.zrange(f"rq:scheduled:{name}", 0, -1):
                self.redis.zadd(f"rq:scheduled:{name}", {job_id: self.redis.time()[0] - 1})
        if self.ours:
            move_due(script_calls(self.redis), QUEUES)
        else:
            scheduler = RQScheduler(QUEUES, connection=self.redis)
            scheduler.prepare_registries(QUEUES)
            scheduler.enqueue_scheduled_jobs()
        self.look("moved")

    def _worker(self) -> Any:
        if self.ours:
            more = {"WORKER_ISOLATION": self.isolation, "WORKER_ALLOW_PRIVATE_ADDRESSES": "true"}
            settings = load({**SETTINGS, **more}, need_redis_url=False)
            return Consumer(QUEUES, connection=self.redis, name=WORKER, settings=settings)
        return self.worker_class(QUEUES, connection=self.redis, name=WORKER, **self.options)


Act = Callable[[Stage], None]


@pytest.fixture(params=ISOLATIONS)
def stages(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[Stage, Stage]]:
    """RQ's stage and ours, with each degree of isolation: two databases of one server."""
    # Listening for commands leaves nothing in the database, and ending it takes RQ some tenths of a second.
    monkeypatch.setattr(BaseWorker, "subscribe", lambda _: None)
    with redis_py.Redis(port=server.port, db=0) as first, redis_py.Redis(port=server.port, db=1) as second:
        yield Stage(first, False, tmp_path / "rq"), Stage(second, True, tmp_path / "ours", request.param)


@pytest.fixture
def compare(stages: tuple[Stage, Stage]) -> Callable[..., None]:
    def play(act: Act, *expected: str, ignore: Sequence[tuple[str, str]] = ()) -> None:
        rq, ours = stages
        act(rq)
        act(ours)
        assert [when for when, _ in rq.seen] == [when for when, _ in ours.seen]
        allowed = [*ALWAYS, *(ON_PURPOSE[name] for name in expected)]
        used: set[str] = set()
        wrong: list[str] = []
        for (when, theirs), (_, mine) in zip(rq.seen, ours.seen, strict=True):
            for (key, name), (rq_has, we_have) in snapshots.differences(theirs, mine).items():
                if (key, name) in ignore:
                    continue
                names = [known for known in expected if ON_PURPOSE[known].covers(key, name)]
                used.update(names)
                if not any(difference.covers(key, name) for difference in allowed):
                    wrong.append(f"{when}: {key} {name}: RQ has {rq_has!r}, we have {we_have!r}")
        assert wrong == [], "\n".join(wrong)
        assert used == set(expected), f"{set(expected) - used} did not occur: take it off the scenario"

    return play


def simple(*args: Any, function: Any = tasks.look, **options: Any) -> Act:
    """One job, one burst."""

    def act(stage: Stage) -> None:
        stage.enqueue(function, *args, **options)
        stage.look("before")
        stage.work()

    return act


def scheduled(rounds: int, *args: Any, function: Any = tasks.look, **options: Any) -> Act:
    """One job that is put off `rounds` times."""

    def act(stage: Stage) -> None:
        stage.enqueue(function, *args, **options)
        stage.work()
        for _ in range(rounds):
            stage.move_scheduled()
            stage.work()

    return act


def several(*jobs: tuple[str, dict[str, Any]]) -> Act:
    """Some jobs, one burst; each is its id and the options of `enqueue`, `function` among them."""

    def act(stage: Stage) -> None:
        for job_id, options in jobs:
            chosen = {"function": tasks.add, "args": (1, 1), **options}
            stage.enqueue(chosen.pop("function"), job_id=job_id, **chosen)
        stage.look("before")
        stage.work()

    return act


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(simple(3), id="a result"),
        pytest.param(simple(), id="None"),
        pytest.param(simple("ä€\n"), id="text"),
        pytest.param(simple(3, description="three", meta={"colour": "green"}), id="description and meta"),
        pytest.param(simple(3, result_ttl=0), id="result_ttl 0"),
        pytest.param(simple(3, result_ttl=-1), id="result_ttl -1"),
        pytest.param(simple(3, result_ttl=60), id="result_ttl 60"),
        pytest.param(simple(3, ttl=100), id="ttl"),
        pytest.param(simple(3, ttl=100, result_ttl=-1), id="ttl, result kept"),
        pytest.param(simple(3, job_timeout=60), id="timeout"),
        pytest.param(simple(3, job_timeout=-1), id="no timeout"),
        pytest.param(simple(3, at_front=True), id="at_front"),
        pytest.param(simple(3, queue="high"), id="another queue"),
        pytest.param(simple(3, retry=Retry(max=2, interval=[60, 120])), id="retries that are not needed"),
        pytest.param(simple(3, unique=True), id="unique"),
        pytest.param(simple(function=tasks.unserialisable), id="unserialisable"),
        pytest.param(simple("colour", "green", function=tasks.set_meta), id="meta changed"),
        pytest.param(simple(21, function=tasks.double), id="async"),
        pytest.param(simple("Ann", function=tasks.Greeter("Hello").greet), id="method"),
    ],
)
def test_success(compare: Callable[..., None], act: Act) -> None:
    compare(act)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(simple(error="boom"), (*BURIED, "failure ttl"), id="failure"),
        pytest.param(simple(error="boom", failure_ttl=60), BURIED, id="failure_ttl 60"),
        pytest.param(simple(error="boom", failure_ttl=-1), BURIED, id="failure_ttl -1"),
        pytest.param(simple(error="boom", ttl=100, failure_ttl=60), BURIED, id="ttl"),
        pytest.param(
            simple(error="boom", retry=Retry(max=2)), (*BURIED, "failure ttl", "last error"), id="retries used up"
        ),
        pytest.param(
            scheduled(2, error="boom", retry=Retry(max=2, interval=[60, 120])),
            (*BURIED, "failure ttl", "last error", "counters"),
            id="retries with intervals used up",
        ),
        pytest.param(
            scheduled(0, error="boom", ttl=200, retry=Retry(max=2, interval=60)),
            ("attempts", "last error"),
            id="ttl, put off",
        ),
        pytest.param(simple(function=tasks.leave), (*BURIED, "failure ttl"), id="SystemExit"),
        pytest.param(
            simple(60, function=tasks.sleep, job_timeout=1), (*BURIED, "failure ttl", "our words"), id="timeout"
        ),
        pytest.param(
            simple(function="tests.support.tasks.nothing"),
            (*BURIED, "failure ttl", "our words"),
            id="a function that does not exist",
        ),
        pytest.param(simple(function=tasks.spoil_meta), (*BURIED, "failure ttl"), id="meta that cannot be written"),
        pytest.param(simple(error="boom", failure_ttl=0), ("nothing kept",), id="failure_ttl 0"),
        pytest.param(simple(function=tasks.delete_itself), ("deleted", "not counted"), id="deleted while running"),
    ],
)
def test_failure(compare: Callable[..., None], act: Act, expected: tuple[str, ...]) -> None:
    compare(act, *expected)


PARENT = ("parent", {})
FAILING = ("parent", {"function": tasks.boom, "args": ()})


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(several(PARENT, ("child", {"depends_on": "parent"})), (), id="one child"),
        pytest.param(
            several(PARENT, ("child", {"depends_on": "parent", "queue": "high", "result_ttl": 60})), (), id="elsewhere"
        ),
        pytest.param(
            several(PARENT, ("child", {"depends_on": "parent"}), ("grandchild", {"depends_on": "child"})),
            (),
            id="grandchild",
        ),
        pytest.param(
            several(("p1", {}), ("p2", {"queue": "high"}), ("p3", {}), ("child", {"depends_on": ["p1", "p2", "p3"]})),
            ("parents left",),
            id="many parents",
        ),
        pytest.param(
            several(("parent", {"result_ttl": 0}), ("child", {"depends_on": "parent", "result_ttl": 0})),
            (),
            id="nothing kept",
        ),
        pytest.param(
            several(PARENT, ("other", {}), ("child", {"depends_on": Dependency("parent", enqueue_at_front=True)})),
            (),
            id="at front",
        ),
        pytest.param(several(PARENT, ("child", {"depends_on": "parent", "ttl": 200})), (), id="child with a ttl"),
        pytest.param(several(FAILING, ("child", {"depends_on": "parent"})), BURIED, id="child of a failed job"),
        pytest.param(
            several(FAILING, ("child", {"depends_on": Dependency("parent", allow_failure=True)})),
            BURIED,
            id="allow_failure",
        ),
        pytest.param(
            several(
                PARENT,
                ("failing", {"function": tasks.boom, "args": ()}),
                ("child", {"depends_on": Dependency(["parent", "failing"], allow_failure=True)}),
                ("orphan", {"depends_on": ["parent", "failing"]}),
            ),
            (*BURIED, "parents left"),
            id="many parents, one fails",
        ),
        pytest.param(
            several(
                ("parent", {"function": tasks.boom, "args": (), "retry": Retry(max=1)}),
                ("child", {"depends_on": Dependency("parent", allow_failure=True)}),
            ),
            (*BURIED, "last error"),
            id="allow_failure after a retry",
        ),
        pytest.param(
            several(
                ("parent", {"function": tasks.boom, "args": ()}),
                ("child", {"function": tasks.boom, "args": (), "depends_on": Dependency("parent", allow_failure=True)}),
            ),
            (*BURIED, "failure ttl"),
            id="a child that fails",
        ),
    ],
)
def test_dependents(
    compare: Callable[..., None], stages: tuple[Stage, Stage], act: Act, expected: tuple[str, ...]
) -> None:
    wanted = {*expected}
    if "letter" in expected and stages[1].isolation == "job":  # its error has stayed in the fork, so we bury it
        wanted.add("failure ttl")
    compare(act, *wanted)


SUCCESS = Callback(tasks.on_success)
FAILURE = Callback(tasks.on_failure)
RAISING = Callback(tasks.raising_callback)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(simple(3, on_success=SUCCESS, on_failure=FAILURE), (), id="success"),
        pytest.param(simple(3, on_success=SUCCESS, result_ttl=0), (), id="success, nothing kept"),
        pytest.param(simple(error="boom", on_success=SUCCESS, on_failure=FAILURE), BURIED, id="failure"),
        pytest.param(simple(3, on_success=RAISING, on_failure=FAILURE), BURIED, id="success raises"),
        pytest.param(simple(error="boom", on_failure=RAISING), BURIED, id="failure raises"),
        pytest.param(simple(3, on_success=RAISING, on_failure=RAISING), BURIED, id="both raise"),
        pytest.param(
            simple(3, on_success=RAISING, retry=Retry(max=1)),
            (*BURIED, "last error"),
            id="success raises, retries",
        ),
        pytest.param(
            scheduled(2, error="boom", on_failure=FAILURE, retry=Retry(max=2, interval=[60, 120])),
            (*BURIED, "last error", "counters"),
            id="failure after retries with intervals",
        ),
        pytest.param(
            simple(error="boom", on_failure=FAILURE, retry=Retry(max=2), meta={"a": 1}),
            (*BURIED, "last error"),
            id="failure after retries",
        ),
        pytest.param(simple(error="boom", failure_ttl=60, on_failure=FAILURE), BURIED, id="failure_ttl"),
    ],
)
def test_callbacks(compare: Callable[..., None], act: Act, expected: tuple[str, ...]) -> None:
    compare(act, *expected)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(simple(3, 2, function=tasks.retry_then), (), id="and then a value"),
        pytest.param(scheduled(2, 3, 2, 60, function=tasks.retry_then), ("counters",), id="with an interval"),
        pytest.param(simple(2, function=tasks.returns_retry), BURIED, id="exhausted"),
        pytest.param(
            scheduled(1, 1, 60, function=tasks.returns_retry), (*BURIED, "counters"), id="exhausted, with an interval"
        ),
        pytest.param(simple(1, function=tasks.returns_retry, failure_ttl=60), BURIED, id="exhausted, failure_ttl"),
    ],
)
def test_a_returned_retry(compare: Callable[..., None], act: Act, expected: tuple[str, ...]) -> None:
    compare(act, *expected)


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(simple(3, repeat=Repeat(times=2)), (), id="at once"),
        pytest.param(scheduled(2, 3, repeat=Repeat(times=2, interval=[60, 120])), ("counters",), id="with intervals"),
        pytest.param(simple(3, repeat=Repeat(times=2), result_ttl=0), (), id="nothing kept"),
        pytest.param(simple(error="boom", repeat=Repeat(times=2)), (*BURIED, "failure ttl"), id="a failure ends it"),
    ],
)
def test_repeats(compare: Callable[..., None], act: Act, expected: tuple[str, ...]) -> None:
    compare(act, *expected)


def group(*jobs: tuple[Any, dict[str, Any]]) -> Act:
    def act(stage: Stage) -> None:
        data = [
            Queue.prepare_data(function, job_id=f"job-{index}", **options)
            for index, (function, options) in enumerate(jobs)
        ]
        Group.create(stage.redis, name="crowd").enqueue_many(stage.queue(), data)
        stage.look("before")
        stage.work()

    return act


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(group((tasks.look, {}), (tasks.look, {})), (), id="kept"),
        pytest.param(group((tasks.look, {"result_ttl": 0}), (tasks.look, {})), (), id="one leaves"),
        pytest.param(group((tasks.look, {"result_ttl": 0})), (), id="the last one leaves"),
        pytest.param(group((tasks.boom, {}), (tasks.look, {})), (*BURIED, "failure ttl"), id="one fails"),
    ],
)
def test_groups(compare: Callable[..., None], act: Act, expected: tuple[str, ...]) -> None:
    compare(act, *expected)


LIMIT = {"rate_limit": RateLimit("shop", 1)}


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(several(*[(f"job-{index}", LIMIT) for index in range(3)]), (), id="success"),
        pytest.param(
            several(("first", {**LIMIT, "function": tasks.boom, "args": ()}), ("second", LIMIT)),
            BURIED,
            id="failure",
        ),
        pytest.param(
            several(("first", {**LIMIT, "function": tasks.boom, "args": (), "retry": Retry(max=1)}), ("second", LIMIT)),
            (*BURIED, "last error"),
            id="retry",
        ),
        pytest.param(
            scheduled(1, error="boom", retry=Retry(max=1, interval=60), **LIMIT),
            (*BURIED, "last error", "counters"),
            id="delayed retry",
        ),
    ],
)
def test_rate_limits(compare: Callable[..., None], act: Act, expected: tuple[str, ...]) -> None:
    compare(act, *expected)


def test_a_scheduled_job_that_is_due_waits_for_its_rate_limit(compare: Callable[..., None]) -> None:
    def act(stage: Stage) -> None:
        stage.enqueue(tasks.add, 1, 1, job_id="first", **LIMIT)
        for job_id, options in (("second", LIMIT), ("third", {}), ("front", {"at_front": True})):
            stage.queue().enqueue_in(timedelta(seconds=60), tasks.add, 1, 1, job_id=job_id, **options)
        stage.move_scheduled()
        stage.work()

    compare(act)


def test_scheduled_jobs_get_what_rqs_scheduler_gives_them(compare: Callable[..., None]) -> None:
    def act(stage: Stage) -> None:
        for job_id, options in (("plain", {}), ("ttl", {"ttl": 200}), ("front", {"at_front": True})):
            stage.queue().enqueue_in(timedelta(seconds=60), tasks.add, 1, 1, job_id=job_id, **options)
            stage.redis.expire(f"rq:job:{job_id}", 100) if "ttl" in options else None
        stage.look("before")
        stage.move_scheduled()
        stage.work()

    compare(act)


@pytest.mark.parametrize("how", ["finished", "failed"])
def test_webhooks(compare: Callable[..., None], how: str) -> None:
    heard: list[list[Any]] = []

    def act(stage: Stage) -> None:
        with Shop() as shop:
            shop.routes = {"/done": status(200), "/failed": status(500)}
            hooks = [
                Webhook(shop.url("/done"), "finished", method="POST", headers={"X-Shop": "1"}),
                Webhook(shop.url("/done"), "finished"),
                Webhook(shop.url("/failed"), "failed", method="POST"),
            ]
            stage.enqueue(tasks.look, 3, error="boom" if how == "failed" else "", webhooks=hooks)
            stage.work()
            heard.append([(r.method, r.path, r.headers.get("x-shop"), snapshots.body(r.body)) for r in shop.requests])

    expected = BURIED if how == "failed" else ()
    compare(act, *expected, ignore=[("rq:job:job", "webhooks")])
    assert heard[0] == heard[1]
    assert len(heard[0]) == (1 if how == "failed" else 2)


def test_unique_jobs(compare: Callable[..., None]) -> None:
    def act(stage: Stage) -> None:
        for _ in range(2):
            stage.enqueue(tasks.look, 3, unique=True, result_ttl=0)
            with pytest.raises(DuplicateJobError):
                stage.enqueue(tasks.look, 3, unique=True)
            stage.work()
            assert not Job.exists("job", stage.redis)

    compare(act, "counters")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        pytest.param(simple({"a": [1, None]}), (), id="success"),
        pytest.param(simple(function=tasks.unserialisable), (), id="unserialisable"),
        pytest.param(simple("colour", "green", function=tasks.set_meta), (), id="meta"),
        pytest.param(simple(error="boom"), (*BURIED, "failure ttl"), id="failure"),
        pytest.param(simple(error="boom", retry=Retry(max=1)), (*BURIED, "failure ttl", "last error"), id="retry"),
        pytest.param(simple(2, function=tasks.returns_retry), BURIED, id="returned Retry"),
        pytest.param(several(PARENT, ("child", {"depends_on": "parent"})), (), id="dependents"),
    ],
)
def test_json_payloads(
    stages: tuple[Stage, Stage], compare: Callable[..., None], act: Act, expected: tuple[str, ...]
) -> None:
    for stage in stages:
        stage.options = {"serializer": "json"}
    compare(act, *expected)


def test_a_job_that_was_stopped(compare: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """RQ can only stop a job in a work-horse, so its forking worker is compared here.

    It kills the horse's process group, which is that of the tests until the horse has begun: a job that only says
    "started" must not be stopped.
    """
    path = tmp_path / "journal"
    monkeypatch.undo()
    monkeypatch.setattr(Stage, "worker_class", Worker)

    def act(stage: Stage) -> None:
        path.unlink(missing_ok=True)
        job = stage.enqueue(
            tasks.journal_and_sleep, str(path), 120, on_stopped=Callback(tasks.on_stopped), retry=Retry(max=3)
        )

        def stop() -> None:
            eventually(lambda: tasks.runs(path)[job.id])
            eventually(lambda: stage.redis.pubsub_numsub(f"rq:pubsub:{WORKER}")[0][1])
            send_stop_job_command(stage.redis, job.id)

        stopper = threading.Thread(target=stop)
        stopper.start()
        stage.work()
        stopper.join()

    compare(act, "stopped")
