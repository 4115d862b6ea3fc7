"""What the limits of Netlify, Render and Upstash mean for this Redis."""

from __future__ import annotations

from typing import Any, Final

from worker.diagnosis.case import Case
from worker.settings import redis_url

#: https://docs.netlify.com/functions/overview/: a synchronous function must have answered by then.
NETLIFY_SECONDS: Final = 10
#: A function that starts cold connects, shakes hands twice (TLS), logs in and enqueues in two round trips.
_COLD_ROUND_TRIPS: Final = 6
#: Reaching Redis is worth a note when it takes more than this share of a function's time.
_NOTED_SHARE: Final = 0.05
#: Upstash closes idle connections after this (its blog of 2021-04-01; its documentation names no figure).
_UPSTASH_IDLE_SECONDS: Final = 310


def notes(case: Case, facts: dict[str, dict[str, Any]]) -> list[str]:
    """Return a sentence for each limit that matters; `facts` are the steps' facts by name."""
    if case.target is None:
        return []
    return [*_netlify(facts), *_render(case, facts), *_upstash(case, facts)]


def _netlify(facts: dict[str, dict[str, Any]]) -> list[str]:
    trip = facts.get("latency", {}).get("p50_ms")
    if trip is None:
        return []
    cold = _COLD_ROUND_TRIPS * trip / 1000
    found = []
    if cold > _NOTED_SHARE * NETLIFY_SECONDS:
        found.append(
            f"Netlify: functions have {NETLIFY_SECONDS} s; one as far away as this machine needs about {cold:.1f} s to "
            f"connect and enqueue."
        )
    limit = facts.get("fitness", {}).get("max_clients")
    if limit is not None and limit < 100:
        found.append(
            f"Netlify: each function that runs holds a connection of its own, and this server accepts {limit}: let "
            f"functions use the REST API, or close their connections."
        )
    return found


def _render(case: Case, facts: dict[str, dict[str, Any]]) -> list[str]:
    target = case.there
    on_render = "RENDER" in case.environ
    found = []
    if target.host.endswith(".render.com") and on_render:
        found.append(
            "Render: the URL is the external one; the internal one (redis://red-…) is nearer and needs no TLS."
        )
    if target.host.startswith("red-") and "." not in target.host and not on_render:
        found.append(
            "Render: names like red-… only resolve inside Render's network; from elsewhere use the external URL."
        )
    if (target.host.startswith("red-") or target.host.endswith(".render.com")) and not facts.get("fitness", {}).get(
        "aof", True
    ):
        found.append("Render: free Key Value instances keep nothing on disk; each restart loses the queue.")
    return found


def _upstash(case: Case, facts: dict[str, dict[str, Any]]) -> list[str]:
    if not (redis_url.is_upstash(case.there.host) or facts.get("server", {}).get("product") == "Upstash"):
        return []
    idle = (
        f"Upstash: idle connections are closed after about {_UPSTASH_IDLE_SECONDS} s; the worker waits at most 280 s "
        f"at a time, so its connections stay open."
    )
    bill = (
        "Upstash: pay-per-command plans bill waiting, too; WORKER_SCHEDULER_INTERVAL is 15 s there by default. Keep "
        "eviction off."
    )
    return [idle, bill]
