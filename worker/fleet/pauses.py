"""Pauses, which RQ lacks: of a queue, of a function, of a function on one queue, or of everything.

While one holds, no consumer begins what it is about; jobs that run end. RQ's own workers know nothing of it. What
claims make of it is in ``engine/pauses.py`` and ``redis/scripts/_pauses.lua``.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from worker.keys import Keys
from worker.redis import scripts
from worker.redis.client import Client
from worker.text import counted, duration, name_of, text_of

#: How the name begins under which a pause of an instance stands, where others have a function.
INSTANCE: Final = "@"
#: A pause of an instance, whose name no other will have, ends after this by itself.
INSTANCE_SECONDS: Final = 86_400.0
#: The longest pause that has an end, and the most characters of a reason.
LONGEST_SECONDS: Final = 366 * 86_400.0
MOST_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause; "" as `function` or `queue` means any. Moments are Unix seconds by the server's clock.

    A `function` that begins with `@` is an instance's name: that instance begins nothing.
    `until` is None where it has no end, `since` where nobody wrote it down. `parked` counts jobs that were put aside.
    """

    function: str
    queue: str
    who: str
    reason: str
    since: float | None
    until: float | None
    parked: int = 0

    @property
    def what(self) -> str:
        """Name what is paused, at the beginning of a sentence."""
        return named(self.function, self.queue)

    def closes(self, queue: str) -> bool:
        """Whether nothing is claimed from a queue because of it."""
        return not self.function and self.queue in ("", queue)

    def sentence(self, now: float) -> str:
        """Say what is paused, by whom, since when, until when and why; `now` is the server's time."""
        since = f" for {duration(max(0.0, now - self.since))}" if self.since is not None else ""
        end = f"It ends in {duration(max(0.0, self.until - now))}" if self.until is not None else "It has no end"
        waits = f", {counted(self.parked, 'job')} of it put aside" if self.parked else ""
        why = f": {self.reason}" if self.reason else ""
        verb = "are" if self.plural else "is"
        who = self.who or "somebody"
        return f"{self.what} {verb} paused{since}, by {who}{why}{waits}. {end}; `{self.command}` ends it."

    @property
    def instance(self) -> str:
        """The instance that is paused; "" for a pause of other things."""
        return self.function.removeprefix(INSTANCE) if self.function.startswith(INSTANCE) else ""

    @property
    def plural(self) -> bool:
        """Whether `what` is in the plural."""
        return not self.function and not self.queue

    @property
    def command(self) -> str:
        """The command that ends it."""
        if self.instance:
            return f"python -m worker resume --instance {self.instance}"
        options = f" --queue {self.queue}" if self.queue else ""
        return f"python -m worker resume{options}" + (f" --function {self.function}" if self.function else "")


def named(function: str, queue: str) -> str:
    """Name what a pause is about, at the beginning of a sentence."""
    if function.startswith(INSTANCE):
        return f"The instance {function.removeprefix(INSTANCE)}"
    if function:
        return f"The function {function}" + (f" on the queue {queue!r}" if queue else "")
    return f"The queue {queue!r}" if queue else "All queues"


def read(redis: Redis, keys: Keys, now: float) -> tuple[tuple[Pause, ...], dict[tuple[str, str], int]]:
    """Read the pauses that hold at `now`, the server's time, and how many jobs stand aside, by function and queue.

    Raises `RedisTrouble`; a key that holds something else pauses nothing.
    """
    client = Client.over(redis)
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.paused)
        pipe.smembers(keys.parked)
        entries, members = pipe.execute(raise_on_error=False)
    pairs = [name_of(member).partition(" ")[::2] for member in (members if isinstance(members, set | list) else ())]
    lengths: list[Any] = []
    if pairs:
        with client.pipeline(transaction=False) as pipe:
            for function, queue in pairs:
                pipe.llen(keys.parked_queue(function, queue).encode(errors="surrogateescape"))
            lengths = pipe.execute(raise_on_error=False)
    aside = {pair: length for pair, length in zip(pairs, lengths, strict=True) if isinstance(length, int)}
    return _held(entries, aside, now), aside


def now_of(redis: Redis) -> float:
    """Return the server's time (Unix seconds)."""
    seconds, micros = Client.over(redis).time()
    return float(seconds) + float(micros) / 1e6


