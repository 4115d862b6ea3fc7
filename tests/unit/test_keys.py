"""Keys are spelled once, and as RQ spells them."""

from __future__ import annotations

import re

import pytest
from rq.command import PUBSUB_CHANNEL_TEMPLATE
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

KEYS = Keys("rq")


def test_rqs_keys_are_spelled_as_rq_spells_them() -> None:
    assert KEYS.queue("high") == Queue.redis_queue_namespace_prefix + "high"
    assert KEYS.queues == Queue.redis_queues_keys
    assert KEYS.job("a") == Job.key_for("a")
    assert KEYS.dependents("a") == Job.dependents_key_for("a")
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


def test_no_other_module_spells_a_key() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}: {found}"
        for folder in ("worker", "tools")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "keys.py"
        for found in re.findall(r'f"\{[\w.]*(?:prefix|PREFIX)\}:[a-z]', path.read_text())
    ]
    assert spelled == []
