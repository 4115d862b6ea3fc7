"""What a producer refuses to send, and what it says about it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from producer import Call, InvalidJob, Misconfigured, Producer, Retry
from producer.checks import check_job_id
from producer.payload import job_fields, unique_id
from producer.rest import RestTransport

SELF_CONTAINING: list[Any] = []
SELF_CONTAINING.append(SELF_CONTAINING)


@pytest.mark.parametrize(
    "function",
    ["add", "", "jobs.", ".add", "jobs..add", "jobs.a b", "jobs.add\n", "jobs.größe", "os.system;x", None, 7],
)
def test_a_function_needs_a_dotted_name(function: Any) -> None:
    with pytest.raises(InvalidJob, match="must be named with its module"):
        job_fields(Call(function))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "nan, which JSON cannot carry"),
        (math.inf, "inf, which JSON cannot carry"),
        (b"raw", "of type bytes"),
        ({1: 2}, "key of type int"),
        ({"a": {1, 2}}, "of type set"),
        (2**64, "beyond 2\\^63"),
        ("\ud800", "lone surrogate"),
        ({"\ud800": 1}, "lone surrogate"),
        (SELF_CONTAINING, "nested more than 50"),
        ("x" * 1_000_001, "at most 1,000,000"),
        (object(), "of type object"),
    ],
)
def test_arguments_must_survive_json(value: Any, said: str) -> None:
    with pytest.raises(InvalidJob, match=said):
        job_fields(Call("jobs.add", value))
    with pytest.raises(InvalidJob, match=said):
        job_fields(Call("jobs.add", kwargs={"value": value}))


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "60"},
        {"timeout": 1.5},
        {"timeout": True},
        {"timeout": 10**9},
        {"result_ttl": -2},
        {"result_ttl": "500"},
        {"failure_ttl": 1e3},
        {"ttl": 0},
        {"retry": 0},
        {"retry": True},
        {"retry": Retry(3, [])},
        {"retry": Retry(3, [-1])},
        {"retry": Retry(3, "10")},  # type: ignore[arg-type]
        {"retry": Retry(3, [1.5])},  # type: ignore[list-item]
        {"queue": ""},
        {"queue": "a,b"},
        {"queue": "a b"},
        {"queue": "dead-letter"},
        {"queue": "x" * 101},
        {"meta": {"a": b""}},
        {"description": "\ud800"},
    ],
)
def test_what_would_make_a_poison_job_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidJob):
        job_fields(Call("jobs.add", **options))


@pytest.mark.parametrize("job_id", ["", "a b", "a:b", "ä", "a\n", "x" * 201, None, 1])
def test_job_ids_are_those_that_rq_takes(job_id: Any) -> None:
    with pytest.raises(InvalidJob, match="letters, digits"):
        check_job_id(job_id)


def test_a_unique_id_is_one_and_the_same_for_a_subject_and_a_function() -> None:
    one = unique_id("jobs.invoices.send_invoice", "A-7")
    assert one == unique_id("jobs.invoices.send_invoice", "A-7")
    assert one != unique_id("jobs.invoices.send_invoice", "A-77")
    assert one != unique_id("jobs.other", "A-7")
    assert one.startswith("send_invoice-")
    check_job_id(one)
    with pytest.raises(InvalidJob, match="unique must be a text"):
        unique_id("jobs.add", "")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(args=st.lists(PLAIN, max_size=3), kwargs=st.dictionaries(st.text("abc_", min_size=1), PLAIN, max_size=3))
def test_rq_reads_what_was_accepted_as_it_was_given(args: list[Any], kwargs: dict[str, Any]) -> None:
    fields = job_fields(Call("jobs.add", *args, kwargs=kwargs, retry=Retry(2, [1, 5]), ttl=7))
    job = Job("id", connection=Redis(), serializer=JSONSerializer)  # never used
    job.restore({name.encode(): value.encode() for name, value in fields.items()})
    job._deserialize_data()
    assert json.dumps([job.func_name, list(job.args), job.kwargs]) == json.dumps(["jobs.add", args, kwargs])
    assert (job.timeout, job.ttl, job.retries_left, job.retry_intervals) == (180, 7, 2, [1, 5])


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN, or REDIS_URL"),
        ({"UPSTASH_REDIS_REST_URL": "https://secret-host.upstash.io"}, "UPSTASH_REDIS_REST_TOKEN is not set"),
        ({"UPSTASH_REDIS_REST_TOKEN": "secret"}, "UPSTASH_REDIS_REST_URL is not set"),
        ({"UPSTASH_REDIS_REST_URL": "rediss://:secret@h", "UPSTASH_REDIS_REST_TOKEN": "t"}, "belongs into REDIS_URL"),
        ({"UPSTASH_REDIS_REST_URL": "https://u:secret@h", "UPSTASH_REDIS_REST_TOKEN": "t"}, "no user, password"),
        ({"UPSTASH_REDIS_REST_URL": "http://secret.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "t"}, "in the clear"),
        ({"UPSTASH_REDIS_REST_URL": "https://[secret", "UPSTASH_REDIS_REST_TOKEN": "t"}, "is not a URL"),
        ({"UPSTASH_REDIS_REST_URL": "https://h", "UPSTASH_REDIS_REST_TOKEN": '"secret token"'}, "without quotes"),
        ({"REDIS_URL": "secret"}, "not a URL that redis-py reads"),
    ],
)
def test_a_bad_environment_ends_in_words_that_show_no_secret(environ: dict[str, str], said: str) -> None:
    with pytest.raises(Misconfigured, match=said) as caught:
        Producer.from_environment(environ)
    assert "secret" not in str(caught.value)


def test_no_repr_shows_the_token_or_the_host() -> None:
    transport = RestTransport("https://some-host.upstash.io", "tok-secret")
    assert repr(transport) == "RestTransport(…)"
    assert "secret" not in repr(Producer(transport))
    assert "secret" not in repr(Producer.from_environment({"REDIS_URL": "redis://:secret@127.0.0.1:1/0"})._transport)
