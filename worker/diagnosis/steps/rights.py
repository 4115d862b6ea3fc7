"""Part of `auth`: whether the user may run every command that the worker needs, by running a harmless form of each."""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import RedisError, ResponseError

from worker.diagnosis import needs
from worker.diagnosis.case import KEY_TTL_SECONDS, Case, Found
from worker.diagnosis.report import Finding
from worker.redis.translate import translate
from worker.redis.troubles import trouble

_SHOWN: Final = 12
_DENIED: Final = ("no_permission", "unknown_command")


def check_rights(case: Case) -> Found:
    """Try each need once; other errors (wrong type, out of memory, read-only) are not about rights."""
    key = case.key("rights")
    refusals: dict[str, str] = {}  # need → code
    (made,) = _answers(case, [("SET", key, "probe", "EX", str(KEY_TTL_SECONDS))])
    if code := _refusal(made):
        refusals["SET"] = code
    tried = needs.forms(key, case.key("nothing"))
    if not isinstance(made, Exception):
        answers = _answers(case, [form for _, form in tried])
        answers += _answers(case, [("DEL", key)])
        refusals |= {
            need: code for (need, _), answer in zip(tried, answers, strict=False) if (code := _refusal(answer))
        }
    elif not refusals:  # full, read-only…: without the key the forms could write something
        return Found(", rights not tried while writes are refused", facts={"denied": [], "tried": 1})
    else:
        return Found(
            ", rights not tried without SET", [_finding(refusals)], {"denied": ["SET"], "tried": 1}, halt=False
        )
    facts = {"denied": sorted(refusals), "tried": len(tried) + 1}
    if not refusals:
        return Found(f", all {len(tried) + 1} commands that the worker needs are allowed", facts=facts)
    return Found(
        f", {len(refusals)} of {len(tried) + 1} needed commands are refused", [_finding(refusals)], facts, halt=False
    )


def _answers(case: Case, commands: list[tuple[str, ...]]) -> list[Any]:
    """Send commands in one go; returns the answer to each, which may be an error."""
    connection: Any = case.redis.connection_pool.get_connection()
    try:
        for command in commands:
            connection.send_command(*command)
        return [_one(connection) for _ in commands]
    finally:
        case.redis.connection_pool.release(connection)


def _one(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _refusal(answer: Any) -> str:
    """Return the code of a refusal for lack of rights, "" for everything else."""
    reason = translate(answer) if isinstance(answer, RedisError) else None
    return reason.code if reason is not None and reason.code in _DENIED else ""


def _finding(refusals: dict[str, str]) -> Finding:
    names = ", ".join(name.replace("|", " ") for name in sorted(refusals)[:_SHOWN])
    names += f" and {len(refusals) - _SHOWN} more" * (len(refusals) > _SHOWN)
    code = "no_permission" if "no_permission" in refusals.values() else "unknown_command"
    return Finding.of(trouble(code), f"Refused: {names}.")
