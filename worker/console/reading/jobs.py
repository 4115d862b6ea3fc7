"""Find jobs: by id, text of their arguments, function, queue, status and time. Changes nothing, unpickles nothing.

Redis has no index of jobs, so a search walks the lists and registries, the newest job of each first, as long as its
time lasts, says how much it has looked at, and goes on from its cursor. No call costs the server more than some
milliseconds.
"""

from __future__ import annotations

import fnmatch
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Final

from redis import Redis

from worker.engine.unread import function_of
from worker.keys import PARKED_QUEUE, Keys
from worker.redis import scripts
from worker.redis.client import Client
from worker.text import count_of, counted, moment_of, name_of, text_of

#: How long one page of a search takes at most, about.
BUDGET_SECONDS: Final = 0.2
#: Ids of one call: less than a millisecond of the server's time.
CHUNK: Final = 20
#: A larger payload is not searched; and bytes that one call returns at most, about.
MOST_PAYLOAD: Final = 100_000
MOST_BYTES: Final = 500_000
#: How much of a payload is read, as ARGV of the script: all of it to search it; of those on a search's way the name of
#: the function; of jobs that are known the same, in larger ones too, because they are few.
_ALL: Final = (MOST_PAYLOAD, 0)
_NAME: Final = (10_000, 0)
_HEAD: Final = (200_000, 4_000)
#: Bytes of a decompressed payload that are searched.
MOST_TEXT: Final = 1_000_000
#: Queues that a search without a queue's name looks at.
MOST_QUEUES: Final = 500

