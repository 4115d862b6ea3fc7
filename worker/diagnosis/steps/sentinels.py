"""Steps `sentinel_1`, `sentinel_2`, … and `primary`, of a URL that names Sentinels: what each says, whom they name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from redis.exceptions import RedisError, ResponseError

from worker import queue
from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding, Status
from worker.redis.sentinel import Told, ask, fields, why_unknown
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble
from worker.text import counted, text_of


def check_sentinel(case: Case, number: int) -> Found:
    """Ask one Sentinel what the worker asks, and whether a failover could go well: quorum, replicas, the primary.

    What is wrong is a warning as long as another one answers: the step `primary` sums up.
    """
    target = case.there.sentinels[number]
    client = queue.sentinel_client(target.url)
    service = case.there.service
    try:
        told = ask(client, service)
        facts = fields(_answer(client, "MASTER", service))
        replicas = [fields(each) for each in _answer(client, "REPLICAS", service) if isinstance(each, list)]
        quorum = _answer(client, "CKQUORUM", service)
    except RedisError as error:
        case.silent.append(error)
        login = why_unknown([], [error]) == "sentinel_login"
        reason = trouble("sentinel_login") if login else translate(error) or trouble("unknown", type(error).__name__)
        found = Found(f"{target.at}: {'login rejected' if login else 'no answer'}")
        says = "" if login else f"{target.at} does not answer. "
        found.add(Status.WARNING, f"{says}{reason.trouble.sentence}", reason.trouble.fix, reason.code)
        return found
    finally:
        client.close()
    case.told.append(told)
    if told.address is None:
        return Found(f"{target.at}: unknown service", [_warning(trouble("sentinel_service"))])
    found = Found(f"{target.at} names {_at(told)}", facts=_facts(told, facts, replicas))
    if facts:
        sentinels = counted(found.facts["sentinels"], "Sentinel")
        found.says += f" · {counted(len(replicas), 'replica')} · quorum {found.facts['quorum']} of {sentinels}"
    _judge(found, told, facts, replicas, quorum)
    return found


def check_primary(case: Case) -> Found:
    """Take the newest configuration that a Sentinel tells; the next steps look at the primary that it names."""
    told = [answer for answer in case.told if answer.address is not None]
    if not told:
        return Found("unknown", [Finding.of(trouble(why_unknown(case.told, case.silent)))])
    newest = max(told, key=lambda answer: answer.epoch)
    assert newest.address is not None  # noqa: S101 — those without one were left out
    agreed = sum(answer.address == newest.address for answer in told)
    host, port = newest.address
    case.target = replace(case.there, host=host, port=port)
    found = Found(
        f"{_at(newest)}, named by {agreed} of {counted(len(case.there.sentinels), 'Sentinel')}",
        facts={"host": host, "port": port, "epoch": newest.epoch},
    )
    if agreed < len(told):
        found.add(
            Status.WARNING,
            "The Sentinels do not name the same primary.",
            "A failover is under way; if this lasts, one of them is cut off from the others: see their logs.",
            "failover",
        )
    return found


def _judge(found: Found, told: Told, facts: dict[str, str], replicas: list[dict[str, str]], quorum: object) -> None:
    flags = facts.get("flags", "")
    if "_down" in flags or "failover_in_progress" in flags:
        found.add(
            Status.WARNING,
            f"It says of {_at(told)}: {flags}.",
            "A failover is under way or due: this passes by itself if enough Sentinels agree.",
            "failover",
        )
    if "NOQUORUM" in text_of(quorum):
        found.add(
            Status.WARNING,
            "The Sentinels that it reaches are too few to fail over.",
            "Start the others, or let them reach each other; `SENTINEL CKQUORUM` says how many there are.",
        )
    working = [each for each in replicas if each.get("master-link-status") == "ok" and "down" not in each["flags"]]
    if facts and not working:
        found.add(
            Status.WARNING,
            "It knows no replica that is in step, so there is nothing to fail over to.",
            "Start a replica of the primary, or see why its link is down.",
        )


def _warning(reason: RedisTrouble) -> Finding:
    return Finding.of(reason, status=Status.WARNING)


def _answer(client: Any, *words: str) -> Any:
    """Return what a Sentinel answers, a refusal as text: only the first question must be allowed."""
    try:
        return client.execute_command("SENTINEL", *words)
    except ResponseError as error:
        return str(error)


def _facts(told: Told, facts: dict[str, str], replicas: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "primary": _at(told),
        "epoch": told.epoch,
        "flags": facts.get("flags", ""),
        "quorum": int(facts.get("quorum", 0)),
        "sentinels": int(facts.get("num-other-sentinels", 0)) + 1,
        "down_after_ms": int(facts.get("down-after-milliseconds", 0)),
        "replicas": [
            {
                "at": f"{each.get('ip')}:{each.get('port')}",
                "link": each.get("master-link-status", ""),
                "flags": each.get("flags", ""),
            }
            for each in replicas
        ],
    }


def _at(told: Told) -> str:
    return f"{told.address[0]}:{told.address[1]}" if told.address else ""
