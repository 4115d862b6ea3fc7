"""What the server shows of itself, as far as its provider allows."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from redis import Redis

from worker.redis.client import Client
from worker.redis.trouble import RedisTrouble


@dataclass(frozen=True, slots=True)
class Server:
    """The server; what it does not show is None. `answers_in` is one round trip in seconds, memory is bytes."""

    product: str
    version: str | None
    answers_in: float
    memory: int | None
    memory_limit: int | None
    eviction: str | None
    clients: int | None

    def attention(self) -> list[str]:
        """Return sentences about what a person should look at."""
        found = []
        if self.eviction not in (None, "noeviction"):
            found.append(
                f"Redis evicts ({self.eviction}): when memory runs out it deletes jobs. "
                f"Set maxmemory-policy to noeviction."
            )
        if self.memory and self.memory_limit and self.memory > 0.9 * self.memory_limit:
            share = self.memory / self.memory_limit
            found.append(f"Redis uses {share:.0%} of its memory; when it is full, enqueuing fails.")
        return found


def read(redis: Redis) -> Server:
    """Ask the server; a provider or an ACL may refuse INFO. Raises `RedisTrouble`."""
    client = Client.over(redis)
    began = perf_counter()
    client.ping()
    answers_in = perf_counter() - began
    try:
        facts: dict[str, Any] = client.info()
    except RedisTrouble as trouble:
        if not trouble.refuses_command:
            raise
        facts = {}
    return Server(
        "Valkey" if "valkey_version" in facts else "Redis",
        facts.get("valkey_version") or facts.get("redis_version"),
        answers_in,
        facts.get("used_memory"),
        facts.get("maxmemory") or None,
        facts.get("maxmemory_policy"),
        facts.get("connected_clients"),
    )
