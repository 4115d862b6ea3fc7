"""Render's blueprints: valid by Render's schema when it is at hand, and sound where a schema says nothing."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click import Context
from pydantic import SecretStr

from tests.support.dockerfile import copied
from tests.support.service import ROOT
from worker.cli.main import main
from worker.engine.job_modules import not_in_image
from worker.process.overdue import HARD_STOP_SECONDS
from worker.settings import Settings, problems
from worker.settings.load import load
from worker.settings.model import variable_of

BLUEPRINTS = ["render.yaml", "render-free.yaml"]
#: Path of a copy of https://render.com/schema/render.yaml.json. It has no licence, so it is not kept here.
SCHEMA_VARIABLE = "RENDER_BLUEPRINT_SCHEMA"
#: Render's default of maxShutdownDelaySeconds.
DEFAULT_SHUTDOWN_DELAY = 30
#: From the end of the grace to the end of the process: jobs' clean-up, then dispatcher and health, 2 s each at most;
#: the hand-back waits as long for Redis.
MARGIN_SECONDS = 3 * HARD_STOP_SECONDS + 2
FIELDS = {variable_of(name): field for name, field in Settings.model_fields.items()}
SECRETS = {variable for variable, field in FIELDS.items() if SecretStr.__name__ in str(field.annotation)}
#: Names of others' secrets, a job's.
SECRET_LIKE = re.compile(r"(SECRET|TOKEN|PASSWORD|_KEY|_DSN)$")
#: RAM in MB by Render's plan.
RAM = {"free": 512, "starter": 512, "standard": 2048}


@pytest.fixture(params=BLUEPRINTS)
def blueprint(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return loaded


def programs(blueprint: dict[str, Any]) -> list[dict[str, Any]]:
    return [service for service in blueprint["services"] if service["type"] != "keyvalue"]


def stores(blueprint: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {service["name"]: service for service in blueprint["services"] if service["type"] == "keyvalue"}


def variables(blueprint: dict[str, Any], service: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a service's variables, its groups' included."""
    groups = {group["name"]: group["envVars"] for group in blueprint.get("envVarGroups", [])}
    for variable in service["envVars"]:
        yield from groups[variable["fromGroup"]] if "fromGroup" in variable else [variable]


def environ(blueprint: dict[str, Any], service: dict[str, Any]) -> dict[str, str]:
    """Return what the process would find, secrets left empty."""
    values = {variable["key"]: str(variable.get("value", "")) for variable in variables(blueprint, service)}
    return {**values, "REDIS_URL": "redis://red-abc:6379", "RENDER": "true", "RENDER_CPU_COUNT": "0.5", "PORT": "10000"}


def test_they_are_valid_by_renders_schema(blueprint: dict[str, Any]) -> None:
    path = os.environ.get(SCHEMA_VARIABLE)
    if not path:
        pytest.skip(f"{SCHEMA_VARIABLE} does not say where a copy of Render's schema is")
    schema = json.loads(Path(path).read_text())
    validator = jsonschema.validators.validator_for(schema)
    assert [error.message for error in validator(schema).iter_errors(blueprint)] == []


