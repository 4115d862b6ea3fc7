"""Step `auth`: does the server accept the user and the password, and what may that user do?"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from worker import queue
from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding, Status, quoted
from worker.diagnosis.steps.rights import check_rights
from worker.redis.translate import translate
from worker.redis.trouble import RedisTrouble
from worker.redis.troubles import trouble
from worker.settings import Settings

#: Codes with which the worker cannot connect, but perhaps a plainer client can, which then finds out the rest.
_PLAINER_HELPS = ("no_permission", "unknown_command", "unknown")


def check_auth(case: Case) -> Found:
    """Log in exactly as the worker does (HELLO 3, CLIENT SETNAME, SELECT), then try every command that it needs."""
    client = client_of(case)
    reason = _try(client)
    found = Found("")
    if reason is not None and reason.code in _PLAINER_HELPS:
        plainer = client_of(case, client_name=None, protocol=2)
        if _try(plainer) is None:
            found.findings.append(
                Finding.of(reason, f"The worker connects with HELLO 3 and CLIENT SETNAME. {quoted(reason)}".strip())
            )
            client, reason = plainer, None
            found.halt = False
    if reason is not None:
        client.close()
        return Found(_refusal(reason), [Finding.of(reason)])
    case.client = client
    found.says = _welcome(case)
    rights = check_rights(case)
    found.findings += rights.findings
    found.facts = rights.facts
    found.says += rights.says
    if found.findings:  # the next steps can still find more
        found.halt = False
    if not case.password_needed:
        _open_door(case, found)
    return found


def client_of(case: Case, **options: Any) -> Redis:
    """Make the worker's own client with this diagnosis' timeouts; `options` win."""
    settings = Settings.model_validate({"redis_url": case.url})
    client = queue.build_client(settings, client_name="worker.diagnosis")
    client.connection_pool.connection_kwargs.update(
        {"socket_timeout": case.patience, "socket_connect_timeout": case.patience, **options}
    )
    return client


def _try(client: Redis) -> RedisTrouble | None:
    try:
        client.ping()
    except (RedisError, OSError) as error:
        with suppress(RedisError, OSError):
            client.close()
        return translate(error) or trouble("unknown", type(error).__name__)
    except (AttributeError, TypeError, ValueError):  # redis-py fails on an answer to HELLO that has another shape
        return trouble("unknown", "not the answer to HELLO 3")
    return None


def _welcome(case: Case) -> str:
    target = case.there
    if not case.password_needed and target.user in ("", "default"):
        return "no password needed" + ", though the URL has one" * bool(target.password)
    return (
        "the password of the default user is right" if target.user in ("", "default") else "user and password are right"
    )


def _open_door(case: Case, found: Found) -> None:
    if any(address.is_public for address in case.addresses):
        found.add(
            Status.WARNING,
            "This server needs no password and has a public address: anyone who reaches it can change everything.",
            "Set a password (requirepass, or an ACL), or move it into a private network.",
            "no_password",
        )


def _refusal(reason: RedisTrouble) -> str:
    return {
        "no_auth": "no password given",
        "wrong_password": "user or password rejected",
        "needless_password": "a password where none is set",
        "bad_database": "no such database",
    }.get(reason.code, "login refused")


def denied(error: Exception) -> Finding:
    """Turn a command that the server refused into a warning."""
    reason = translate(error) or trouble("unknown", type(error).__name__)
    return Finding.of(reason, status=Status.WARNING)
