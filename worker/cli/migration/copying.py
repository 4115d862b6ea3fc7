"""Read keys and return the commands that write them elsewhere.

Values are copied by type: DUMP's format differs between Redis, Valkey and the services that speak their protocol, and
RESTORE refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from redis import Redis
from redis.client import Pipeline

from worker.keys import Keys

T = TypeVar("T")
Word: TypeAlias = bytes | str | int | float
Words: TypeAlias = list[Word]

#: Values in one command; a script unpacks them onto Lua's stack, which is limited.
CHUNK: Final = 500


def batched(values: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the values in lists of `size`, the last one shorter."""
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch


def read_jobs(redis: Redis, keys: Keys, job_ids: Sequence[str]) -> list[list[Words]]:
    """Return for each job the commands that write it: its hash, results, executions, journal, log and the two
    sets of dependencies.

    All are read at one moment. A job that is gone has no commands.
    """
    plans = [
        (
            (keys.job(job_id), "hash"),
            (keys.results(job_id), "stream"),
            (keys.executions(job_id), "zset"),
            (keys.journal(job_id), "hash"),
            (keys.log(job_id), "list"),
            (keys.dependents(job_id), "set"),
            (keys.dependencies(job_id), "set"),
        )
        for job_id in job_ids
    ]
    with redis.pipeline(transaction=True) as pipeline:
        for plan in plans:
            for key, kind in plan:
                _READ[kind](pipeline, key)
                pipeline.pttl(key)
        replies = iter(pipeline.execute())
    found = []
    for plan in plans:
        commands: list[Words] = []
        for key, kind in plan:
            commands += _written(key, kind, next(replies), next(replies))
        found.append(commands if commands and commands[1][0] == "HSET" else [])
    return found


def read_key(redis: Redis, key: str) -> list[Words]:
    """Return the commands that write any key; [] when it is gone. Raises `ValueError` for a type that RQ never uses."""
    kind = bytes(redis.type(key)).decode()  # type: ignore[arg-type]
    if kind == "none":
        return []
    if kind not in _READ:
        raise ValueError(f"{key} is of type {kind}, which neither RQ nor the worker uses")
    with redis.pipeline(transaction=True) as pipeline:
        _READ[kind](pipeline, key)
        pipeline.pttl(key)
        value, ttl = pipeline.execute()
    return _written(key, kind, value, ttl)


_READ: Final[dict[str, Any]] = {
    "hash": Pipeline.hgetall,
    "stream": Pipeline.xrange,
    "zset": lambda pipeline, key: pipeline.zrange(key, 0, -1, withscores=True),
    "set": Pipeline.smembers,
    "list": lambda pipeline, key: pipeline.lrange(key, 0, -1),
    "string": Pipeline.get,
}


def _written(key: str, kind: str, value: Any, ttl: int) -> list[Words]:
    if not value:
        return []
    commands: list[Words] = [["DEL", key]]
    if kind == "stream":
        commands += [["XADD", key, entry, *_flat(fields.items())] for entry, fields in value]
    elif kind == "string":
        commands.append(["SET", key, value])
    elif kind == "hash":
        commands += [["HSET", key, *_flat(chunk)] for chunk in batched(value.items(), CHUNK)]
    elif kind == "zset":
        commands += [
            ["ZADD", key, *_flat((score(s), member) for member, s in chunk)] for chunk in batched(value, CHUNK)
        ]
    else:
        commands += [["SADD" if kind == "set" else "RPUSH", key, *chunk] for chunk in batched(value, CHUNK)]
    if ttl >= 0:
        commands.append(["PEXPIRE", key, max(1, ttl)])
    return commands


def score(value: float) -> str:
    """Write a sorted set's score so that the server reads the same number."""
    return repr(float(value))


def _flat(pairs: Iterable[tuple[Any, Any]]) -> Words:
    return [part for pair in pairs for part in pair]
