"""What people do to a queue: empty it. Pausing is in ``worker/fleet/pauses.py``."""

from __future__ import annotations

from time import monotonic
from typing import Final

from redis import Redis

from worker.console.actions import ActionRefused
from worker.dead_letters.changes import note
from worker.keys import Keys
from worker.redis import scripts
from worker.redis.client import Client
from worker.settings import Settings
from worker.text import counted

#: Jobs that one call deletes: some milliseconds of the server's time.
BATCH: Final = 250
#: How long one request goes on.
MOST_SECONDS: Final = 20.0


def count(redis: Redis, keys: Keys, queue: str) -> int:
    """Return how many jobs stand on a queue: what `empty` would delete. Raises `RedisTrouble`."""
    with Client.over(redis).pipeline(transaction=False) as pipe:
        pipe.llen(_key(keys, queue))
        (length,) = pipe.execute(raise_on_error=False)
    return length if isinstance(length, int) else 0


def empty(redis: Redis, keys: Keys, settings: Settings, queue: str, expected: int, *, who: str) -> str:
    """Delete the jobs at the head of a queue for good, `expected` at most: as many as were shown. Returns a sentence.

    Jobs that came later stay; those that run, wait for their time or have failed are not on the queue. Raises
    `ActionRefused` and `RedisTrouble`.
    """
    if queue == settings.dead_letter_queue:
        raise ActionRefused("That queue holds dead letters: discard them instead, which leaves no half of one behind.")
    if expected < 1 or not count(redis, keys, queue):
        raise ActionRefused(f"The queue {queue!r} is empty. Nothing was done.")
    client = Client.over(redis)
    note(client, keys, action="empty", who=who, about=f"queue {queue}: up to {counted(expected, 'job')}")
    script, done, until = client.register_script(scripts.EMPTY.text), 0, monotonic() + MOST_SECONDS
    name = queue.encode(errors="surrogateescape")
    while done < expected and monotonic() < until:
        taken = int(script(args=[keys.prefix, "", name, min(BATCH, expected - done)]))
        done += taken
        if not taken:
            break
    left = count(redis, keys, queue)
    more = f" {counted(left, 'job stands', 'jobs stand')} there now; the same again goes on." if left else ""
    return f"{counted(done, 'job')} of the queue {queue!r} deleted.{more}"


def _key(keys: Keys, queue: str) -> bytes:
    return keys.queue(queue).encode(errors="surrogateescape")
