"""Where the tools get their settings: the environment, then .env."""

from __future__ import annotations

import os
from typing import Final

from worker.settings.load import load_dotenv

SOURCES: Final = "REDIS_URL and .env"


def url_of(given: str | None) -> tuple[str, str]:
    """Return the URL to diagnose and where it came from; reads .env as the worker does."""
    in_environment = "REDIS_URL" in os.environ
    load_dotenv()
    if given is not None:
        return given, "--url"
    return os.environ.get("REDIS_URL", ""), "REDIS_URL" if in_environment or "REDIS_URL" not in os.environ else ".env"
