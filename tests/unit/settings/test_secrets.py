"""Which variables hold secrets of the service is known without loading every setting."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from worker.errors import SettingsError
from worker.settings import Settings, secrets
from worker.settings.load import load, variable_of
from worker.settings.monitor import MonitorSettings


def test_every_setting_that_is_a_secret_is_named() -> None:
    fields = {**Settings.model_fields, **MonitorSettings.model_fields}
    held = {variable_of(name) for name, field in fields.items() if SecretStr.__name__ in repr(field.annotation)}
    assert held == set(secrets.NAMES)


def test_what_is_kept_stays_and_what_is_not_ours_too() -> None:
    environ = {"REDIS_URL": "x", "METRICS_TOKEN": "x", "SENTRY_DSN": "x", "DATABASE_URL": "y"}
    assert secrets.needless(environ, ["REDIS_URL"]) == ["METRICS_TOKEN", "SENTRY_DSN"]


def test_only_secrets_of_the_service_can_be_kept() -> None:
    given = {"REDIS_URL": "redis://h", "WORKER_JOB_SECRETS": "REDIS_URL, NOTIFY_SECRET"}
    assert load(given).worker_job_secrets == ("REDIS_URL", "NOTIFY_SECRET")
    with pytest.raises(SettingsError, match="some of REDIS_URL, "):
        load({**given, "WORKER_JOB_SECRETS": "DATABASE_URL"})