#: Status → the registries, or "queue", in which jobs of that status stand. In this order they are walked.
_PLACES: Final = {
    "started": ("wip",),
    "queued": ("queue",),
    "scheduled": ("scheduled",),
    "deferred": ("deferred",),
    "failed": ("failed",),
    "stopped": ("failed",),
    "finished": ("finished",),
    "canceled": ("canceled",),
}
STATUSES: Final = tuple(_PLACES)
_NAMES: Final = {"wip": "running", "queue": "waiting"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; "" and None mean any.

    `text`: an id, or a part of an id, of the arguments, of the error or the description, without regard to case.
    `function` may hold * and ?. `since` and `until` (Unix seconds) are about the last thing that happened to a job.
    """

    text: str = ""
    function: str = ""
    queue: str = ""
    status: str = ""
    since: float | None = None
    until: float | None = None

    @property
    def needs_payload(self) -> bool:
        """Whether payloads must be read whole."""
        return bool(self.text)


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. Moments are Unix seconds; `at` is the last one. `place`: waiting, running, scheduled, failed …

    `function` is "" where the payload is too large or unreadable to say. `size` is that of the payload, in bytes.
    """

    job_id: str
    queue: str
    function: str
    status: str
    place: str
    at: float | None
    created_at: float | None
    enqueued_at: float | None
    started_at: float | None
    ended_at: float | None
    attempts: int
    worker: str
    error: str
    description: str
    size: int


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs: `looked_at` of the newest `of`, earlier pages included; `cursor` goes on ("" = there are no more).

    `unread` counts the jobs whose payload was too large to search.
    """

    rows: tuple[JobRow, ...]
    looked_at: int
    of: int
    cursor: str
    unread: int = 0

    def sentence(self) -> str:
        """Say how much was looked at."""
        found = counted(len(self.rows), "job") + " found"
        if not self.cursor:
            looked = f"all of {counted(self.of, 'job')} looked at" if self.of else "there are none"
        else:
            looked = f"looked at the newest {self.looked_at:,} of {counted(self.of, 'job')} so far"
        large = f"; {counted(self.unread, 'payload')} too large to search" if self.unread else ""
        return f"{found}; {looked}{large}."


@dataclass(frozen=True, slots=True)
class _Place:
    kind: str
    queue: str  #: the name of the list or registry
    length: int

    def key(self, keys: Keys) -> bytes:
        name = keys.queue(self.queue) if self.kind == "queue" else keys.registry(self.kind, self.queue)
        return name.encode(errors="surrogateescape")

    def ids(self, redis: Redis, keys: Keys, first: int, count: int) -> list[str]:
        """Return ids, the newest first, from the `first` on."""
        key = self.key(keys)
        if self.kind == "queue":
            found: Any = redis.lrange(key, -(first + count), -(first + 1))
            return [name_of(member) for member in reversed(found)]
        found = redis.zrevrange(key, first, first + count - 1)
        ids = [name_of(member) for member in found]
        return [member.rpartition(":")[0] for member in ids] if self.kind == "wip" else ids


def search(redis: Redis, keys: Keys, wanted: Wanted, *, cursor: str = "", most: int = 50) -> JobPage:
    """Return up to `most` jobs that match, and where to go on. Raises `RedisTrouble`."""
    client = Client.over(redis)
    until = monotonic() + BUDGET_SECONDS
    places = _places(client, keys, wanted)
    of = sum(place.length for place in places)
    matches = _Matcher(wanted)
    rows: list[JobRow] = []
    unread = 0
    if wanted.text and not cursor:
        rows += [replace(row, place="found by its id") for row in rows_of(client, keys, [wanted.text])]
    exact = {row.job_id for row in rows}
    at, first = _start(places, cursor)
    before = sum(place.length for place in places[:at])
    while at < len(places):
        place = places[at]
        while first < place.length:
            ids = place.ids(client, keys, first, CHUNK)
            if not ids:
                break
            looked = _look(client, keys, ids, _ALL if wanted.needs_payload else _NAME)
            for job_id, facts in zip(ids, looked, strict=False):
                first += 1
                if not isinstance(facts, list) or job_id in exact:
                    continue
                unread += wanted.needs_payload and int(facts[10]) > MOST_PAYLOAD
                row = matches(job_id, place, facts)
                if row is not None:
                    rows.append(row)
                    if len(rows) >= most:
                        break
            if len(rows) >= most or monotonic() > until:
                return JobPage(tuple(rows), before + first, of, _cursor(places, at, first), unread)
        before += place.length
        at, first = at + 1, 0
    return JobPage(tuple(rows), of, of, "", unread)


def listed(redis: Redis, keys: Keys, kind: str, queue: str, *, first: int = 0, most: int = 50) -> JobPage:
    """Return the jobs of one list or registry (`kind`: waiting, running, scheduled …); of a queue the next one first.

    The cursor is the `first` of the next page.
    """
    client = Client.over(redis)
    (place,) = _measured(client, keys, [({"waiting": "queue", "running": "wip"}.get(kind, kind), queue)])
    if place.kind == "queue":
        found: Any = client.lrange(place.key(keys), first, first + most - 1)
        ids = [name_of(member) for member in found]
    else:
        ids = place.ids(client, keys, first, most)
    rows = tuple(
        _row(job_id, place, facts) if isinstance(facts, list) else _gone(job_id, place)
        for job_id, facts in zip(ids, _look_at_all(client, keys, ids), strict=True)
    )
    seen = min(first + len(ids), place.length)
    return JobPage(rows, seen, place.length, str(seen) if len(ids) == most and seen < place.length else "")


def rows_of(redis: Redis, keys: Keys, ids: Sequence[str]) -> tuple[JobRow, ...]:
    """Return some jobs by their ids; those that do not exist are missing."""
    place = _Place("", "", 0)
    looked = _look_at_all(Client.over(redis), keys, ids)
    return tuple(
        _row(job_id, place, facts) for job_id, facts in zip(ids, looked, strict=True) if isinstance(facts, list)
    )


def rows_for(redis: Redis, keys: Keys, ids: Sequence[str]) -> list[JobRow]:
    """Return a row for each id, in their order; `status` is "" where there is no such job."""
    place = _Place("", "", 0)
    looked = _look_at_all(Client.over(redis), keys, ids, _HEAD)
    return [
        _row(job_id, place, facts) if isinstance(facts, list) else _gone(job_id, place)
        for job_id, facts in zip(ids, looked, strict=True)
    ]


def _places(redis: Redis, keys: Keys, wanted: Wanted) -> list[_Place]:
    kinds = dict.fromkeys(kind for status, of in _PLACES.items() if wanted.status in ("", status) for kind in of)
    if wanted.queue:
        names = [wanted.queue]
        aside: Any = redis.sscan(keys.parked, count=MOST_QUEUES)[1]
        pairs = (name_of(member).partition(" ")[::2] for member in aside)
        names += [f"{PARKED_QUEUE}{queue}:{function}" for function, queue in pairs if queue == wanted.queue]
    else:
        members: Any = redis.sscan(keys.queues, count=2 * MOST_QUEUES)[1]
        names = sorted(name_of(member).removeprefix(keys.queue("")) for member in members)[:MOST_QUEUES]
    pairs_of = [(kind, name) for kind in kinds for name in names]
    return [place for place in _measured(redis, keys, pairs_of) if place.length]


def _measured(redis: Redis, keys: Keys, pairs: Sequence[tuple[str, str]]) -> list[_Place]:
    places = [_Place(kind, name, 0) for kind, name in pairs]
    with redis.pipeline(transaction=False) as pipe:
        for place in places:
            (pipe.llen if place.kind == "queue" else pipe.zcard)(place.key(keys))
        lengths = pipe.execute(raise_on_error=False)
    return [
        replace(place, length=length if isinstance(length, int) else 0)
        for place, length in zip(places, lengths, strict=True)
    ]


def _start(places: Sequence[_Place], cursor: str) -> tuple[int, int]:
    """Return the place and the rank in it at which a search goes on; past the end for a cursor of nowhere."""
    if not cursor:
        return 0, 0
    kind, _, rest = cursor.partition("|")
    first, _, queue = rest.partition("|")
    for at, place in enumerate(places):
        if (place.kind, place.queue) == (kind, queue):
            return at, count_of(first)
    return len(places), 0


def _cursor(places: Sequence[_Place], at: int, first: int) -> str:
    if first >= places[at].length:
        at, first = at + 1, 0
    return f"{places[at].kind}|{first}|{places[at].queue}" if at < len(places) else ""


def _look(redis: Redis, keys: Keys, ids: Sequence[str], read: tuple[int, int]) -> list[Any]:
    """Return what the script says of the first ids: as many as fit into one answer."""
    args: list[Any] = [
        keys.prefix,
        "",
        *read,
        MOST_BYTES,
        *(job_id.encode(errors="surrogateescape") for job_id in ids),
    ]
    rows: Any = redis.register_script(scripts.LOOK.text)(args=args)
    return list(rows)


def _look_at_all(redis: Redis, keys: Keys, ids: Sequence[str], read: tuple[int, int] = _NAME) -> list[Any]:
    found: list[Any] = []
    while len(found) < len(ids):
        found += _look(redis, keys, ids[len(found) : len(found) + CHUNK], read)
    return found


class _Matcher:
    """Tells whether a job is wanted, with as little work as that takes."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._function = re.compile(fnmatch.translate(wanted.function)).match if wanted.function else None
        literal = max(re.split(r"[*?\[\]]", wanted.function), key=len)
        self._head = literal.encode() if wanted.function.isascii() else b""
        self._needles = _needles(wanted.text)

    def __call__(self, job_id: str, place: _Place, facts: list[Any]) -> JobRow | None:
        """Return the job's row if it matches."""
        wanted, data = self._wanted, facts[11]
        if wanted.status and text_of(facts[0]) != wanted.status:
            return None
        if (self._needles or self._head) and not self._may_match(job_id, facts, data):
            return None
        row = _row(job_id, place, facts)
        if self._function is not None and not self._function(row.function):
            return None
        if wanted.since is not None and (row.at is None or row.at < wanted.since):
            return None
        if wanted.until is not None and (row.at is None or row.at > wanted.until):
            return None
        return row

    def _may_match(self, job_id: str, facts: list[Any], data: bytes) -> bool:
        plain = _plain(data, MOST_TEXT if self._needles else 4_000)
        if self._head and data and self._head not in plain:
            return False
        if not self._needles:
            return True
        texts: list[bytes] = [job_id.encode(errors="surrogateescape"), plain, facts[8], facts[9]]
        if not self._wanted.text.isascii():
            texts = [text.decode(errors="surrogateescape").lower().encode(errors="surrogateescape") for text in texts]
        return any(needle in text.lower() for text in texts for needle in self._needles)


def _needles(text: str) -> tuple[bytes, ...]:
    """Return the forms in which a text may stand in a payload: UTF-8, or escaped as in JSON."""
    if not text:
        return ()
    escaped = (json.dumps(form)[1:-1].lower().encode() for form in (text, text.lower(), text.upper()))
    return tuple(dict.fromkeys((text.lower().encode(errors="surrogateescape"), *escaped)))


def _plain(data: bytes, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, most)
    except zlib.error:
        return data[:most]


def _row(job_id: str, place: _Place, facts: list[Any]) -> JobRow:
    created, enqueued, started, ended = map(moment_of, facts[2:6])
    description = text_of(facts[9])
    function = function_of(facts[11]) if facts[11] else _named_in(description)
    return JobRow(
        job_id,
        text_of(facts[1]) or place.queue,
        function,
        text_of(facts[0]),
        _NAMES.get(place.kind, place.kind),
        max((one for one in (created, enqueued, started, ended) if one is not None), default=None),
        created,
        enqueued,
        started,
        ended,
        count_of(facts[6]),
        text_of(facts[7]),
        text_of(facts[8]),
        description,
        int(facts[10]),
    )


def _gone(job_id: str, place: _Place) -> JobRow:
    kind = _NAMES.get(place.kind, place.kind)
    return JobRow(job_id, place.queue, "", "", kind, None, None, None, None, None, 0, "", "", "it was deleted", 0)


def _named_in(description: str) -> str:
    """Return the function that RQ's description begins with, for payloads that are too large to read."""
    found = re.match(r"[A-Za-z_][\w.]*(?=\()", description)
    return found[0] if found else ""
