"""What is known of a job without reading its payload, and that nothing more is read."""

from __future__ import annotations

import collections
import datetime as dt
import json
import pickle
import zlib
from typing import Any

import pytest
from redis import Redis

from tests.support.hostile import ADD, KILLERS, nested_key
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.engine.serializers import Refused
from worker.engine.unread import MOST_META_BYTES, PlainData, Unread, function_named

NOWHERE = Redis(port=1)
PAYLOADS = Payloads(["tests.support.tasks"], ["json", "pickle"])


def unread(data: bytes, **fields: bytes) -> Unread | None:
    named = {name.encode(): value for name, value in fields.items()}
    return PAYLOADS.unread(Claim("job-1", "w1", "default", "default", {b"data": data, **named}), NOWHERE)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("instance", [None, {"a": 1}])
def test_the_name_with_which_a_pickle_begins_is_seen(protocol: int, instance: Any) -> None:
    assert function_named(pickle.dumps((ADD, instance, (1, 2), {}), protocol)) == ADD


@pytest.mark.parametrize("text", ['["%s", null, [], {}]', ' [ "%s",null,[1,{"a":2}],{}]', '["%s"'])
def test_the_name_with_which_json_begins_is_seen(text: str) -> None:
    assert function_named((text % ADD).encode()) == ADD


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\x80",
            b"\x80\x05",
            b"\x80\x05\x95",
            b"\x80\x05.",
            b"\x80\x05(",
            b"[",
            b'["',
            b'["a',
            b"[1]",
            b"null",
            b"\xff",
        ),
        pickle.dumps((1, None, (), {})),
        pickle.dumps({"a": ADD}),
        pickle.dumps(ADD, 0),
        b"[" * 100_000,
        b'["' + b"a" * 100_000 + b'"]',
        pickle.dumps(("a" * 100_000, None, (), {})),
    ],
)
def test_what_begins_with_no_name_has_none(data: bytes) -> None:
    assert function_named(data) in ("", ADD)


@pytest.mark.parametrize("name", KILLERS)
def test_of_a_payload_that_ends_its_reader_the_name_is_seen(name: str) -> None:
    job = unread(KILLERS[name])
    if name == "a thousand times its size":
        assert job is None
        return
    assert job is not None
    assert (job.args, job.kwargs, job.instance) == ((), {}, None)
    assert job.func_name in (ADD, "")


@pytest.mark.parametrize(
    "meta",
    [
        nested_key(),
        KILLERS["an endless deque"],
        KILLERS["an endless power of ten"],
        pickle.dumps({"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}),
        pickle.dumps({(1, 2): 3}),
        pickle.dumps([shared := [1], shared]),
        pickle.dumps(collections.OrderedDict(a=1)),
        pickle.dumps({"a": "x" * MOST_META_BYTES}),
        pickle.dumps({"a": 1})[:-3],
        b"\x80\x05\x88h\x00.",
    ],
)
def test_meta_that_is_more_than_plain_data_is_left_alone(meta: bytes) -> None:
    with pytest.raises(Refused):
        PlainData(pickled=True).loads(meta)
    job = unread(pickle.dumps((ADD, None, (), {})), meta=meta)
    assert job is not None
    assert job._serialize_meta() == meta


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("meta", [{}, {"a": 1, "b": [1.5, None, True, -(2**40), "ä", b"x"], "c": {"a": {"a": "a"}}}])
def test_plain_meta_is_read(meta: Any, protocol: int) -> None:
    data = PlainData(pickled=True)
    assert data.loads(pickle.dumps(meta, protocol)) == meta
    assert data.loads(data.dumps(meta)) == meta
    meta.get("b", []).clear()
    assert PlainData(pickled=False).loads(json.dumps(meta).encode()) == meta


def test_the_whole_job_is_read_when_its_own_code_runs() -> None:
    job = unread(zlib.compress(pickle.dumps((ADD, None, (1, 2), {}))), success_callback_name=b"os.system")
    assert job is not None
    assert job.success_callback is None
    assert job.whole() is job, "its callback may not run"
    good = unread(pickle.dumps((ADD, None, (1, 2), {})))
    assert good is not None
    assert good.whole().args == (1, 2)


@pytest.mark.parametrize(
    "fields", [{"timeout": b"soon"}, {"created_at": b"yesterday"}, {"retry_intervals": b"[" * 200_000}]
)
def test_a_hash_that_cannot_be_read_is_none(fields: dict[str, bytes]) -> None:
    assert unread(pickle.dumps((ADD, None, (), {})), **fields) is None
