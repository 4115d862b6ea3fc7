"""Shared keys that hold something else than they should: planted by somebody, or left by another program.

The scripts go on without those that only tell tools about jobs, and leave the jobs of a queue alone whose own keys are
unusable. Here the keys are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from worker.redis import scripts
from worker.redis.calls import ScriptCalls
from worker.text import one_line, text_of

_WORDS: Final = {"zset": "a sorted set", "list": "a list", "set": "a set", "hash": "a hash", "string": "a string"}
#: Keys of the whole database, by their names without the prefix.
SHARED: Final = {
    **dict.fromkeys(("queues", "workers", "groups", "rl-keys", "origins", "parked"), "set"),
    **dict.fromkeys(("suspended", "leader-token", "maintained", "autoscaler-lock"), "string"),
    **dict.fromkeys(("leader", "agenda", "cron-runs", "autoscaler", "paused", "clock", "clock:dates"), "hash"),
    "cron_schedulers": "zset",
    "dead-letter:audit": "stream",
}
#: Sorted sets of each queue: RQ's registries.
REGISTRIES: Final = ("wip", "finished", "failed", "scheduled", "deferred", "canceled", "ready")


def wanted(calls: ScriptCalls, queues: Sequence[str], letters_queue: str) -> dict[str, str]:
    """Return each shared key and its type, as TYPE says it."""
    keys = calls.keys
    types = {keys.named(name): kind for name, kind in SHARED.items()}
    for queue in queues:
        types[keys.queue(queue)] = "list"
        types[keys.workers(queue)] = "set"
        types |= {keys.registry(kind, queue): "zset" for kind in REGISTRIES}
    return {**types, keys.queue(letters_queue): "list"}


def wrong(calls: ScriptCalls, queues: Sequence[str], letters_queue: str) -> list[str]:
    """Return a sentence about each key that holds something else; raises `RedisTrouble`."""
    pairs = [part for pair in wanted(calls, queues, letters_queue).items() for part in pair]
    found: Any = calls.call(scripts.TYPES, *pairs)
    return [
        f"{one_line(text_of(key))} holds {_words(is_)} where {_words(should)} belongs" for key, is_, should in found
    ]


def _words(kind: bytes) -> str:
    name = text_of(kind)
    return _WORDS.get(name, f"a {name}")
