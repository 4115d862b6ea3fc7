"""The conclusion of a diagnosis: the most likely cause and the next step, in one sentence."""

from __future__ import annotations

from typing import Final

from worker.diagnosis.report import Finding, Status, StepReport

_NAMES: Final = ("Redis", "Upstash", "Valkey", "OpenSSL", "TLS")


def conclude(steps: list[StepReport]) -> str:
    """Name the likeliest failure, else the first warning, else that all is well."""
    if failures := _of(steps, Status.FAILED):
        return _sentence(_likeliest(failures))
    if warnings := _of(steps, Status.WARNING):
        return f"Redis works for the worker; look at this: {_sentence(warnings[0])}"
    looked = [step for step in steps if step.status is not Status.SKIPPED]
    return f"Redis is fit for the worker: {len(looked)} steps, nothing to do."


def _of(steps: list[StepReport], status: Status) -> list[Finding]:
    return [finding for step in steps for finding in step.findings if finding.status is status]


def _likeliest(failures: list[Finding]) -> Finding:
    """The first failure is the cause of the later ones, but a server's age explains commands that it lacks."""
    first = failures[0]
    return next((found for found in reversed(failures) if found.code == first.code == "unknown_command"), first)


def _sentence(finding: Finding) -> str:
    """Join cause and next step into one sentence, however many they are in the table."""
    cause, fix = _joined(finding.says), _joined(finding.fix)
    return f"{cause} — {_lowered(fix)}." if fix else f"{cause}."


def _joined(text: str) -> str:
    first, *rest = text.rstrip(".").split(". ")
    return "; ".join([first, *map(_lowered, rest)])


def _lowered(text: str) -> str:
    """Let a text begin small unless it begins with a name: of a thing in capitals, or of Redis."""
    is_word = text[1:2].islower() and not text.startswith(_NAMES)
    return text[0].lower() + text[1:] if is_word else text
