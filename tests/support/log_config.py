"""Loggers of the process that runs the tests: what one test configures is gone after it, and captures miss nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

_configure = structlog.configure


def pytest_configure() -> None:
    """Let no logger keep the processors of its first use: `capture_logs` swaps those that are configured now."""
    structlog.configure = _configure_uncached


def _configure_uncached(**options: Any) -> None:  # `worker.logs` looks it up at each call
    _configure(**{**options, "cache_logger_on_first_use": False})


@pytest.fixture(autouse=True)
def same_log_configuration_afterwards() -> Iterator[None]:
    configured, before = structlog.is_configured(), structlog.get_config()
    yield
    if configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()