def test_the_service_accepts_the_environment_that_they_give_it(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        load(environ(blueprint, service))


def test_they_set_variables_once_and_never_a_secret(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        found = list(variables(blueprint, service))
        assert len({variable["key"] for variable in found}) == len(found)
        for variable in found:
            assert variable["key"] in FIELDS or not variable["key"].startswith(problems._OURS), variable
            assert not isinstance(variable.get("value"), bool), "a YAML boolean fails: quote it"
            if variable["key"] in SECRETS - {"REDIS_URL"} or SECRET_LIKE.search(variable["key"]):
                asked, made = {"sync": False}, {"generateValue": True}  # of the operator; by Render
                assert {name: variable[name] for name in variable if name != "key"} in (asked, made)
    for group in blueprint.get("envVarGroups", []):
        for variable in group["envVars"]:
            assert "value" in variable, "Render ignores sync: false in a group without a word"


def test_redis_comes_from_a_store_that_keeps_jobs_and_that_nobody_outside_reaches(blueprint: dict[str, Any]) -> None:
    assert stores(blueprint)
    for store in stores(blueprint).values():
        assert store["maxmemoryPolicy"] == "noeviction"
        assert store["ipAllowList"] == []
    for service in programs(blueprint):
        (url,) = (variable for variable in variables(blueprint, service) if variable["key"] == "REDIS_URL")
        source = url["fromService"]
        assert (source["type"], source["property"]) == ("keyvalue", "connectionString")
        assert stores(blueprint)[source["name"]]["region"] == service["region"], "the internal URL ends at the region"


def test_the_store_of_the_real_blueprint_keeps_its_data_over_a_restart() -> None:
    assert all(store["plan"] != "free" for store in stores(read("render.yaml")).values())


def test_render_waits_longer_for_the_end_than_the_service_takes(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        grace = load(environ(blueprint, service)).worker_shutdown_grace
        if "monitor" in service.get("dockerCommand", ""):
            continue  # it has no jobs
        assert service.get("maxShutdownDelaySeconds", DEFAULT_SHUTDOWN_DELAY) >= grace + MARGIN_SECONDS
        if service["plan"] == "free":
            assert "maxShutdownDelaySeconds" not in service, "Render refuses it on free services"


def test_what_is_not_probed_probes_itself_and_what_is_probed_has_a_path(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        settings = load(environ(blueprint, service))
        if service["type"] == "worker":
            assert "healthCheckPath" not in service, "Render does not probe background workers"
            assert settings.worker_unhealthy_exit > 0
            assert settings.health_port, "it probes itself through the health endpoint's process"
            assert service["plan"] != "free", "there are no free background workers"
        else:
            assert service["healthCheckPath"] == "/healthz"
            assert settings.health_port == 10000, "Render probes PORT"


def test_their_files_and_commands_exist(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        assert service["runtime"] == "docker"
        assert (ROOT / service["dockerfilePath"]).is_file()
        command = service.get("dockerCommand", "tini -- python -m worker").split()
        assert command[:5] == ["tini", "--", "python", "-m", "worker"], "Render drops the ENTRYPOINT with the CMD"
        assert command[5:] == [] or main.get_command(Context(main), command[5]) is not None


def test_the_packages_of_their_jobs_are_in_the_image(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        for module in load(environ(blueprint, service)).worker_job_modules:
            assert module.partition(".")[0] in copied(), not_in_image(module.partition(".")[0])


def test_the_procfile_starts_what_the_blueprint_starts() -> None:
    commands = dict(line.split(": ") for line in (ROOT / "Procfile").read_text().splitlines())
    wanted = {service.get("dockerCommand", "tini -- python -m worker") for service in programs(read("render.yaml"))}
    assert {f"tini -- {command}" for command in commands.values()} == wanted


def test_consumers_fit_their_instances(blueprint: dict[str, Any]) -> None:
    for service in programs(blueprint):
        settings = load(environ(blueprint, service))
        if settings.worker_max_memory_mb:
            limits = settings.worker_processes * settings.worker_max_memory_mb
            assert limits + 100 <= RAM[service["plan"]], "supervisor, dispatcher and health take up to 100 MB"


def test_the_autoscaler_scales_the_fleet_and_begins_where_it_begins() -> None:
    blueprint = read("render.yaml")
    fleet = next(service for service in programs(blueprint) if service["type"] == "worker")
    monitor = next(service for service in programs(blueprint) if "monitor" in service.get("dockerCommand", ""))
    settings = load(environ(blueprint, monitor))
    assert settings.autoscale_service == fleet["name"]
    assert settings.autoscale_min <= fleet["numInstances"] <= settings.autoscale_max
    assert monitor["numInstances"] == 1
    assert "scaling" not in fleet, "Render's own autoscaling would fight ours"
    assert load(environ(blueprint, fleet)).worker_queues == settings.worker_queues
