"""Step `server`: which server is it, in which role?"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding, Status
from worker.redis.translate import translate
from worker.redis.troubles import trouble
from worker.settings import redis_url
from worker.text import counted, duration, text_of

#: The first version with BLMOVE and LPOP with a count.
OLDEST_REDIS: Final = (6, 2)
#: Field of INFO with a product's own version. Redis comes last, because the others show a redis_version too.
_PRODUCTS: Final = {
    "upstash_version": "Upstash",
    "dragonfly_version": "Dragonfly",
    "valkey_version": "Valkey",
    "redis_version": "Redis",
}


def check_server(case: Case) -> Found:
    """Read INFO, or HELLO's answer where INFO is refused: product, version, role, cluster."""
    found = Found("")
    case.facts = facts = _info(case, found)
    product, version = _product(case, facts)
    role = str(facts.get("role", ""))
    mode = str(facts.get("redis_mode", facts.get("server_mode", "")))
    replicas = facts.get("connected_slaves")
    found.facts = {"product": product, "version": version, "role": role, "mode": mode, "replicas": replicas}
    parts = [f"{product} {version or '(version unknown)'}", f"role {_role(role) or 'unknown'}"]
    parts += [counted(replicas, "replica")] if replicas is not None else []
    parts += ["cluster mode"] * _is_cluster(facts)
    if uptime := facts.get("uptime_in_seconds"):
        found.facts["uptime_seconds"] = uptime
        parts.append(f"up {duration(int(uptime))}")
    found.says = " · ".join(parts)
    _judge(case, found, version, role)
    return found


def _info(case: Case, found: Found) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = case.redis.info()
    except RedisError as error:
        reason = translate(error)
        if reason is None or reason.code not in ("no_permission", "unknown_command"):
            raise
        found.add(
            Status.OK,
            "INFO is refused: the worker does not need it, but memory, persistence and eviction cannot be checked.",
            "Allow +info for a full diagnosis, or see the provider's console.",
            reason.code,
        )
        return _hello(case)
    return facts


def _hello(case: Case) -> dict[str, Any]:
    """Read server, version, mode and role from HELLO, which every user may send."""
    with suppress(ResponseError):
        answer = case.redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
        facts = {text_of(name): text_of(value) for name, value in pairs}
        server = facts.get("server", "redis")
        return {
            f"{server}_version": facts.get("version", ""),
            "role": facts.get("role", ""),
            "redis_mode": facts.get("mode", ""),
        }
    return {}


def _product(case: Case, facts: dict[str, Any]) -> tuple[str, str]:
    for field, product in _PRODUCTS.items():
        if field in facts:
            return product, str(facts[field])
    return ("Upstash" if redis_url.is_upstash(case.there.host) else "Redis or similar"), ""


def _judge(case: Case, found: Found, version: str, role: str) -> None:
    product = found.facts["product"]
    oldest = {"Redis": OLDEST_REDIS}.get(product, ())
    if oldest and (numbers := tuple(map(int, re.findall(r"\d+", version)[:2]))) and numbers < oldest:
        found.findings.append(Finding.of(trouble("unknown_command"), f"It is {product} {version}, older than 6.2."))
    if role in ("slave", "replica"):
        found.findings.append(Finding.of(trouble("read_only")))
        if found.facts["mode"] != "cluster" and case.facts.get("master_link_status") == "down":
            found.add(Status.WARNING, "Its link to the primary is down.", "See whether the primary runs.")
    if _is_cluster(case.facts) and not re.search(r"\{.+\}", case.keys.prefix):
        found.findings.append(Finding.of(trouble("cluster_keys")))


def _is_cluster(facts: dict[str, Any]) -> bool:
    return str(facts.get("cluster_enabled", "")) == "1" or str(facts.get("redis_mode", "")) == "cluster"


def _role(role: str) -> str:
    return {"master": "primary", "slave": "replica"}.get(role, role)
