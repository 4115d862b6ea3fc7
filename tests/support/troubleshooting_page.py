"""docs/troubleshooting.md: the parts that are generated from the code and the captures. `make docs` renews them."""

from __future__ import annotations

from typing import Any, Final

from tests.support.captures import FOLDER
from tests.support.service import ROOT
from tests.support.trouble_page import put
from worker.diagnosis.course import PRIMARY, SENTINEL, STEPS
from worker.diagnosis.report import Finding, Report, StepReport
from worker.diagnosis.steps.sentinels import check_primary, check_sentinel
from worker.keys import Keys
from worker.redis.needs import acl_rules
from worker.redis.troubles import TROUBLES

PAGE: Final = ROOT / "docs" / "troubleshooting.md"
#: What people see of each trouble elsewhere (redis-py, node, redis-cli, the server), and the step that finds it.
SYMPTOMS: Final[dict[str, tuple[str, str]]] = {
    "bad_url": ("`ValueError: Redis URL must specify one of the following schemes`, `Port could not be cast`", "url"),
    "dns": (
        "`Error -2 … Name or service not known`, `Temporary failure in name resolution`, `getaddrinfo ENOTFOUND`",
        "dns",
    ),
    "too_large": (
        "`max request size exceeded`, `Protocol error: invalid bulk length`; a job ends `outcome_refused`",
        "",
    ),
    "wrong_type": ("`WRONGTYPE Operation against a key holding the wrong kind of value`; `queue.unusable`", "rq"),
    "refused": ("`Error 111 … Connection refused`, `ECONNREFUSED`", "tcp"),
    "unreachable": ("`Error 101 … Network is unreachable`, `No route to host`, `EHOSTUNREACH`", "tcp"),
    "connect_timeout": ("`Timeout connecting to server`, `ETIMEDOUT`", "tcp"),
    "read_timeout": ("`Timeout reading from socket`; everything hangs", "redis"),
    "reset": ("`Connection closed by server`, `Connection reset by peer`, `ECONNRESET`, `Broken pipe`", "redis"),
    "plain_to_tls": ("`Protocol Error … \\x15`, `ECONNRESET` at once on every try", "redis"),
    "tls_to_plain": ("`SSL: WRONG_VERSION_NUMBER`, `_ssl.c: The handshake operation timed out`", "tls"),
    "tls_certificate": ("`CERTIFICATE_VERIFY_FAILED: certificate has expired`, `self-signed certificate`", "tls"),
    "tls_hostname": ("`CERTIFICATE_VERIFY_FAILED: Hostname mismatch`, `ERR_TLS_CERT_ALTNAME_INVALID`", "tls"),
    "tls": ("`SSLV3_ALERT_HANDSHAKE_FAILURE`, `TLSV1_ALERT_PROTOCOL_VERSION`", "tls"),
    "no_auth": ("`NOAUTH Authentication required`", "auth"),
    "wrong_password": ("`WRONGPASS invalid username-password pair`, `ERR invalid password`", "auth"),
    "no_permission": ("`NOPERM this user has no permissions to run the '…' command`", "auth"),
    "unknown_command": ("`ERR unknown command`", "auth"),
    "cluster_keys": ("`MOVED 1234 host:port`, `CROSSSLOT Keys in request don't hash to the same slot`", "server"),
    "needless_password": ("`AUTH <password> called without any password configured`", "auth"),
    "sentinel_away": ("`MasterNotFoundError: No master found`, with every Sentinel", "primary"),
    "sentinel_login": ("`NOAUTH`, `WRONGPASS`, `NOPERM` from a Sentinel", "primary"),
    "sentinel_service": ("`ERR No such master with that name`, `(nil)` for get-master-addr-by-name", "primary"),
    "primary_away": ("`Connection refused`, `Timeout connecting to server`, of the address that Sentinels name", "tcp"),
    "failover": ("`The previous master is now a slave`", "server"),
    "busy_script": ("`BUSY Redis is busy running a script`", "redis"),
    "loading": ("`LOADING Redis is loading the dataset in memory`", "redis"),
    "read_only": ("`READONLY You can't write against a read only replica`", "server"),
    "cluster_down": ("`CLUSTERDOWN`, `MASTERDOWN Link with MASTER is down`, `TRYAGAIN`", "fitness"),
    "no_replicas": ("`NOREPLICAS Not enough good replicas to write`", "fitness"),
    "out_of_memory": (
        "`OOM command not allowed when used memory > 'maxmemory'`, `ERR DB capacity quota exceeded`",
        "fitness",
    ),
    "cannot_save": ("`MISCONF Redis is configured to save RDB snapshots, but …`", "fitness"),
    "max_clients": ("`ERR max number of clients reached`, `ERR max concurrent connections exceeded`", "redis"),
    "pool_exhausted": ("`MaxConnectionsError: Too many connections`", ""),
    "over_quota": ("`ERR max requests limit exceeded`, `ERR max daily request limit exceeded`", "redis"),
    "bad_database": ("`ERR DB index is out of range`, `SELECT is not allowed in cluster mode`", "auth"),
    "not_redis": ("`InvalidResponse: Protocol Error: b'HTTP/1.1 400 …'`", "redis"),
    "no_descriptors": ("`OSError: [Errno 24] Too many open files`", ""),
    "unknown": ("anything else", ""),
}
#: The captures in the page, in its order, with what they show.
CAPTURES: Final = {
    "good": "A good server.",
    "deleted-host": "The host is gone: this is what made the team write the tool.",
    "firewall": "Packets are dropped: a firewall, or an IP allow-list.",
    "plain-to-tls": "`redis://` on a server that wants TLS.",
    "expired-certificate": "An expired certificate.",
    "wrong-password": "A wrong password.",
    "acl": "A user who may not run everything.",
    "frozen": "A server that is frozen.",
    "replica": "A replica.",
    "evicting": "A server that deletes jobs when it is full.",
    "full-memory": "A server that is full.",
    "loading": "A server that has just restarted.",
    "old-server": "A server that is too old (a stand-in that answers as Redis 5 does).",
    "blip": "A server that is restarted while it is watched.",
    "service-tester": "The services around the worker.",
}


