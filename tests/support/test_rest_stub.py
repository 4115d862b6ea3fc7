"""The stub of Upstash's REST API: it must behave as documented, or the producers' tests prove nothing."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis as redis_py

from tests.support import rest_faults
from tests.support.rest_stub import TOKEN, RestStub


@pytest.fixture
def client(stub: RestStub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
        yield client


def command(client: httpx.Client, *parts: Any, path: str = "/", **headers: str) -> tuple[int, Any]:
    response = client.post(path, json=list(parts), headers=headers)
    return response.status_code, response.json()


def test_a_command_in_the_body_runs_and_answers_its_result(client: httpx.Client, redis: redis_py.Redis) -> None:
    assert command(client, "SET", "foo", "bär", "EX", 100) == (200, {"result": "OK"})
    assert redis.get("foo") == "bär".encode()
    assert command(client, "GET", "foo") == (200, {"result": "bär"})
    assert command(client, "GET", "nothing") == (200, {"result": None})
    assert command(client, "INCR", "n") == (200, {"result": 1})
    assert command(client, "RPUSH", "list", "a", 2) == (200, {"result": 2})
    assert command(client, "LRANGE", "list", 0, -1) == (200, {"result": ["a", "2"]})


def test_a_command_in_the_path_takes_the_body_as_its_last_argument(client: httpx.Client, redis: redis_py.Redis) -> None:
    assert client.get("/set/foo/a%20b").json() == {"result": "OK"}
    assert redis.get("foo") == b"a b"
    assert client.post("/set/foo?EX=100", content=b"\xff\x00").json() == {"result": "OK"}
    assert redis.get("foo") == b"\xff\x00"
    assert 0 < redis.ttl("foo") <= 100


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer wrong"}])
@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec", "/get/foo"])
def test_without_the_token_nothing_runs(stub: RestStub, headers: dict[str, str], path: str) -> None:
    response = httpx.post(stub.url + path, json=["PING"], headers=headers)
    assert (response.status_code, response.json()) == (401, {"error": "WRONGPASS invalid or missing auth token"})
    assert not stub.commands


def test_the_token_may_stand_in_the_query(stub: RestStub) -> None:
    assert httpx.get(f"{stub.url}/set/a/b?_token={TOKEN}").json() == {"result": "OK"}


def test_base64_encodes_every_string_but_ok(client: httpx.Client, redis: redis_py.Redis) -> None:
    redis.set("raw", b"\xff\xfe")
    encoded = {"Upstash-Encoding": "base64"}
    assert command(client, "GET", "raw", **encoded)[1] == {"result": base64.b64encode(b"\xff\xfe").decode()}
    assert command(client, "GET", "raw")[1] == {"result": "\ufffd\ufffd"}
    assert command(client, "SET", "raw", "x", **encoded)[1] == {"result": "OK"}
    assert command(client, "MGET", "raw", "none", **encoded)[1] == {"result": ["eA==", None]}


def test_errors_have_a_shape_and_a_status(client: httpx.Client) -> None:
    command(client, "SET", "text", "x")
    code, body = command(client, "INCR", "text")
    assert (code, body) == (400, {"error": "ERR value is not an integer or out of range"})
    code, body = command(client, "LPUSH", "text", "x")
    assert code == 400
    assert body["error"].startswith("WRONGTYPE ")
    assert command(client, "NONSENSE")[0] == 400
    assert client.post("/", content=b"{not json").status_code == 400
    assert client.delete("/").status_code == 405


def test_a_pipeline_answers_each_command_by_itself(client: httpx.Client) -> None:
    rows = [["SET", "k", "x"], ["INCR", "k"], ["GET", "k"]]
    code, body = command(client, *rows, path="/pipeline")
    assert (code, body) == (
        200,
        [{"result": "OK"}, {"error": "ERR value is not an integer or out of range"}, {"result": "x"}],
    )


def test_a_transaction_is_atomic_and_is_discarded_whole(client: httpx.Client, redis: redis_py.Redis) -> None:
    code, body = command(client, ["SET", "k", "1"], ["LPUSH", "k", "x"], ["INCR", "k"], path="/multi-exec")
    assert code == 200
    assert [*body[0], *body[1], *body[2]] == ["result", "error", "result"]
    code, body = command(client, ["SET", "other", "1"], ["NONSENSE"], path="/multi-exec")
    assert code == 400
    assert list(body) == ["error"]
    assert redis.get("other") is None


@pytest.mark.parametrize(
    "parts",
    [
        ("BLPOP", "list", 0),
        ("blmove", "a", "b", "LEFT", "LEFT", 0),
        ("XREAD", "BLOCK", 0, "STREAMS", "s", "$"),
        ("WATCH", "k"),
        ("SUBSCRIBE", "c"),
        ("CLIENT", "LIST"),
    ],
)
def test_what_upstash_does_not_offer_over_rest_is_refused(client: httpx.Client, parts: tuple[Any, ...]) -> None:
    code, body = command(client, *parts)
    assert code == 400
    assert body["error"].startswith("ERR Command is not available")


def test_scripts_run_and_their_upstash_flag_is_taken_out(client: httpx.Client) -> None:
    script = "#!lua flags=allow-key-locking\nreturn {KEYS[1], redis.call('INCR', KEYS[1]), ARGV[1], false}"
    assert command(client, "EVAL", script, 1, "k", "v") == (200, {"result": ["k", 1, "v", None]})
    sha = command(client, "SCRIPT", "LOAD", "return 7")[1]["result"]
    assert command(client, "EVALSHA", sha, 0) == (200, {"result": 7})
    code, body = command(client, "EVALSHA", "0" * 40, 0)
    assert code == 400
    assert body["error"].startswith("NOSCRIPT ")


def test_a_dropped_answer_has_been_executed_and_a_refused_one_has_not(
    stub: RestStub, client: httpx.Client, redis: redis_py.Redis
) -> None:
    stub.faults.extend([rest_faults.drop_answer, rest_faults.refuse])
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            command(client, "INCR", "n")
    assert redis.get("n") == b"1"
    assert command(client, "INCR", "n") == (200, {"result": 2})
    assert stub.requests == 3


def test_faults_answer_late_or_with_something_else(stub: RestStub, client: httpx.Client) -> None:
    stub.faults.extend([rest_faults.delayed(0.3), rest_faults.BAD_GATEWAY, rest_faults.THROTTLED, rest_faults.BROKEN])
    begin = time.monotonic()
    assert command(client, "PING") == (200, {"result": "PONG"})
    assert time.monotonic() - begin >= 0.3
    page = client.post("/", json=["PING"])
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")
    assert command(client, "PING")[0] == 429
    assert command(client, "PING")[0] == 500
    assert command(client, "PING")[0] == 200
