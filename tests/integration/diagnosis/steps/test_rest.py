"""The REST step against a stand-in for Upstash's API, good and bad."""

from __future__ import annotations

import pytest

from tests.support import broken
from tests.support.diagnosing import diagnosed, failure
from tests.support.server import RedisServer, free_port
from tests.support.upstash import RestApi
from worker.diagnosis.report import Status


def test_a_good_pair_answers(server: RedisServer) -> None:
    with RestApi() as api:
        report = diagnosed(server.url, **api.environ)
    assert report.step("rest").status is Status.OK
    assert report.step("rest").says.startswith("HTTP 200 after ")
    assert "hunter2" not in report.model_dump_json()


def test_it_is_tried_even_when_the_redis_url_is_dead() -> None:
    with RestApi() as api:
        report = diagnosed(broken.refused(), **api.environ)
    assert report.exit_code == 12
    assert report.step("rest").status is Status.OK


@pytest.mark.parametrize(
    ("api", "changes", "code"),
    [
        (RestApi(), {"UPSTASH_REDIS_REST_TOKEN": "wrong-hunter2"}, "rest_token"),
        (RestApi(error="ERR max requests limit exceeded. Limit: 500000"), {}, "over_quota"),
        (RestApi(page=True), {}, "rest_not_upstash"),
        (RestApi(), {"UPSTASH_REDIS_REST_TOKEN": ""}, "rest_settings"),
        (RestApi(), {"UPSTASH_REDIS_REST_URL": ""}, "rest_settings"),
        (RestApi(), {"UPSTASH_REDIS_REST_URL": '"https://x.upstash.io"'}, "rest_settings"),
        (RestApi(), {"UPSTASH_REDIS_REST_URL": "http://x.upstash.io"}, "rest_settings"),
        (RestApi(), {"UPSTASH_REDIS_REST_URL": "rediss://x.upstash.io"}, "rest_settings"),
        (RestApi(), {"UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{free_port()}"}, "rest_refused"),
        (RestApi(), {"UPSTASH_REDIS_REST_URL": "https://name.invalid"}, "rest_dns"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_has_a_name_and_its_own_exit_code(
    server: RedisServer, api: RestApi, changes: dict[str, str], code: str
) -> None:
    with api:
        report = diagnosed(server.url, **{**api.environ, **changes})
    assert failure(report) == ("rest", code)
    assert report.exit_code == 20
    assert "hunter2" not in report.model_dump_json()


def test_an_api_that_never_answers_is_given_up(server: RedisServer) -> None:
    with broken.silent() as url:
        environ = {"UPSTASH_REDIS_REST_URL": f"http://127.0.0.1:{url.rpartition(':')[2]}"}
        report = diagnosed(server.url, timeout=4, **environ, UPSTASH_REDIS_REST_TOKEN="x-hunter2")
    assert failure(report)[0] == "rest"
    assert report.step("rest").seconds < 20, "its own patience is longer"
