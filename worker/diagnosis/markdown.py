"""A diagnosis to paste into an issue: without the host's name and addresses, which are private."""

from __future__ import annotations

from typing import Final

from worker.diagnosis.anonymous import anonymous
from worker.diagnosis.report import Report, Status

_MARKS: Final = {Status.OK: "✅", Status.WARNING: "⚠️", Status.FAILED: "❌", Status.SKIPPED: "➖"}


def markdown(report: Report) -> str:
    """Lay the report out as a table with the findings and the conclusion below."""
    lines = [
        f"**Redis diagnosis** of {report.at}, {report.seconds:.2f} s, exit code {report.exit_code}",
        "",
        "| step | result | time | what was seen |",
        "|---|---|---:|---|",
    ]
    lines += [
        f"| {step.title} | {_MARKS[step.status]} {step.status.value} | {step.took()} | {_cell(step.says)} |"
        for step in report.steps
    ]
    findings = [
        f"- **{step.title}**: {finding.says}" + f" *Fix:* {finding.fix}" * bool(finding.fix)
        for step in report.steps
        for finding in step.findings
        if finding.status in (Status.WARNING, Status.FAILED)
    ]
    lines += ["", *findings] if findings else []
    lines += ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    lines += ["", f"**{report.conclusion}**"]
    return anonymous("\n".join(lines), report)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
