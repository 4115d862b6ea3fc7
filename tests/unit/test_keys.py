"""Keys are spelled once, and as RQ spells them."""

from __future__ import annotations

import re

import pytest
from redis import Redis
from rq.command import PUBSUB_CHANNEL_TEMPLATE
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.registry import (
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.results import Result
from rq.suspension import WORKERS_SUSPENDED
from rq.worker import BaseWorker
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from tests.support.service import ROOT
from worker.keys import Keys
from worker.redis import scripts

KEYS = Keys("rq")


def test_rqs_keys_are_spelled_as_rq_spells_them() -> None:
    assert KEYS.queue("high") == Queue.redis_queue_namespace_prefix + "high"
    assert KEYS.queues == Queue.redis_queues_keys
    assert KEYS.job("a") == Job.key_for("a")
    assert KEYS.dependents("a") == Job.dependents_key_for("a")
    assert KEYS.execution("a", "e") == Execution("e", "a", Redis()).key
    assert KEYS.results("a") == Result.get_key("a")
    assert KEYS.worker("w") == BaseWorker.redis_worker_namespace_prefix + "w"
    assert KEYS.all_workers == REDIS_WORKER_KEYS
    assert KEYS.workers("high") == WORKERS_BY_QUEUE_KEY % "high"
    assert KEYS.suspended == WORKERS_SUSPENDED
    assert KEYS.channel("w") == PUBSUB_CHANNEL_TEMPLATE % "w"


@pytest.mark.parametrize(
    ("kind", "registry"),
    [
        ("wip", StartedJobRegistry),
        ("finished", FinishedJobRegistry),
        ("failed", FailedJobRegistry),
        ("scheduled", ScheduledJobRegistry),
        ("deferred", DeferredJobRegistry),
        ("canceled", CanceledJobRegistry),
    ],
)
def test_registries_are_spelled_as_rq_spells_them(kind: str, registry: type) -> None:
    assert KEYS.registry(kind, "high") == registry.key_template.format("high")  # type: ignore[attr-defined]


def test_the_scripts_list_their_keys_under_the_same_names() -> None:
    header = re.match(r"(?:--.*\n)+", scripts.source("_common"))
    assert header is not None
    listed = re.findall(r"(?:  | · )(\w+) (P:\S+)", header[0])
    assert len(listed) == 19
    for name, pattern in listed:
        kind, *placeholders = re.findall(r"^P:(\w+)|<(\w+)>", pattern)
        arguments = [kind[0]] * (name == "registry") + [f"<{placeholder}>" for _, placeholder in placeholders]
        key = getattr(Keys("P"), name)
        assert pattern == (key(*arguments) if arguments else key)


def test_no_other_module_spells_a_key() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}: {found}"
        for folder in ("worker", "tools")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "keys.py"
        for found in re.findall(r'f"\{[\w.]*(?:prefix|PREFIX)\}:[a-z]', path.read_text())
    ]
    assert spelled == []
