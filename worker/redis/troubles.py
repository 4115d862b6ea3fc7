"""Everything that can be wrong with Redis: the one table of sentences that logs, probes, tools and the docs quote."""

from __future__ import annotations

from typing import Final

from worker.redis.trouble import Eagerness, RedisTrouble, Trouble


def _table(*troubles: Trouble) -> dict[str, Trouble]:
    return {trouble.code: trouble for trouble in troubles}


#: Every kind of trouble, by code. Codes are stable: logs, metrics and alerts name them.
TROUBLES: Final = _table(
    Trouble(
        "bad_url",
        "REDIS_URL is not a Redis URL.",
        "It must look like redis://user:password@host:6379/0 or rediss://… for TLS; special characters in the password "
        "must be percent-encoded.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "dns",
        "The Redis host name does not resolve.",
        "Check the host in REDIS_URL: the database may have been deleted or renamed, or name resolution may be down.",
        Eagerness.RETRY,
    ),
    Trouble(
        "refused",
        "The Redis host refuses the connection.",
        "Nothing listens on that port: check host and port in REDIS_URL and whether the server runs.",
    ),
    Trouble(
        "unreachable",
        "The Redis host cannot be reached over the network.",
        "Check the network between here and there: region, private network, firewall or IP allow-list.",
    ),
    Trouble(
        "connect_timeout",
        "Redis did not accept the connection in time.",
        "A firewall or an IP allow-list that drops packets looks like this; so does a wrong host that exists.",
    ),
    Trouble(
        "read_timeout",
        "Redis did not answer in time.",
        "The server may be frozen, overloaded by a slow command, or cut off without a word.",
    ),
    Trouble(
        "reset",
        "The connection to Redis was cut.",
        "A restart or failover does this once. When it happens at once every time, a TLS server is being spoken to in "
        "plain text: use rediss:// instead of redis://.",
    ),
    Trouble(
        "plain_to_tls",
        "Plain text was spoken to a port that wants TLS.",
        "Use rediss:// instead of redis://.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "tls_to_plain",
        "TLS was spoken to a port that answers in plain text.",
        "Use redis:// instead of rediss://, or the server's TLS port.",
        Eagerness.RETRY,
    ),
    Trouble(
        "tls_certificate",
        "The TLS certificate of Redis is not trusted.",
        "It is expired, self-signed or from an unknown authority: name the provider's CA file with "
        "?ssl_ca_certs=/path/ca.pem in REDIS_URL.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "tls_hostname",
        "The TLS certificate of Redis is for another host name.",
        "Use the host name that the certificate names, not an address or an alias.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "tls",
        "The TLS handshake with Redis failed.",
        "A server that speaks plain text never answers it: use redis:// there. Else check which TLS versions it takes.",
        Eagerness.RETRY,
    ),
    Trouble(
        "no_auth",
        "Redis wants a password and REDIS_URL has none.",
        "Put it into the URL: rediss://default:PASSWORD@host:port.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "wrong_password",
        "Redis rejects the user name or the password.",
        "Copy the connection string from the provider again; if the secret was rotated, this worker goes on as soon as "
        "the server takes it, but a changed environment needs a restart.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "no_permission",
        "The Redis user may not run a command that the worker needs.",
        "Give the user the command and the keys in its ACL, or use the default user.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "unknown_command",
        "This Redis lacks a command that the worker needs, or does not let scripts run it.",
        "Use Redis 6.2 or newer, or Valkey, with no command renamed or turned off.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "cluster_keys",
        "This Redis is a cluster, and the worker's keys are spread over its nodes.",
        "Set RQ_KEY_PREFIX={rq}, here and for all producers, and let REDIS_URL name the node of that slot; or use a "
        "Redis without cluster mode.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "needless_password",
        "REDIS_URL has a password and this Redis has none set.",
        "Take the password out of the URL, or set one on the server.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "sentinel_away",
        "No Sentinel in REDIS_URL answers.",
        "Check their hosts and ports (26379 by default), whether they want TLS (sentinel_tls=true or false), and the "
        "network between here and there.",
    ),
    Trouble(
        "sentinel_login",
        "The Sentinels reject the login.",
        "They have users and passwords of their own: name them with ?sentinel_username=…&sentinel_password=… in "
        "REDIS_URL, or none; such a user needs the right to sentinel|get-master-addr-by-name and sentinel|master.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "sentinel_service",
        "The Sentinels know no service of that name.",
        "The name after the first / of REDIS_URL must be the one in their configuration: sentinel monitor NAME ….",
        Eagerness.RETRY,
    ),
    Trouble(
        "primary_away",
        "The primary that the Sentinels name cannot be reached.",
        "If it is down, they choose another after down-after-milliseconds and this passes by itself. Otherwise they "
        "name an address that means nothing here: see sentinel announce-ip, or resolve-hostnames.",
        Eagerness.PROMPTLY,
    ),
    Trouble(
        "failover",
        "The server that the Sentinels name is no primary.",
        "A failover is under way and this passes by itself; if not, see SENTINEL MASTER and the Sentinels' logs.",
        Eagerness.PROMPTLY,
    ),
    Trouble(
        "busy_script",
        "Redis is busy running somebody's script.",
        "Nothing else is answered until that script ends: see who sends long scripts to this server.",
    ),
    Trouble("loading", "Redis is still loading its data.", "It has just restarted; this passes by itself."),
    Trouble(
        "read_only",
        "This Redis accepts no writes: it is a replica.",
        "During a failover this passes by itself; otherwise REDIS_URL must name the primary.",
    ),
    Trouble(
        "cluster_down",
        "The Redis cluster or its primary is down.",
        "A failover is under way or has failed: see the provider's status page.",
    ),
    Trouble(
        "no_replicas",
        "Redis refuses writes because too few of its replicas are connected.",
        "A replica is away or far behind: see the provider's status page, or lower min-replicas-to-write.",
    ),
    Trouble(
        "out_of_memory",
        "Redis is out of memory and refuses writes.",
        "Use a larger plan, shorten result_ttl, or purge dead letters. Keep the eviction policy noeviction: any other "
        "deletes jobs.",
    ),
    Trouble(
        "cannot_save",
        "Redis refuses writes because it cannot save to disk.",
        "The server's disk is full or broken; its log says which.",
    ),
    Trouble(
        "max_clients",
        "Redis accepts no more connections.",
        "Use fewer processes or a larger plan; a deploy doubles the connections for a minute.",
        Eagerness.RETRY,
    ),
    Trouble(
        "pool_exhausted",
        "All connections that this process may have to Redis are in use.",
        "Look for job code that takes connections and does not give them back.",
    ),
    Trouble(
        "too_large",
        "Redis refuses a request or a value because of its size.",
        "Keep large arguments and results elsewhere and pass where they are; WORKER_MAX_RESULT_BYTES bounds results.",
        Eagerness.RETRY,
    ),
    Trouble(
        "wrong_type",
        "A key of RQ holds something that RQ never puts there.",
        "Rename or delete the key: another program uses the same names, or somebody wrote it by hand.",
        Eagerness.RETRY,
    ),
    Trouble(
        "over_quota",
        "The plan's quota of Redis is used up.",
        "Raise the budget or change to a fixed plan; WORKER_SCHEDULER_INTERVAL lowers what idling costs.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "bad_database",
        "The database number in REDIS_URL does not exist.",
        "Use /0, the only one on Upstash and in clusters.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "not_redis",
        "What answers there is not Redis.",
        "Check host and port: it may be an HTTP service or another database.",
        Eagerness.SLOWLY,
    ),
    Trouble(
        "no_descriptors",
        "This process has no file descriptors left.",
        "Raise the limit (ulimit -n), or look for job code that leaves files or sockets open.",
    ),
    Trouble("unknown", "Talking to Redis failed.", "See the detail.", Eagerness.RETRY),
)


def trouble(code: str, detail: str = "") -> RedisTrouble:
    """Make the trouble `code`."""
    return RedisTrouble(TROUBLES[code], detail)
