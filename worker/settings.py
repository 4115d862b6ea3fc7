"""The environment, read once into one frozen object; whatever is wrong with it is said all at once.

`load` collects every problem: values that do not fit, names that look like ours and are not, combinations that cannot
work. Secrets are `SecretStr` and never appear in a message or a `repr`.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from worker.errors import Problem, SettingsError
from worker.logs import FORMATS, LEVELS

#: RQ's own rule for its key prefix (rq/defaults.py).
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:{}-]+")
_QUEUE: Final = re.compile(r"[^\s,]+")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OURS: Final = ("WORKER_", "HEALTH_", "DEAD_LETTER_", "LOG_", "SENTRY_", "NOTIFY_")
_SCHEMES: Final = ("redis", "rediss", "unix")
#: A wrong value is shown up to here.
_SHOWN_CHARACTERS: Final = 80


def _wants(text: str, example: str, *, secret: bool = False, variable: str = "") -> dict[str, Any]:
    return {"wants": text, "example": example, "secret": secret, "variable": variable}


class Settings(BaseModel):
    """What the service runs with. Attributes are the variables' names in lower case; times are seconds."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False
    )

    redis_url: SecretStr | None = Field(
        None,
        description="Where Redis is: redis://, rediss:// (TLS) or unix://. Required, except for `make run`",
        json_schema_extra=_wants("a URL like redis://host:6379/0", "rediss://default:PASSWORD@host:6379", secret=True),
    )
    worker_queues: tuple[str, ...] = Field(
        ("default",),
        description="Queues to work on, highest priority first",
        json_schema_extra=_wants("queue names separated by commas, each once", "high,default"),
    )
    worker_processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Consumers: processes that run jobs. Default: one a CPU (RENDER_CPU_COUNT)",
        json_schema_extra=_wants("a whole number from 1 to 64", "2"),
    )
    worker_threads: int = Field(
        1,
        ge=1,
        le=256,
        description="Jobs that one consumer runs at once; more than 1 for jobs that wait for I/O",
        json_schema_extra=_wants("a whole number from 1 to 256", "8"),
    )
    worker_job_modules: tuple[str, ...] = Field(
        ("jobs",),
        description="Packages whose functions may run; nothing else is ever imported for a job",
        json_schema_extra=_wants("dotted package names separated by commas", "jobs,billing.jobs"),
    )
    worker_serializers: tuple[str, ...] = Field(
        ("json", "pickle"),
        description="Payload formats that are accepted; pickle only through an allow-list",
        json_schema_extra=_wants("json, pickle or both", "json,pickle"),
    )
    worker_max_jobs: int = Field(
        0,
        ge=0,
        description="Replace a consumer after so many jobs; 0 = never",
        json_schema_extra=_wants("a whole number, 0 or more", "1000"),
    )
    worker_max_memory_mb: int = Field(
        0,
        ge=0,
        description="Replace a consumer whose memory is above this many MB after a job; 0 = never",
        json_schema_extra=_wants("a whole number of megabytes, 0 or more", "300"),
    )
    worker_max_crashes: int = Field(
        3,
        ge=1,
        description="Processes that one job may cost before it becomes a dead letter",
        json_schema_extra=_wants("a whole number, 1 or more", "3"),
    )
    worker_retry_attempts: int = Field(
        0,
        ge=0,
        le=1000,
        description="Attempts, the first included, of jobs that ask for no retries themselves; 0 = one, as RQ",
        json_schema_extra=_wants("a whole number from 0 to 1000", "5"),
    )
    worker_retry_base: float = Field(
        2.0,
        ge=0,
        le=86400,
        description="The longest wait before their second attempt, doubled for each further one",
        json_schema_extra=_wants("seconds from 0 to 86400", "2"),
    )
    worker_retry_cap: float = Field(
        600.0,
        ge=0,
        le=7 * 86400,
        description="The longest wait before any attempt of theirs",
        json_schema_extra=_wants("seconds from 0 to 604800", "600"),
    )
    worker_shutdown_grace: float = Field(
        25.0,
        ge=0,
        le=300,
        description="Seconds that running jobs get after SIGTERM; below the platform's own limit (Render: 30)",
        json_schema_extra=_wants("seconds from 0 to 300", "25"),
    )
    worker_scheduler_interval: float = Field(
        1.0,
        ge=0,
        description="Seconds between looks for jobs that others schedule; 0 = only our own. Default: 1, on Upstash 15",
        json_schema_extra=_wants("seconds, 0 or more", "15"),
    )
    worker_allow_private_addresses: bool = Field(
        False,
        description="Let jobs fetch from private and loopback addresses; for development only",
        json_schema_extra=_wants("true or false", "false"),
    )
    dead_letter_queue: str = Field(
        "dead-letter",
        description="The queue on which dead letters stand; no consumer reads it",
        json_schema_extra=_wants("a queue name that is not in WORKER_QUEUES", "dead-letter"),
    )
    dead_letter_max_age: int = Field(
        30 * 86400,
        ge=60,
        le=3650 * 86400,
        description="How long dead letters are kept: seconds, or with a unit (90m, 12h, 30d); not enforced yet",
        json_schema_extra=_wants("a minute to ten years, like 30d, 12h or 86400", "30d"),
    )
    dead_letter_max_jobs: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="How many dead letters are kept, newest first; not enforced yet",
        json_schema_extra=_wants("a whole number from 1 to 10000000", "10000"),
    )
    health_host: str = Field(
        "0.0.0.0",  # noqa: S104 — a probe comes from outside the container
        min_length=1,
        description="Address that the health endpoint listens on",
        json_schema_extra=_wants("an address of this machine", "127.0.0.1"),
    )
    health_port: int = Field(
        8080,
        ge=0,
        le=65535,
        description="Port of the health endpoint; 0 = none. Default: PORT, else 8080",
        json_schema_extra=_wants("a port number from 0 to 65535", "8080"),
    )
    log_level: str = Field(
        "INFO",
        description="Least level that is logged",
        json_schema_extra=_wants(f"one of {', '.join(LEVELS)}", "INFO"),
    )
    log_format: str = Field(
        "json",
        description="json, or console for people. Default: console on a terminal, else json",
        json_schema_extra=_wants(f"one of {', '.join(FORMATS)}", "json"),
    )
    sentry_dsn: SecretStr | None = Field(
        None,
        description="Where error reports go; none without it",
        json_schema_extra=_wants("a Sentry DSN URL", "https://KEY@o0.ingest.sentry.io/0", secret=True),
    )
    sentry_traces_sample_rate: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of jobs whose performance is traced; no traces are sent yet",
        json_schema_extra=_wants("a number from 0 to 1", "0.1"),
    )
    notify_secret: SecretStr | None = Field(
        None,
        description="Signs the callbacks of jobs.notifications.notify",
        json_schema_extra=_wants("a secret text", "a-long-random-text", secret=True),
    )
    rq_key_prefix: str = Field(
        "rq",
        description="RQ's key prefix; {rq} keeps all keys in one Redis Cluster slot",
        json_schema_extra=_wants("letters, digits and _ . : - { }", "{rq}"),
    )
    release: str | None = Field(
        None,
        description="The deployed commit; set by Render",
        json_schema_extra=_wants("a commit id", "3f2a9c1", variable="RENDER_GIT_COMMIT"),
    )
    instance: str = Field(
        "",
        description="The instance's name in worker names; set by Render, else the host name",
        json_schema_extra=_wants("letters, digits, . _ and -", "srv-abc-xyz12", variable="RENDER_INSTANCE_ID"),
    )

    @field_validator("worker_queues", "worker_job_modules", "worker_serializers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("dead_letter_max_age", mode="before")
    @classmethod
    def _with_unit(cls, value: Any) -> Any:
        found = re.fullmatch(r"(\d+)([smhd])", value.strip().lower()) if isinstance(value, str) else None
        return int(found[1]) * _UNITS[found[2]] if found else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("worker_queues")
    @classmethod
    def _queues(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _require(bool(names) and len(set(names)) == len(names) and all(map(_QUEUE.fullmatch, names)))
        return names

    @field_validator("worker_job_modules")
    @classmethod
    def _modules(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _require(bool(names) and all(map(_MODULE.fullmatch, names)))
        return names

    @field_validator("worker_serializers")
    @classmethod
    def _serializers(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        _require(bool(names) and set(names) <= {"json", "pickle"})
        return names

    @field_validator("dead_letter_queue")
    @classmethod
    def _letters(cls, name: str) -> str:
        _require(bool(_QUEUE.fullmatch(name)))
        return name

    @field_validator("log_level")
    @classmethod
    def _level(cls, level: str) -> str:
        _require(level in LEVELS)
        return level

    @field_validator("log_format")
    @classmethod
    def _format(cls, name: str) -> str:
        _require(name in FORMATS)
        return name

    @field_validator("instance")
    @classmethod
    def _instance_name(cls, name: str) -> str:
        _require(bool(re.fullmatch(r"[A-Za-z0-9._-]*", name)))
        return name

    @field_validator("sentry_dsn")
    @classmethod
    def _dsn(cls, dsn: SecretStr | None) -> SecretStr | None:
        _require(dsn is None or bool(re.match(r"https?://[^@/\s]+@[^/\s]+/", dsn.get_secret_value())))
        return dsn

    @field_validator("rq_key_prefix")
    @classmethod
    def _prefix(cls, prefix: str) -> str:
        _require(bool(_PREFIX.fullmatch(prefix)))
        return prefix


def load(environ: Mapping[str, str], *, need_redis_url: bool = True) -> Settings:
    """Read the settings from `environ`; raises `SettingsError` with every problem."""
    values = {name: text for name in Settings.model_fields if (text := environ.get(variable_of(name), "")) != ""}
    problems = _unknown_names(environ)
    for name, derive in _DERIVED.items():
        if name not in values and (derived := derive(environ)) is not None:
            values[name] = derived
    problems += _url_problems(values.get("redis_url"), needed=need_redis_url)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for details in error.errors():
            problem = _problem(str(details["loc"][0]), values)
            if problem.variable == "HEALTH_PORT" and not environ.get("HEALTH_PORT"):
                problem = replace(problem, variable="PORT")
            problems.append(problem)
    letters = values.get("dead_letter_queue", Settings.model_fields["dead_letter_queue"].default)
    queues = values.get("worker_queues", "default")
    if letters in [name.strip() for name in queues.split(",")]:
        clash = _problem("dead_letter_queue", {"dead_letter_queue": letters})
        problems += [clash] if clash not in problems else []
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


def load_dotenv() -> None:
    """Read .env in development; the real environment wins, and on Render there is no .env to read."""
    if "RENDER" not in os.environ and Path(".env").is_file():
        import dotenv  # noqa: PLC0415 — only development pays for it

        dotenv.load_dotenv(".env", override=False)


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    extra = Settings.model_fields[name].json_schema_extra
    special = extra.get("variable") if isinstance(extra, dict) else ""
    return str(special or name.upper())


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError  # the problem's own sentence says what is wanted


def _cpus(environ: Mapping[str, str]) -> str | None:
    """One consumer a CPU. Render says "0.5" on its smallest plan; anything unreadable counts as unset."""
    try:
        told = math.floor(float(environ.get("RENDER_CPU_COUNT", "")))
    except (ValueError, OverflowError):
        told = os.cpu_count() or 1
    return str(min(max(told, 1), 64))


def _interval(environ: Mapping[str, str]) -> str | None:
    return "15" if _is_upstash(_host(environ.get("REDIS_URL", ""))) else None


def _log_format(environ: Mapping[str, str]) -> str:
    return "console" if "RENDER" not in environ and os.isatty(1) else "json"


def _instance(_environ: Mapping[str, str]) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "instance"


#: Defaults that depend on where the service runs.
_DERIVED: Final[dict[str, Callable[[Mapping[str, str]], str | None]]] = {
    "worker_processes": _cpus,
    "worker_scheduler_interval": _interval,
    "health_port": lambda environ: environ.get("PORT") or None,
    "log_format": _log_format,
    "instance": _instance,
}


def _problem(name: str, values: Mapping[str, Any]) -> Problem:
    extra = Settings.model_fields[name].json_schema_extra
    facts: dict[str, Any] = dict(extra) if isinstance(extra, dict) else {}
    got = "a secret that does not fit" if facts.get("secret") else _shown(str(values.get(name, "")))
    return Problem(variable_of(name), got, str(facts["wants"]), str(facts["example"]))


def _shown(text: str) -> str:
    """Quote a value that does not fit, but not a URL or DSN with a password that was put into the wrong variable."""
    if "@" in text:
        return "a text with @ in it (not shown: it may hold a password)"
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def _unknown_names(environ: Mapping[str, str]) -> list[Problem]:
    """Names that are almost one of ours: a typo would otherwise go unnoticed. Others are none of our business."""
    known = [variable_of(name) for name in Settings.model_fields]
    problems = []
    for name in sorted(environ):
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name.startswith(_OURS) else []
        if close and name not in known:
            problems.append(Problem(name, "a name that nothing reads", f"its right spelling, perhaps {close[0]}"))
    return problems


def _host(url: str) -> str:
    try:
        return urlsplit(url.strip("\"' ")).hostname or ""
    except ValueError:
        return ""


def _is_upstash(host: str) -> bool:
    return host.rstrip(".").endswith(".upstash.io")


def _url_problems(url: str | None, *, needed: bool) -> list[Problem]:
    """Say what is wrong with REDIS_URL, without showing it."""
    if not url:
        missing = Problem("REDIS_URL", "nothing", "the URL of your Redis", "redis://localhost:6379/0")
        return [missing] if needed else []

    def wrong(got: str, wants: str, example: str = "rediss://default:PASSWORD@host:6379") -> list[Problem]:
        return [Problem("REDIS_URL", got, wants, example)]

    if url != url.strip() or url[0] in "\"'" or url[-1] in "\"'":
        return wrong("a URL with quotes or spaces around it", "the bare URL")
    if not url.isprintable() or " " in url:  # unprintable: line breaks, tabs, zero-width spaces of a web page
        return wrong("a URL with spaces or line breaks in it, perhaps invisible ones", "one URL without them")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        plain = re.fullmatch(r"[A-Za-z][A-Za-z+.-]{1,11}", scheme)  # anything else may be part of a secret
        got = f"a URL that begins with {scheme}://" if plain and separator else "a text that is no Redis URL"
        got = got if separator else "a text without ://"
        return wrong(got, f"a URL that begins with {', '.join(f'{name}://' for name in _SCHEMES)}")
    if scheme == "unix":
        return (
            []
            if rest.startswith("/") or "@/" in rest
            else wrong("no path", "the socket's path", "unix:///run/redis.sock")
        )
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user_and_password = authority.rpartition("@")[0]
    if ("@" not in authority and "@" in rest) or any(character in user_and_password for character in "@[]"):
        return wrong(
            "a user name or password with unescaped characters",
            "the characters @ : / ? # % [ ] in them percent-encoded (@ is %40, / is %2F, # is %23, ? is %3F)",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return wrong("a port that is not a number from 0 to 65535", "a port number after the host, or none")
    if not parts.hostname:
        return wrong("a URL without a host", "a host name after ://")
    if port == 0:
        return wrong("port 0", "the server's port")
    database = parse_qs(parts.query).get("db", [parts.path.strip("/")])[0]  # redis-py: ?db= wins over the path
    if database and not re.fullmatch(r"[0-9]+", database):
        return wrong("a database that is not a number", "a database number after the last /", "redis://host:6379/0")
    if _is_upstash(parts.hostname):
        if scheme == "redis":
            return wrong("redis:// on an Upstash host", "rediss://, because Upstash only speaks TLS")
        if database.strip("0"):
            return wrong("a database number on an Upstash host", "/0 or none: Upstash has only database 0")
    return []
