"""A job that is read without RQ is the one that RQ would have read. No Redis: nothing here connects."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from redis import Redis

from worker.engine import plain_hash
from worker.engine.meta import MetaKeepingJob
from worker.engine.payload import Payloads
from worker.engine.records import Claim
from worker.engine.serializers import Refused

NOWHERE = Redis(port=1)
DATE = b"2026-11-25T04:37:30.123456Z"
#: As RQ writes it for `enqueue(function)`.
ORDINARY = {
    **dict.fromkeys((b"status",), b"queued"),
    **dict.fromkeys((b"created_at", b"enqueued_at"), DATE),
    **dict.fromkeys((b"started_at", b"ended_at", b"last_heartbeat", b"worker_name", b"group_id"), b""),
    **dict.fromkeys((b"success_callback_name", b"failure_callback_name", b"stopped_callback_name"), b""),
    b"data": b'["jobs.ping.ping", null, [], {}]',
    b"origin": b"default",
    b"description": b"jobs.ping.ping()",
    b"timeout": b"180",
}
NAMES = [
    *ORDINARY,
    *(b"result_ttl", b"failure_ttl", b"ttl", b"attempts", b"meta", b"webhooks", b"retries_left", b"dependency_ids"),
    *(b"allow_dependency_failures", b"enqueue_at_front", b"success_callback_timeout", b"repeats_left", b"exc_info"),
]
TEXTS = [
    b"",
    b"0",
    b"1",
    b"-1",
    b"5000000000",
    b" 7 ",
    b"1_0",
    b"1h",
    b"x",
    b"started",
    DATE,
    b"2026-11-25T04:37:30Z",
    b"\xff",
]


def made(fields: dict[bytes, bytes], *, plainly: bool) -> dict[str, Any]:
    """The attributes of the job that is made of a hash; with `plainly` False as RQ reads it."""
    reading = Payloads(["jobs"], ["json"])
    claim = Claim("job-1", "w" + "0" * 31, "default", "default", fields)
    with pytest.MonkeyPatch.context() as patch:
        if not plainly:
            patch.setattr(plain_hash, "blank", lambda kind, job_id, connection: kind(job_id, connection=connection))
            patch.setattr(plain_hash, "read", lambda _fields: None)
        job = reading.restore(claim, NOWHERE)
        attributes = {"_stored_meta": MetaKeepingJob._stored_meta, **vars(job)}
    return {name: value for name, value in attributes.items() if name not in ("serializer", "log")}


def outcome(fields: dict[bytes, bytes], *, plainly: bool) -> dict[str, Any]:
    """The same, or the refusal."""
    try:
        return made(fields, plainly=plainly)
    except Refused as refused:
        return {"refused": str(refused)}


def test_an_ordinary_job_is_read_without_rq() -> None:
    assert plain_hash.read(ORDINARY) is not None
    assert made(ORDINARY, plainly=True) == made(ORDINARY, plainly=False)


@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(TEXTS)), st.sets(st.sampled_from(NAMES)))
def test_whatever_the_hash_holds_the_job_is_the_one_that_rq_reads(odd: dict[bytes, bytes], missing: set[bytes]) -> None:
    fields = {name: value for name, value in (ORDINARY | odd).items() if name not in missing - {b"created_at"}}
    fields[b"data"] = ORDINARY[b"data"]
    expected, found = outcome(fields, plainly=False), outcome(fields, plainly=True)
    if not fields.get(b"created_at"):  # it is the moment of the reading
        expected.pop("created_at", None), found.pop("created_at", None)
    assert found == expected


def test_blank_jobs_share_nothing() -> None:
    one, other = (plain_hash.blank(MetaKeepingJob, name, NOWHERE) for name in ("one", "other"))
    assert (one.id, other.id) == ("one", "other")
    shared = [
        name for name, value in vars(one).items() if isinstance(value, list | dict) and value is vars(other)[name]
    ]
    assert not shared
    with pytest.raises(ValueError, match="letters"):
        plain_hash.blank(MetaKeepingJob, "a:b", NOWHERE)
