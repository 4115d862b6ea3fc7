"""Which commands the worker needs, and a form of each that changes nothing.

The scripts' commands are read from their texts. The clients' commands are listed here; tests compare the list with the
commands that a real service sends to a real server, and with the calls in the modules.

Each form runs on a key that holds a string (with a time to live). A command for lists, hashes, sets or streams then
fails because of the type, after the server has checked the user's rights and before it writes anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from worker.keys import Keys
from worker.redis import scripts
from worker.redis.scripts import Script

#: Commands of the roles' clients: for connecting, scripts, the doorbell, registrations, RQ's commands to workers, the
#: jobs' cache, and RQ's own finishing code. With a subcommand where rights are granted by it.
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
    "SCARD",
    "SCRIPT|LOAD",
    "SET",
    "SMEMBERS",
    "SREM",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "WATCH",
    "XREVRANGE",
    "ZADD",
    "ZPOPMIN",
    "ZREM",
)
#: Commands of the scripts that no user must have: they save memory, tell whether RQ's commands are heard, and take back
#: the result of a job whose end the server has refused in the middle.
OPTIONAL: Final = ("COPY", "PUBSUB|NUMSUB", "RENAME", "XDEL")
#: Keys of a diagnosis expire by themselves, should the client die before it deletes them.
KEY_TTL_SECONDS: Final = 60
_CALL: Final = re.compile(
    r"""(?:call\(|call,|write\(|note\()\s*(?:[^'"()]*?\band\s*)?'([A-Z]+)'(?:\s*or\s*'([A-Z]+)')?"""
)

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
    "LPOS": ("K", "1"),
    "LPUSH": ("K", "1"),
    "LRANGE": ("K", "0", "0"),
    "LREM": ("K", "0", "1"),
    "LSET": ("K", "0", "1"),
    "MULTI": (),
    "PERSIST": ("N",),
    "PING": (),
    "RPUSH": ("K", "1"),
    "SADD": ("K", "1"),
    "SCAN": ("0", "COUNT", "1"),
    "SCRIPT|LOAD": ("return 1",),
    "SREM": ("K", "1"),
    "SSCAN": ("K", "0"),
    "TIME": (),
    "XADD": ("K", "*", "field", "1"),
    "XREVRANGE": ("K", "+", "-", "COUNT", "1"),
    "ZADD": ("K", "XX", "1", "1"),
    "ZCOUNT": ("K", "0", "1"),
    "ZPOPMIN": ("K",),
    "ZRANGE": ("K", "0", "0"),
    "ZRANGEBYSCORE": ("K", "0", "1"),
    "ZREM": ("K", "1"),
    "ZREMRANGEBYRANK": ("K", "0", "0"),
    "ZSCORE": ("K", "1"),
}
#: Tried elsewhere: SET makes the key; a subscription limits what its connection may do, so the pub/sub trial opens
#: another one.
_NOT_BY_FORM: Final = frozenset({"SET", "SUBSCRIBE", "UNSUBSCRIBE"})


def by_scripts(among: Iterable[Script] = scripts.ALL) -> frozenset[str]:
    """Read from the scripts' texts which commands they call."""
    found = (name for script in among for match in _CALL.findall(script.text) for name in match)
    return frozenset(filter(None, found))


def of_claims() -> frozenset[str]:
    """Every command without which a claimed job could not be brought to an end."""
    return by_scripts(scripts.OF_CLAIMS) | {"EVALSHA", "SCRIPT|LOAD"}


def all_needs() -> tuple[str, ...]:
    """Every command that the worker needs, in alphabetical order."""
    return tuple(sorted(by_scripts() | set(BY_CLIENTS)))


def forms(key: str, nothing: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return (need, command line) of every need that has a harmless form, MULTI just before EXEC."""
    stands_for = {"K": key, "N": nothing}
    needs = [need for need in all_needs() if need not in _NOT_BY_FORM | {"MULTI", "EXEC"}]
    return [
        (need, (*need.split("|"), *(stands_for.get(part, part) for part in _FORMS.get(need, ("K",)))))
        for need in [*needs, "MULTI", "EXEC"]
    ]


def acl_rules(keys: Keys) -> list[str]:
    """Return the ACL of a user who may do what the worker needs and nothing else."""
    commands = [f"+{need.lower()}" for need in (*all_needs(), *OPTIONAL)]
    return [f"~{keys.named('*')}", f"&{keys.channel('*')}", *commands]
