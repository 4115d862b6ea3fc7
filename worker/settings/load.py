"""Read the environment once into one frozen `Settings`, and report everything that is wrong with it at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from worker.errors import SettingsError
from worker.settings import Settings, redis_url
from worker.settings import problems as setting_problems
from worker.settings.defaults import DERIVED
from worker.settings.model import variable_of


def load(environ: Mapping[str, str], *, need_redis_url: bool = True) -> Settings:
    """Read the settings from `environ`; raises `SettingsError` with every problem."""
    values = _values(environ)
    problems = setting_problems.misspelt(environ)
    problems += redis_url.problems(values.get("redis_url"), needed=need_redis_url)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += setting_problems.unfit(error, values, environ)
    problems += [clash for clash in setting_problems.clashes(values) if clash not in problems]
    if settings is not None:
        problems += setting_problems.contradictions(settings, environ)
    if problems or settings is None:
        raise SettingsError(problems)
    return settings


def settings_of_environment() -> Settings:
    """Read the settings of a consumer that RQ's own command line starts; RQ brings the connection."""
    return load(os.environ, need_redis_url=False)


#: What container engines leave in a container: Docker, Podman and Buildah.
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


def load_dotenv(*, serves: bool = False) -> None:
    """Read .env in development; the real environment wins.

    A service in a container reads none: there the platform sets the environment, and a file that came with the code
    would be somebody's own secrets or tomorrow's surprise. `serves`: the process is one.
    """
    if not Path(".env").is_file() or "RENDER" in os.environ:
        return
    if serves and _in_a_container():
        sys.stderr.write("The file .env is not read in a container: set variables there.\n")
        return
    import dotenv  # noqa: PLC0415 — only development pays for it

    dotenv.load_dotenv(".env", override=False)


def _in_a_container() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(mark.exists() for mark in _CONTAINER_MARKS)


def _values(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of the settings that are set, or whose default depends on where the service runs, by name."""
    values = {name: text for name in Settings.model_fields if (text := environ.get(variable_of(name), "")) != ""}
    for name, derive in DERIVED.items():
        if name not in values and (derived := derive(environ)) is not None:
            values[name] = derived
    return values