def _held(entries: Any, counts: Mapping[tuple[str, str], int], now: float) -> tuple[Pause, ...]:
    """Return the pauses of the hash `entries` that hold at `now`, sorted; what nobody of us has written is left out."""
    found = []
    for name, value in (entries if isinstance(entries, dict) else {}).items():
        function, space, queue = name_of(name).partition(" ")
        end, _, about = text_of(value).partition(" ")
        if not space or not end.isdigit() or len(end) > 15 or 0 < int(end) <= now:
            continue
        facts = _facts(about)
        found.append(
            Pause(
                function,
                queue,
                _text(facts.get("who")),
                _text(facts.get("reason")),
                facts["since"] if isinstance(facts.get("since"), int | float) else None,
                float(end) or None,
                sum(
                    count
                    for (name_, queue_), count in counts.items()
                    if function and name_ == function and queue in ("", queue_)
                ),
            )
        )
    return tuple(sorted(found, key=lambda pause: (pause.queue, pause.function)))


def pause(
    redis: Redis, keys: Keys, *, function: str = "", queue: str = "", seconds: float | None, who: str, reason: str = ""
) -> str:
    """Pause; returns a sentence. A second pause of the same takes the place of the first.

    `function` is ``@`` and a name for an instance, which then begins nothing for a day at most.
    Raises ValueError with a sentence where that cannot be paused, and `RedisTrouble`.
    """
    _check(function, queue, seconds)
    if function.startswith(INSTANCE):
        seconds = min(seconds or INSTANCE_SECONDS, INSTANCE_SECONDS)
    client = Client.over(redis)
    about = json.dumps({"who": who, "reason": reason[:MOST_CHARACTERS], "since": now_of(client)})
    note = _note(function, queue) + (f" for {duration(seconds)}" if seconds is not None else "")
    note += f": {reason[:MOST_CHARACTERS]}" if reason else ""
    end = "" if seconds is None else seconds
    before, until = _call(client, keys, scripts.PAUSE, function, queue, end, about, who, secrets.token_hex(4), note)
    again = "was paused before; that is replaced" if before else "is paused"
    again = again.replace("is ", "are ").replace("was ", "were ") if not function and not queue else again
    ends = f"until {_moment(until)} UTC" if until else "until `resume`"
    begins = f"{named(function, queue)} {again}: no consumer begins such a job {ends}"
    if function.startswith(INSTANCE):
        begins = f"{named(function, queue)} {again}: it begins no job {ends}"
        return f"{begins}. Jobs that run end."
    return f"{begins}. Jobs that run end. RQ's own workers go on."


def resume(redis: Redis, keys: Keys, *, function: str = "", queue: str = "", who: str) -> str:
    """End the pause of exactly this, or every pause if neither is named; returns a sentence. Raises `RedisTrouble`."""
    everything = not function and not queue
    note = "everything" if everything else _note(function, queue)
    args = (function, queue, int(everything), who, secrets.token_hex(4), note)
    ended = _call(Client.over(redis), keys, scripts.RESUME, *args)
    if ended:
        return f"{counted(ended, 'pause')} ended." if everything else f"{named(function, queue)} goes on."
    left, _ = read(redis, keys, now_of(redis))
    if not left:
        return "Nothing is paused."
    others = "; ".join(one.what[0].lower() + one.what[1:] for one in left[:10])
    return f"{named(function, queue)} was not paused. What is: {others}."


def _check(function: str, queue: str, seconds: float | None) -> None:
    if function.startswith(INSTANCE) and (queue or function == INSTANCE):
        raise ValueError(
            "An instance is paused as a whole, by the name that `status` shows before the consumer's number."
        )
    if any(character.isspace() for character in function):
        raise ValueError(f"{function!r} is no function's name: write it as jobs do, jobs.mail.send.")
    if seconds is not None and not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError("A pause lasts between 1 second and 366 days; without an end it lasts until `resume`.")


def _call(client: Redis, keys: Keys, script: scripts.Script, *args: str | float) -> Any:
    return client.register_script(script.text)(args=[keys.prefix, "", *args])


def _note(function: str, queue: str) -> str:
    return " ".join(filter(None, (f"function {function}" if function else "", f"queue {queue}" if queue else ""))) or (
        "everything"
    )


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _facts(about: str) -> dict[str, Any]:
    try:
        facts = json.loads(about)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _text(value: object) -> str:
    return value[:MOST_CHARACTERS] if isinstance(value, str) else ""


def closed(pauses: Iterable[Pause], queue: str) -> bool:
    """Whether nothing is claimed from a queue."""
    return any(one.closes(queue) for one in pauses)
