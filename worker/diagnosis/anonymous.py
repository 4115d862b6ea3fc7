"""Hide the host's name and addresses in a diagnosis that others will read, in an issue or a log."""

from __future__ import annotations

import ipaddress
from typing import Final

from worker.diagnosis.report import Report

#: Domains of providers stay readable; the rest of such a host name belongs to the customer.
_PROVIDERS: Final = ("upstash.io", "render.com", "redislabs.com", "redns.redis-cloud.com", "amazonaws.com")


def anonymous(text: str, report: Report) -> str:
    """Put placeholders for the host and its addresses; loopback addresses identify nobody and stay."""
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
