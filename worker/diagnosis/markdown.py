"""A diagnosis to paste into an issue: without the host's name and addresses, which are nobody else's business."""

from __future__ import annotations

import ipaddress
from typing import Final

from worker.diagnosis.report import Report, Status

_MARKS: Final = {Status.OK: "✅", Status.WARNING: "⚠️", Status.FAILED: "❌", Status.SKIPPED: "➖"}
#: Hosts of these say which provider it is; the rest of the name is the customer's.
_PROVIDERS: Final = ("upstash.io", "render.com", "redislabs.com", "redns.redis-cloud.com", "amazonaws.com")


def markdown(report: Report) -> str:
    """Lay the report out as a table with the findings and the conclusion below."""
    lines = [
        f"**Redis diagnosis** of {report.at}, {report.seconds:.2f} s, exit code {report.exit_code}",
        "",
        "| step | result | time | what was seen |",
        "|---|---|---:|---|",
    ]
    lines += [
        f"| {step.title} | {_MARKS[step.status]} {step.status.value} | "
        f"{'' if step.status is Status.SKIPPED else f'{step.seconds * 1000:.0f} ms'} | {_cell(step.says)} |"
        for step in report.steps
    ]
    told = [
        f"- **{step.title}**: {finding.says}" + f" *Fix:* {finding.fix}" * bool(finding.fix)
        for step in report.steps
        for finding in step.findings
        if finding.status in (Status.WARNING, Status.FAILED)
    ]
    lines += ["", *told] if told else []
    lines += ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    lines += ["", f"**{report.conclusion}**"]
    return _anonymous("\n".join(lines), report)


def _anonymous(text: str, report: Report) -> str:
    """Put placeholders for the host and its addresses."""
    facts = {step.name: step.facts for step in report.steps}
    host = str(facts.get("url", {}).get("host", ""))
    names = facts.get("dns", {})
    addresses = [ip for kind in ("IPv4", "IPv6") for ip in names.get(kind, ()) if isinstance(names.get(kind), list)]
    for number, ip in enumerate(addresses, 1):
        if not ipaddress.ip_address(ip.partition("%")[0]).is_loopback:
            text = text.replace(ip, f"<address {number}>")
    if host and host != "localhost" and host not in addresses:
        provider = next((f".{name}" for name in _PROVIDERS if host.endswith(f".{name}")), "")
        text = text.replace(host, f"<host>{provider}")
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
