"""Which commands the worker needs, and a form of each that changes nothing.

What the scripts call is read from their texts. What the clients send is listed here, and tests hold the list against
what a real service makes a real server count, and against what the modules call.

Every form runs on a key that holds a string (with a time to live): a command for lists, hashes, sets or streams is then
refused for its type before it can write anything, and only after the server has looked at the user's rights.
"""

from __future__ import annotations

import re
from typing import Final

from worker.redis import scripts

#: What the roles' clients send by themselves: connecting, scripts, the doorbell, registrations, orders, the jobs'
#: cache, and RQ's own finishing code. With a subcommand where rights are given by it.
BY_CLIENTS: Final = (
    "BLMOVE",
    "CLIENT|SETNAME",
    "DEL",
    "EVALSHA",
    "EXEC",
    "EXISTS",
    "EXPIRE",
    "GET",
    "HDEL",
    "HELLO",
    "HGET",
    "HGETALL",
    "HMGET",
    "HSET",
    "LRANGE",
    "MULTI",
    "PING",
    "SADD",
    "SCAN",
    "SCRIPT|LOAD",
    "SET",
    "SMEMBERS",
    "SREM",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "WATCH",
    "XREVRANGE",
    "ZADD",
    "ZREM",
)
_CALL: Final = re.compile(r"""call\(\s*(?:[^'"()]*?\band\s*)?'([A-Z]+)'(?:\s*or\s*'([A-Z]+)')?""")

#: Command → arguments; K is the key with the string, N one that does not exist. Without an entry: (K,).
_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "BLMOVE": ("K", "K", "LEFT", "LEFT", "0.01"),
    "CLIENT|SETNAME": ("worker.diagnosis",),
    "DEL": ("N",),
    "EVALSHA": ("0" * 40, "0"),
    "EXEC": (),
    "EXPIRE": ("N", "1"),
    "HDEL": ("K", "field"),
    "HELLO": (),
    "HEXISTS": ("K", "field"),
    "HGET": ("K", "field"),
    "HINCRBY": ("K", "field", "1"),
    "HINCRBYFLOAT": ("K", "field", "1"),
    "HMGET": ("K", "field"),
    "HSET": ("K", "field", "1"),
    "HSETNX": ("K", "field", "1"),
    "LINDEX": ("K", "0"),
    "LMOVE": ("K", "K", "LEFT", "LEFT"),
    "LPOS": ("K", "1"),
    "LPUSH": ("K", "1"),
    "LRANGE": ("K", "0", "0"),
    "LREM": ("K", "0", "1"),
    "LTRIM": ("K", "0", "0"),
    "MULTI": (),
    "PERSIST": ("N",),
    "PING": (),
    "PUBLISH": ("C", "probe"),
    "RPUSH": ("K", "1"),
    "SADD": ("K", "1"),
    "SCAN": ("0", "COUNT", "1"),
    "SCRIPT|LOAD": ("return 1",),
    "SISMEMBER": ("K", "1"),
    "SREM": ("K", "1"),
    "TIME": (),
    "UNWATCH": (),
    "XADD": ("K", "*", "field", "1"),
    "XREVRANGE": ("K", "+", "-", "COUNT", "1"),
    "XDEL": ("K", "1-1"),
    "ZADD": ("K", "XX", "1", "1"),
    "ZCOUNT": ("K", "0", "1"),
    "ZPOPMIN": ("K",),
    "ZRANGE": ("K", "0", "0"),
    "ZRANGEBYSCORE": ("K", "0", "1"),
    "ZREM": ("K", "1"),
    "ZREMRANGEBYRANK": ("K", "0", "0"),
    "ZREMRANGEBYSCORE": ("K", "0", "1"),
    "ZSCORE": ("K", "1"),
}
#: Tried elsewhere: a subscription changes what its connection may do, so the pub/sub trial has one of its own; SET
#: makes the key.
_NOT_BY_FORM: Final = frozenset({"SET", "SUBSCRIBE", "UNSUBSCRIBE"})


def by_scripts() -> frozenset[str]:
    """Read from the scripts' texts which commands they call."""
    found = (name for script in scripts.ALL for match in _CALL.findall(script.text) for name in match)
    return frozenset(filter(None, found))


def all_needs() -> tuple[str, ...]:
    """Every command that the worker needs, in alphabetical order."""
    return tuple(sorted(by_scripts() | set(BY_CLIENTS)))


def forms(key: str, nothing: str, channel: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return (need, command line) of every need that a harmless form can try, MULTI just before EXEC."""
    stands_for = {"K": key, "N": nothing, "C": channel}
    needs = [need for need in all_needs() if need not in _NOT_BY_FORM | {"MULTI", "EXEC"}]
    return [
        (need, (*need.split("|"), *(stands_for.get(part, part) for part in _FORMS.get(need, ("K",)))))
        for need in [*needs, "MULTI", "EXEC"]
    ]


def acl_rules(prefix: str) -> list[str]:
    """Write the ACL of a user who may do what the worker needs and nothing else."""
    commands = [f"+{need.lower()}" for need in all_needs()]
    return [f"~{prefix}:*", f"&{prefix}:pubsub:*", *commands]
