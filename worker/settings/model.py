"""Every setting of the service: its type, bounds and default, and the words that describe it.

Secrets are `SecretStr` and never appear in a `repr`. ``load.py`` reads the environment into this.
"""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr

from worker.logs import FORMATS, LEVELS
from worker.retry import ISOLATIONS
from worker.settings import secrets
from worker.settings.monitor import MonitorSettings
from worker.settings.monitor import wants as _wants
from worker.settings.pace import Pace
from worker.settings.shapes import (
    PRELOADS,
    Age,
    ClassNames,
    Dsn,
    Format,
    InstanceName,
    Isolation,
    Level,
    ModuleNames,
    Origins,
    Prefix,
    Preload,
    QueueName,
    QueueNames,
    Rate,
    SecretNames,
    SerializerNames,
    Token,
)


class Settings(MonitorSettings):
    """What the service runs with. Attributes are the variables' names in lower case; times are seconds."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )

    redis_url: SecretStr | None = Field(
        None,
        description="Where Redis is: redis://, rediss:// (TLS), unix:// or redis+sentinel://. Required, except for "
        "`make run`",
        json_schema_extra=_wants("a URL like redis://host:6379/0", "rediss://default:PASSWORD@host:6379", secret=True),
    )
    worker_queues: QueueNames = Field(
        ("default",),
        description="Queues to work on, highest priority first",
        json_schema_extra=_wants("queue names separated by commas, each once", "high,default"),
    )
    worker_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Consumers: processes that run jobs. Default: WEB_CONCURRENCY, else one per CPU (RENDER_CPU_COUNT)",
        json_schema_extra=_wants("a whole number from 1 to 64", "2"),
    )
    worker_threads: int = Field(
        1,
        ge=1,
        le=256,
        description="Jobs that one consumer runs at the same time; use more than 1 for jobs that wait for I/O",
        json_schema_extra=_wants("a whole number from 1 to 256", "8"),
    )
    worker_isolation: Isolation = Field(
        "process",
        description="Where jobs run: process, a long-lived consumer; job, a fork of it for each job",
        json_schema_extra=_wants(f"one of {', '.join(ISOLATIONS)}", "job"),
    )
    worker_job_secrets: SecretNames = Field(
        (),
        description="Secrets of the service that jobs in forks find in their environment; others are taken out of it",
        json_schema_extra=_wants(f"some of {', '.join(secrets.NAMES)}, separated by commas", "REDIS_URL"),
    )
    worker_job_modules: ModuleNames = Field(
        ("jobs",),
        description="Packages whose functions may run; a job never makes the worker import anything else",
        json_schema_extra=_wants(
            "dotted names of your packages separated by commas, none of Python's own", "jobs,billing.jobs"
        ),
    )
    worker_preload: Preload = Field(
        "auto",
        description="Import job modules once before the consumers are forked: true, false, or auto, unless one opens "
        "sockets or threads",
        json_schema_extra=_wants(f"one of {', '.join(PRELOADS)}", "false"),
    )
    worker_serializers: SerializerNames = Field(
        ("json", "pickle"),
        description="Payload formats that are accepted; pickles may name only allow-listed classes",
        json_schema_extra=_wants("json, pickle or both", "json,pickle"),
    )
    worker_pickle_classes: ClassNames = Field(
        (),
        description="Classes besides those of the job packages and plain data that pickles may hold",
        json_schema_extra=_wants(
            "dotted names of classes that hold data, separated by commas; none of Python's own that do something, such "
            "as subprocess.Popen",
            "shop.models.Order,http.cookies.SimpleCookie",
        ),
    )
    worker_max_jobs: int = Field(
        0,
        ge=0,
        description="Replace a consumer after this many jobs; 0 = never",
        json_schema_extra=_wants("a whole number, 0 or more", "1000"),
    )
    worker_max_memory_mb: int = Field(
        0,
        ge=0,
        description="Replace a consumer that uses more than this many MB after a job; 0 = never",
        json_schema_extra=_wants("a whole number of megabytes, 0 or more", "300"),
    )
    worker_max_payload_bytes: int = Field(
        20_000_000,
        ge=1,
        le=512_000_000,
        description="The largest payload, in bytes when it is decompressed; a job with a larger one is a dead letter",
        json_schema_extra=_wants("a whole number of bytes, 1 or more", "20000000"),
    )
    worker_max_result_bytes: int = Field(
        4_000_000,
        ge=0,
        le=512_000_000,
        description="The most that a job may return, or save in its meta, in bytes as Redis holds it. 0 = any",
        json_schema_extra=_wants("a whole number of bytes", "4000000"),
    )
    worker_max_crashes: int = Field(
        3,
        ge=1,
        description="How many processes one job may crash before it becomes a dead letter",
        json_schema_extra=_wants("a whole number, 1 or more", "3"),
    )
    worker_retry_attempts: int = Field(
        0,
        ge=0,
        le=1000,
        description="Attempts, including the first, of a job without a retry policy of its own; 0 = one, as in RQ",
        json_schema_extra=_wants("a whole number from 0 to 1000", "5"),
    )
    worker_retry_base: float = Field(
        2.0,
        ge=0,
        le=86400,
        description="Longest wait in seconds before attempt 2 of a job without a retry policy; then it doubles",
        json_schema_extra=_wants("seconds from 0 to 86400", "2"),
    )
    worker_retry_cap: float = Field(
        600.0,
        ge=0,
        le=7 * 86400,
        description="Longest wait in seconds that this doubling reaches",
        json_schema_extra=_wants("seconds from 0 to 604800", "600"),
    )
    worker_max_handbacks: int = Field(
        10,
        ge=1,
        description="How many stops of the service may interrupt one job before it becomes a dead letter",
        json_schema_extra=_wants("a whole number, 1 or more", "10"),
    )
    worker_unknown_grace: float = Field(
        0.0,
        ge=0,
        le=86400,
        description="Seconds that a job of an unknown function waits for a release that has it. Default on Render: 600",
        json_schema_extra=_wants("seconds from 0 to 86400", "600"),
    )
    worker_shutdown_grace: float = Field(
        25.0,
        ge=0,
        le=300,
        description="Seconds that running jobs get after SIGTERM; below the platform's own limit (Render: 30)",
        json_schema_extra=_wants("seconds from 0 to 300", "25"),
    )
    worker_unhealthy_exit: float = Field(
        0.0,
        ge=0,
        description="End the service, to be restarted, after its /healthz has failed for this many seconds; 0 = never",
        json_schema_extra=_wants("seconds, 0 or more; 0 where the platform probes", "300"),
    )
    worker_scheduler_interval: float = Field(
        1.0,
        ge=0,
        description="Seconds between looks for due jobs; 0 = only those scheduled here. Default: 1, on Upstash 15",
        json_schema_extra=_wants("seconds, 0 or more", "15"),
    )
    worker_history_interval: float = Field(
        10.0,
        ge=0,
        le=3600,
        description="Seconds between a consumer's entries in the functions' history; 0 = none. Default: 10, Upstash 60",
        json_schema_extra=_wants("seconds from 0 to 3600", "60"),
    )
    worker_allow_private_addresses: bool = Field(
        False,
        description="Allow jobs to fetch from private and loopback addresses; for development only",
        json_schema_extra=_wants("true or false", "false"),
    )
    worker_callback_origins: Origins = Field(
        (),
        description="Sites that callbacks and RQ's webhooks may go to, like https://me.example; empty = any public one",
        json_schema_extra=_wants("sites without a path, separated by commas", "https://me.example"),
    )
    dead_letter_queue: QueueName = Field(
        "dead-letter",
        description="Queue that holds the dead letters; no consumer reads it",
        json_schema_extra=_wants("a queue name that is not in WORKER_QUEUES", "dead-letter"),
    )
    dead_letter_max_age: Age = Field(
        30 * 86400,
        ge=60,
        le=3650 * 86400,
        description="How long dead letters are kept: seconds, or with a unit (90m, 12h, 30d)",
        json_schema_extra=_wants("a minute to ten years, like 30d, 12h or 86400", "30d"),
    )
    dead_letter_max_jobs: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="How many dead letters are kept; the oldest go first",
        json_schema_extra=_wants("a whole number from 1 to 10000000", "10000"),
    )
    dead_letter_alert_rate: Rate | None = Field(
        None,
        description="Send an alert when this many dead letters of one kind come within this time; empty = no alerts",
        json_schema_extra=_wants("a number and a time, like 10/h or 5/15m", "10/h"),
    )
    dead_letter_alert_url: SecretStr | None = Field(
        None,
        description="URL that gets these alerts, signed with NOTIFY_SECRET (see jobs.notifications.notify)",
        json_schema_extra=_wants("an https:// URL", "https://hooks.example.com/dead-letters", secret=True),
    )
    health_host: str = Field(
        "0.0.0.0",  # noqa: S104 — a probe comes from outside the container
        min_length=1,
        description="Address on which the health endpoint listens",
        json_schema_extra=_wants("an address of this machine", "127.0.0.1"),
    )
    health_port: int = Field(
        8080,
        ge=0,
        le=65535,
        description="Port of the health endpoint; 0 = none. Default: PORT, else 8080",
        json_schema_extra=_wants("a port number from 0 to 65535", "8080"),
    )
    metrics_token: Token | None = Field(
        None,
        description="Bearer token that /metrics and the probes' details take. Without one /metrics names no queue",
        json_schema_extra=_wants("16 characters or more, ASCII and no blanks", "openssl rand -hex 16", secret=True),
    )
    log_level: Level = Field(
        "INFO",
        description="Lowest level that is logged",
        json_schema_extra=_wants(f"one of {', '.join(LEVELS)}", "INFO"),
    )
    log_format: Format = Field(
        "json",
        description="Format of the log: json, or console for people. Default: console on a terminal, else json",
        json_schema_extra=_wants(f"one of {', '.join(FORMATS)}", "json"),
    )
    sentry_dsn: Dsn | None = Field(
        None,
        description="Sentry DSN to which errors are reported; empty = no reports, unless jobs set sentry_sdk up",
        json_schema_extra=_wants("a Sentry DSN URL", "https://KEY@o0.ingest.sentry.io/0", secret=True),
    )
    sentry_traces_sample_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of jobs that are sent to Sentry as traces, from 0 to 1; 0 = none",
        json_schema_extra=_wants("a number from 0 to 1", "0.1"),
    )
    notify_secret: SecretStr | None = Field(
        None,
        description="Secret that signs the callbacks of jobs.notifications.notify",
        json_schema_extra=_wants("a secret text", "a-long-random-text", secret=True),
    )
    rq_key_prefix: Prefix = Field(
        "rq",
        description="RQ's key prefix; {rq} keeps all keys in one Redis Cluster slot",
        json_schema_extra=_wants("letters, digits and _ . : - { }", "{rq}"),
    )
    release: str | None = Field(
        None,
        description="Deployed commit; set by Render",
        json_schema_extra=_wants("a commit id", "3f2a9c1", variable="RENDER_GIT_COMMIT"),
    )
    instance: InstanceName = Field(
        "",
        description="Name of this instance in worker names; set by Render, else the host name",
        json_schema_extra=_wants("letters, digits, . _ and -", "srv-abc-xyz12", variable="RENDER_INSTANCE_ID"),
    )

    @property
    def callback_origins(self) -> tuple[str, ...]:
        """The sites to which requests may go on a producer's word; () = any public one. Alerts may go to theirs."""
        if not self.worker_callback_origins or self.dead_letter_alert_url is None:
            return self.worker_callback_origins
        alerts = urlsplit(self.dead_letter_alert_url.get_secret_value())
        return (*self.worker_callback_origins, f"{alerts.scheme}://{alerts.netloc}")

    @property
    def pace(self) -> Pace:
        """How often Redis is asked only to be sure."""
        return Pace.of(self.worker_scheduler_interval)


def facts_of(name: str) -> dict[str, Any]:
    """Return what `wants` says about a setting."""
    extra = Settings.model_fields[name].json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return str(facts_of(name)["variable"] or name.upper())
