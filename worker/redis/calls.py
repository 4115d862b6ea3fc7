"""Send the scripts: by digest, several in one round trip, to a server that may have lost them.

Nothing here retries. A server that was restarted answers NOSCRIPT before it has done anything, so what it refused is
sent once more after it has been given the scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, TypeAlias

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

from worker.keys import Keys
from worker.redis import rights, scripts
from worker.redis.client import Client, raise_translated
from worker.redis.clock import ServerClock
from worker.redis.scripts import Script
from worker.redis.trouble import RedisTrouble

Value: TypeAlias = bytes | str | int | float
#: One command, word by word.
Command: TypeAlias = tuple[Any, ...]


class ScriptCalls:
    """The scripts on one server. `redis` must not decode responses; `prefix` is RQ's key prefix.

    Raises `RedisTrouble`; so does everything that is sent through its attribute `redis`.
    """

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.redis = Client.over(redis)
        self.prefix = prefix
        self.keys = Keys(prefix)
        self.heard_at = 0.0  #: when the server last answered (monotonic)
        self.clock = ServerClock()

    def call(self, script: Script, *args: Value, worker_name: str = "") -> Any:
        """Run one script; `worker_name` is "" where it concerns no single worker."""
        return self.run([self.command(script, (), worker_name, *args)])[0]

    def command(self, script: Script, keys: Sequence[str], worker_name: str, *args: Value) -> Command:
        """Return the command that runs a script, for `run` or a connection of the caller's own."""
        return ("EVALSHA", script.sha, len(keys), *keys, self.prefix, worker_name, *args)

    def queue(self, pipeline: Pipeline, script: Script, *args: Value, worker_name: str = "") -> None:
        """Add a script to somebody's transaction, and its loading: NOSCRIPT would come when all else is done."""
        pipeline.script_load(script.text)
        pipeline.execute_command(*self.command(script, (), worker_name, *args))  # type: ignore[no-untyped-call]

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip, return their replies, raise the first error among them.

        Which commands of a script were refused to us is asked where the server does not say so (Redis 6 and 7.0).
        """
        try:
            replies = self._send(commands)
        except UnicodeEncodeError:  # a name that is no UTF-8 (`text.name_of`); nothing was sent yet
            commands = [tuple(map(_as_it_came, command)) for command in commands]
            replies = self._send(commands)
        self.heard_at = monotonic()
        missing = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if missing:
            for script in scripts.ALL:
                self.redis.script_load(script.text)
            for index, reply in zip(missing, self._send([commands[index] for index in missing]), strict=True):
                replies[index] = reply
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception):
                if command[0] == "EVALSHA":
                    rights.name(self.redis, self.keys, scripts.BY_SHA[command[1]], reply)
                raise_translated(reply)
        return replies

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [self.redis.execute_command(*commands[0])]
            except NoScriptError as error:
                return [error]
            except RedisTrouble as error:
                if not error.refuses_command:
                    raise
                return [error]
        with self.redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            replies: list[Any] = pipeline.execute(raise_on_error=False)
            return replies


def _as_it_came(value: Any) -> Any:
    return value.encode(errors="surrogateescape") if isinstance(value, str) else value


def flat(fields: dict[str, Value]) -> list[Value]:
    """Return a hash's fields as a script takes them: field, value, …"""
    return [value for pair in fields.items() for value in pair]
