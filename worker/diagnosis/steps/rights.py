"""Part of `auth`: whether the user may run every command that the worker needs, by running a harmless form of each."""

from __future__ import annotations

from typing import Final

from worker.diagnosis.case import Case, Found
from worker.diagnosis.report import Finding
from worker.redis import needs
from worker.redis.needs import KEY_TTL_SECONDS
from worker.redis.rights import answers, code_of
from worker.redis.troubles import trouble

_SHOWN: Final = 12


def check_rights(case: Case) -> Found:
    """Try each need once; other errors (wrong type, out of memory, read-only) are not about rights."""
    key = case.key("rights")
    refusals: dict[str, str] = {}  # need → code
    (made,) = answers(case.redis, [("SET", key, "probe", "EX", str(KEY_TTL_SECONDS))])
    if code := code_of(made):
        refusals["SET"] = code
    tried = needs.forms(key, case.key("nothing"))
    if not isinstance(made, Exception):
        replies = answers(case.redis, [form for _, form in tried])
        replies += answers(case.redis, [("DEL", key)])
        refusals |= {need: code for (need, _), answer in zip(tried, replies, strict=False) if (code := code_of(answer))}
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


def _finding(refusals: dict[str, str]) -> Finding:
    names = ", ".join(name.replace("|", " ") for name in sorted(refusals)[:_SHOWN])
    names += f" and {len(refusals) - _SHOWN} more" * (len(refusals) > _SHOWN)
    code = "no_permission" if "no_permission" in refusals.values() else "unknown_command"
    return Finding.of(trouble(code), f"Refused: {names}.")
