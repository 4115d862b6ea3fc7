"""Hide the host's name and addresses in a diagnosis that others will read, in an issue or a log."""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from worker.diagnosis.report import Report

#: Domains of providers stay readable; the rest of such a host name belongs to the customer.
_PROVIDERS: Final = ("upstash.io", "render.com", "redislabs.com", "redns.redis-cloud.com", "amazonaws.com")


def anonymous(text: str, report: Report) -> str:
    """Put placeholders for the host and its addresses; loopback addresses identify nobody and stay."""
    facts = {step.name: step.facts for step in report.steps}
    host = str(facts.get("primary", {}).get("host", "") or facts.get("url", {}).get("host", ""))
    names = facts.get("dns", {})
    addresses = [ip for kind in ("IPv4", "IPv6") for ip in names.get(kind, ()) if isinstance(names.get(kind), list)]
    for number, ip in enumerate(addresses, 1):
        if not _is_loopback(ip):
            text = text.replace(ip, f"<address {number}>")
    for number, at in enumerate(_servers(facts), 1):
        if not _is_loopback(at):
            text = text.replace(at, f"<server {number}>")
    if host and not _is_loopback(host) and host not in addresses:
        provider = next((f".{name}" for name in _PROVIDERS if host.endswith(f".{name}")), "")
        text = text.replace(host, f"<host>{provider}")
    return text


def _servers(facts: dict[str, dict[str, Any]]) -> list[str]:
    """Return the hosts of Sentinels, and those that they name; the longest first, because one may begin another."""
    named = [*facts.get("url", {}).get("sentinels", ())]
    for step, told in facts.items():
        if step.startswith("sentinel_"):
            named += [told.get("primary", ""), *(replica["at"] for replica in told.get("replicas", ()))]
    return sorted({str(at).rpartition(":")[0] for at in named} - {""}, key=lambda host: (-len(host), host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"