def symptoms() -> str:
    """The table from what one sees to what to do."""
    titles = {step.name: step.title for step in (*STEPS, PRIMARY)}
    lines = ["| You see | Step | Code | Cause | Fix |", "|---|---|---|---|---|"]
    for code, trouble in TROUBLES.items():
        seen, step = SYMPTOMS[code]
        lines.append(f"| {seen} | {titles.get(step, '–')} | `{code}` | {trouble.sentence} | {trouble.fix} |")
    return "\n".join(lines)


def steps() -> str:
    """The table of steps with their exit codes."""
    lines = ["| Step | Name in JSON | Exit code when it is the first to fail | What it does |", "|---|---|---:|---|"]
    for step in STEPS:
        does = (step.check.__doc__ or "").partition("\n")[0]
        if step.name == "dns":
            words = (check_sentinel.__doc__ or "").partition("\n")[0], (check_primary.__doc__ or "").partition("\n")[0]
            lines.append(
                f"| {SENTINEL.title} 1, 2, … | `{SENTINEL.name}_1`, `_2`, … | – | With Sentinels: {words[0]} |"
            )
            lines.append(f"| {PRIMARY.title} | `{PRIMARY.name}` | {PRIMARY.code} | With Sentinels: {words[1]} |")
        lines.append(f"| {step.title} | `{step.name}` | {step.code} | {does} |")
    return "\n".join(lines)


def acl() -> str:
    """The command that makes a user with the needed rights alone."""
    first, channel, *rights = acl_rules(Keys("rq"))
    return f"```\nACL SETUSER worker on >PASSWORD {first} {channel} {' '.join(rights)}\n```"


def schema() -> str:
    """The fields of the JSON, from the models."""
    lines = ["| Field | Type | Meaning |", "|---|---|---|"]
    for where, model in (("", Report), ("steps[].", StepReport), ("steps[].findings[].", Finding)):
        fields: dict[str, dict[str, Any]] = model.model_json_schema()["properties"]
        for name, facts in fields.items():
            told = facts.get("description", "")
            kind = facts.get("type", "text of ok, warning, failed, skipped")
            lines.append(f"| `{where}{name}` | {kind} | {told} |")
    return "\n".join(lines)


def captures() -> str:
    """The captures, each folded under what it shows."""
    parts = []
    for name, title in CAPTURES.items():
        text = (FOLDER / f"{name}.txt").read_text().rstrip()
        parts.append(f"<details><summary>{title}</summary>\n\n```\n{text}\n```\n\n</details>")
    return "\n\n".join(parts)


PARTS: Final = {"symptoms": symptoms, "steps": steps, "acl": acl, "schema": schema, "captures": captures}


def write() -> None:
    """Renew every generated part."""
    page = PAGE.read_text()
    for name, make in PARTS.items():
        page = put(page, name, make())
    PAGE.write_text(page)


if __name__ == "__main__":
    write()
