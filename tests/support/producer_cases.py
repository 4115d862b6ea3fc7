"""One table of calls for the producers of both languages, and what one database holds after them, to the byte."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import redis as redis_py

from producer import Call, Debounce, RateLimit, Retry, Throttle

FUNCTION = "tests.support.tasks.add"

_FORMS: dict[str, Any] = {
    "retry": lambda value: Retry(**value) if isinstance(value, dict) else value,
    "rate_limit": lambda value: RateLimit(**value),
    "throttle": lambda value: Throttle(**value),
    "debounce": lambda value: Debounce(**{_snake(name): given for name, given in value.items()}),
}
_RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{12}4[0-9a-f]{19}")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}000Z")


def in_javascript() -> list[dict[str, Any]]:
    """Every case as a job of `enqueueMany`."""
    cases = json.loads(Path(__file__).with_name("producer_cases.json").read_text())
    return [
        {"function": FUNCTION, "args": case["args"], **case.get("options", {}), **_id(case, number)}
        for number, case in enumerate(cases)
    ]


def in_python(jobs: list[dict[str, Any]]) -> list[Call]:
    """The same jobs for Python's `enqueue_many`."""
    return [_call(dict(job)) for job in jobs]


def held(redis: redis_py.Redis) -> dict[str, list[str]]:
    """Everything in the database, but for random ids, and moments, which are rounded to 100 s."""
    now = float(redis.time()[0])
    found: dict[str, list[str]] = {}
    for key in sorted(redis.scan_iter()):
        name, kind = _masked(key.decode()), redis.type(key)
        value: Any
        if kind == b"hash":
            value = {field.decode(): _field(content.decode(), now) for field, content in redis.hgetall(key).items()}
        elif kind == b"list":
            value = [_masked(item.decode()) for item in redis.lrange(key, 0, -1)]
        elif kind == b"set":
            value = sorted(_masked(item.decode()) for item in redis.smembers(key))
        elif kind == b"zset":
            rows = redis.zrange(key, 0, -1, withscores=True)
            value = sorted((_moment(score, now), _masked(item.decode())) for item, score in rows)
        else:
            raise AssertionError(f"{name} is of an odd type: {kind}")
        found.setdefault(name, []).append(
            json.dumps([value, round(redis.ttl(key), -2)], ensure_ascii=False, sort_keys=True)
        )
    return {name: sorted(values) for name, values in found.items()}


def _id(case: dict[str, Any], number: int) -> dict[str, str]:
    return {} if "id" in case else {"jobId": f"case-{number}"}


def _call(job: dict[str, Any]) -> Call:
    function, args = job.pop("function"), job.pop("args")
    options = {_snake(name): value for name, value in job.items()}
    return Call(
        function, *args, **{name: _FORMS.get(name, lambda value: value)(value) for name, value in options.items()}
    )


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def _moment(unix: float, now: float) -> float:
    """Relative to now, to 100 s, if it is near; as it is otherwise."""
    return round(unix - now, -2) + 0.0 if abs(unix - now) < 10_000 else unix


def _masked(text: str) -> str:
    return _DATE.sub("<date>", _RANDOM.sub("<random>", text))


def _field(text: str, now: float) -> str:
    if re.fullmatch(r"1[6-9]\d{8}\.\d{3}", text):
        return f"<{_moment(float(text), now)}>"
    return _masked(text)
