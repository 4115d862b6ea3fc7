"""The settings of `python -m worker monitor`, the console and the autoscaler; part of the one `Settings` object."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

_SERVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
#: Render's limit of instances of one service (https://render.com/docs/scaling).
MOST_INSTANCES: Final = 100


def wants(text: str, example: str, *, secret: bool = False, variable: str = "") -> dict[str, Any]:
    """Return what the report of a wrong value needs: what is wanted, an example, whether it is secret, its variable."""
    return {"wants": text, "example": example, "secret": secret, "variable": variable}


def _service(name: str) -> str:
    if not _SERVICE.fullmatch(name):
        raise ValueError
    return name


def _url(url: str) -> str:
    if not re.fullmatch(r"https?://[^\s@]+", url):
        raise ValueError
    return url.rstrip("/")


def _password(password: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[ -~]{12,}", password.get_secret_value()):
        raise ValueError
    return password


def _path(prefix: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", prefix):
        raise ValueError
    return prefix.rstrip("/")


def _header(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError
    return name


def _list(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(name)) for name in names)


_Password = Annotated[SecretStr, AfterValidator(_password)]


class MonitorSettings(BaseModel):
    """Attributes are the variables' names in lower case; times are seconds."""

    monitor_interval: float = Field(
        5.0,
        ge=0.5,
        le=60,
        description="Seconds between the monitor's looks at the fleet",
        json_schema_extra=wants("seconds from 0.5 to 60", "5"),
    )
    monitor_max_wait: float = Field(
        300.0,
        gt=0,
        description="Seconds that a job may wait before the monitor calls the fleet late",
        json_schema_extra=wants("seconds above 0", "300"),
    )
    monitor_password: _Password | None = Field(
        None,
        description="Opens the console to the user operator, who may act. Without a password it is closed",
        json_schema_extra=wants("12 characters or more, ASCII", "openssl rand -base64 18", secret=True),
    )
    monitor_view_password: _Password | None = Field(
        None,
        description="Opens the console to the user viewer, who may look, and sees no arguments of jobs",
        json_schema_extra=wants(
            "12 characters or more, ASCII, other than MONITOR_PASSWORD", "openssl rand -base64 18", secret=True
        ),
    )
    monitor_open: bool = Field(
        False,
        description="Open the console to everybody on this machine, without a password; `make run` sets it",
        json_schema_extra=wants("true or false; true only where HEALTH_HOST is a loopback address", "false"),
    )
    monitor_prefix: Annotated[str, AfterValidator(_path)] = Field(
        "",
        description="Path under which a proxy serves the console",
        json_schema_extra=wants("a path that begins with a slash", "/worker"),
    )
    monitor_proxy_header: Annotated[str, AfterValidator(_header)] | None = Field(
        None,
        description="Header in which a proxy that has asked for a login names the user; empty = none is believed",
        json_schema_extra=wants("a header's name", "X-Forwarded-User"),
    )
    monitor_proxy_addresses: Annotated[tuple[str, ...], BeforeValidator(_list), AfterValidator(_networks)] = Field(
        (),
        description="Addresses from which that header is believed",
        json_schema_extra=wants("addresses or networks separated by commas", "10.0.0.7,10.1.0.0/16"),
    )
    monitor_proxy_operators: Annotated[tuple[str, ...], BeforeValidator(_list)] = Field(
        (),
        description="Users of that header who may act, * = all; others look",
        json_schema_extra=wants("names separated by commas", "ann@example.com,bob@example.com"),
    )
    autoscale_service: Annotated[str, AfterValidator(_service)] | None = Field(
        None,
        description="Name or id of the Render service that the monitor scales; empty = no autoscaler",
        json_schema_extra=wants("the name of a Render service, or its id", "srv-d0abc1234567890abcde"),
    )
    autoscale_min: int = Field(
        1,
        ge=1,
        le=MOST_INSTANCES,
        description="Fewest instances",
        json_schema_extra=wants(f"a whole number from 1 to {MOST_INSTANCES}", "1"),
    )
    autoscale_max: int = Field(
        4,
        ge=1,
        le=MOST_INSTANCES,
        description="Most instances",
        json_schema_extra=wants(f"a whole number from AUTOSCALE_MIN to {MOST_INSTANCES}", "4"),
    )
    autoscale_step: int = Field(
        1,
        ge=1,
        le=MOST_INSTANCES,
        description="Instances that one decision adds or removes",
        json_schema_extra=wants(f"a whole number from 1 to {MOST_INSTANCES}", "1"),
    )
    autoscale_wait: float = Field(
        30.0,
        gt=0,
        description="Seconds that the oldest job may wait before instances are added",
        json_schema_extra=wants("seconds above 0", "30"),
    )
    autoscale_idle: float = Field(
        300.0,
        ge=0,
        description="Seconds without a waiting or running job before instances are removed",
        json_schema_extra=wants("seconds, 0 or more", "300"),
    )
    autoscale_cooldown: float = Field(
        120.0,
        ge=0,
        description="Seconds between two changes; longer than a new instance takes to start working",
        json_schema_extra=wants("seconds, 0 or more", "120"),
    )
    autoscale_dry_run: bool = Field(
        False,
        description="Log decisions, but change nothing",
        json_schema_extra=wants("true or false", "true"),
    )
    render_api_key: SecretStr | None = Field(
        None,
        description="API key of Render for the autoscaler",
        json_schema_extra=wants("an API key of Render's account settings", "rnd_…", secret=True),
    )
    render_api_url: Annotated[str, AfterValidator(_url)] = Field(
        "https://api.render.com/v1",
        description="URL of Render's API",
        json_schema_extra=wants("a URL without a user name or password", "https://api.render.com/v1"),
    )

    @property
    def console_is_open(self) -> bool:
        """Whether anybody may open the console."""
        ways = (self.monitor_password, self.monitor_view_password, self.monitor_proxy_header)
        return self.monitor_open or any(way is not None for way in ways)
