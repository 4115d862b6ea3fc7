"""Part of `fitness`: do the server's limits suit a queue? Eviction, memory, persistence, clients, idle timeout."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from redis.exceptions import ResponseError

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding, Status
from worker.redis.troubles import trouble
from worker.text import size

#: Share of the memory limit above which a burst of jobs may not fit.
_FULL_SHARE: Final = 0.8
#: A stream's first node takes as much room as stream-node-max-bytes allows, 4 kB at most (0: 4 kB). Above this the room
#: is most of what a finished job takes.
_MOST_STREAM_ROOM: Final = 1024
#: A shorter idle timeout cuts the worker again and again: it checks its connections only every 30 s.
_SHORT_IDLE_SECONDS: Final = 60


def judge(case: Case, found: Found) -> None:
    """Judge what INFO (and CONFIG, where it is allowed) shows; what it does not show is not judged."""
    facts = case.facts
    _eviction(facts, found, _config(case, "maxmemory-policy"))
    _memory(facts, found)
    _results(facts, found, _config(case, "stream-node-max-bytes"))
    _persistence(facts, found, _config(case, "save"))
    _clients(case, found, _config(case, "maxclients"))
    _idle(found, _config(case, "timeout"))


def _config(case: Case, name: str) -> str | None:
    """Read one setting; None when the server or its provider does not show it."""
    with suppress(ResponseError):
        shown: dict[Any, Any] = case.redis.config_get(name)
        return shown.get(name)
    return None


def _eviction(facts: dict[str, Any], found: Found, configured: str | None) -> None:
    policy = facts.get("maxmemory_policy") or configured
    found.facts["eviction"] = policy
    if policy is None:
        found.add(
            Status.OK, "The eviction policy is not shown.", "Check in the provider's console that eviction is off."
        )
    elif policy != "noeviction":
        limited = int(facts.get("maxmemory") or 0) > 0
        found.add(
            Status.FAILED if limited else Status.WARNING,
            f"The eviction policy is {policy}: when memory runs out, the server deletes jobs and claims.",
            "Set maxmemory-policy to noeviction, in the provider's console or with CONFIG SET.",
            "eviction",
        )
    else:
        found.add(Status.OK, "Eviction policy noeviction.")


def _memory(facts: dict[str, Any], found: Found) -> None:
    if "used_memory" not in facts:
        return
    used, limit = int(facts["used_memory"]), int(facts.get("maxmemory") or 0)
    found.facts |= {"used_memory_bytes": used, "max_memory_bytes": limit or None}
    if not limit:
        found.add(Status.OK, f"Memory: {size(used)} used, no limit set.")
        return
    # More than the limit is no failure yet: client buffers count as used, but not against it. The write trial decides.
    words = f"Memory: {size(used)} of {size(limit)} used ({used / limit:.0%})."
    if used > _FULL_SHARE * limit:
        found.add(Status.WARNING, words, trouble("out_of_memory").trouble.fix, "memory_headroom")
    else:
        found.add(Status.OK, words)


def _results(facts: dict[str, Any], found: Found, configured: str | None) -> None:
    """RQ keeps each result in a stream of its own, in whose first node the server sets room aside."""
    if configured is None or not configured.isdigit():
        return
    room = int(configured)
    found.facts["stream_node_max_bytes"] = room
    if 0 < room <= _MOST_STREAM_ROOM:
        return
    limited = int(facts.get("maxmemory") or 0) > 0
    found.add(
        Status.WARNING if limited else Status.OK,
        f"A finished job takes about 5 kB of memory instead of 1.3: the server sets 4 kB aside for its result, however "
        f"small that is (stream-node-max-bytes {room}).",
        "If memory is short, set stream-node-max-bytes to 512, in the provider's console or with CONFIG SET.",
        "result_memory",
    )


def _persistence(facts: dict[str, Any], found: Found, save: str | None) -> None:
    if "aof_enabled" not in facts:
        return
    aof, snapshots = int(facts["aof_enabled"]) == 1, bool(save)
    found.facts |= {"aof": aof, "snapshots": snapshots if save is not None else None}
    if facts.get("rdb_last_bgsave_status") == "err" or facts.get("aof_last_write_status") == "err":
        found.findings.append(Finding.of(trouble("cannot_save"), "Its last attempt to save failed.", Status.WARNING))
    if aof or snapshots:
        found.add(Status.OK, f"Persistence: {'append-only file' if aof else 'snapshots'}.")
    elif save is not None:
        found.add(
            Status.WARNING,
            "Nothing is saved to disk: a restart of Redis loses every job.",
            "Turn on the append-only file (appendonly yes), or take a plan with persistence. Fine for development.",
            "no_persistence",
        )


def _clients(case: Case, found: Found, configured: str | None) -> None:
    now, limit = case.facts.get("connected_clients"), case.facts.get("maxclients") or configured
    if now is None or not limit or not str(limit).isdigit():
        return
    now, limit = int(now), int(limit)
    found.facts |= {"clients": now, "max_clients": limit, "worker_connections": case.connections}
    words = f"Clients: {now} of {limit}; one instance of the worker opens up to {case.connections}."
    if now + 2 * case.connections > limit:
        found.add(Status.WARNING, words, trouble("max_clients").trouble.fix, "client_headroom")
    else:
        found.add(Status.OK, words)


def _idle(found: Found, configured: str | None) -> None:
    if configured is None or not configured.isdigit():
        return
    seconds = int(configured)
    found.facts["idle_timeout_seconds"] = seconds
    if 0 < seconds < _SHORT_IDLE_SECONDS:
        found.add(
            Status.WARNING,
            f"The server closes connections that are idle for {seconds} s: the worker reconnects all the time.",
            "Set timeout to 0, or to 300 and more.",
            "idle_timeout",
        )
