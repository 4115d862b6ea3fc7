"""Which commands a server refuses to the user of a client, found by running a harmless form of each (``needs.py``)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from secrets import token_hex
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from worker.keys import Keys
from worker.redis import needs
from worker.redis.client import translating
from worker.redis.needs import KEY_TTL_SECONDS
from worker.redis.scripts import Script
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble

_DENIED: Final = ("no_permission", "unknown_command")


def refused(client: Redis, keys: Keys, among: Iterable[str]) -> list[str]:
    """Return which of some commands the server refuses; [] while it takes no writes at all. Raises `RedisTrouble`."""
    key, nothing = keys.diagnosis(token_hex(4), "rights"), keys.diagnosis(token_hex(4), "nothing")
    wanted = frozenset(among)
    with translating():
        (made,) = answers(client, [("SET", key, "probe", "EX", str(KEY_TTL_SECONDS))])
        if isinstance(made, Exception):  # without the key the forms could write something
            return ["SET"] if code_of(made) else []
        forms = [(need, form) for need, form in needs.forms(key, nothing) if need in wanted]
        replies = answers(client, [form for _, form in forms] + [("DEL", key)])
    return sorted(need for (need, _), reply in zip(forms, replies, strict=False) if code_of(reply))


def name(client: Redis, keys: Keys, script: Script, error: Exception) -> None:
    """Raise `RedisTrouble` that names the commands of a script that are refused to us, if `error` leaves them open.

    Redis 6 and 7.0 say only that one was refused.
    """
    reason = translate(error)
    if reason is None or reason.code != "no_permission" or reason.commands:
        return
    commands = refused(client, keys, needs.by_scripts([script]))
    if commands:
        raise lack_of(commands) from (error.__cause__ if isinstance(error, RedisTrouble) else error)


def lack_of(commands: Sequence[str]) -> RedisTrouble:
    """Return the trouble that the server refuses these commands to us."""
    return trouble("no_permission", "no permission for " + ", ".join(commands).replace("|", " "))


def answers(client: Redis, commands: list[tuple[str, ...]]) -> list[Any]:
    """Send commands in one go; returns the answer to each, which may be an error."""
    connection: Any = client.connection_pool.get_connection()
    try:
        for command in commands:
            connection.send_command(*command)
        return [_one(connection) for _ in commands]
    finally:
        client.connection_pool.release(connection)


def code_of(answer: Any) -> str:
    """Return the code of a refusal for lack of rights, "" for everything else."""
    reason = translate(answer) if isinstance(answer, RedisError) else None
    return reason.code if reason is not None and reason.code in _DENIED else ""


def _one(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
