"""The settings of `python -m worker monitor` and of the autoscaler in it; part of the one `Settings` object."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field, SecretStr

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
