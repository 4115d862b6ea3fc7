"""What a job may use of the worker, outside a worker."""

from __future__ import annotations

import contextlib
import threading

import pytest

from worker import context
from worker.context import JobContext, OfflineContext


def test_outside_a_job_everything_stays_in_memory() -> None:
    ctx = context.current()
    assert isinstance(ctx, OfflineContext)
    assert ctx is context.current()
    assert (ctx.attempt, ctx.allow_private_addresses, ctx.notify_secret) == (1, False, None)


def test_offline_progress_and_cache_can_be_read_back() -> None:
    ctx = OfflineContext()
    ctx.progress(10, "fetching")
    ctx.cache_set("key", b"value", 60)
    assert ctx.reported == [{"percent": 10, "message": "fetching"}]
    assert ctx.cache_get("key") == b"value"
    assert ctx.cache_get("other") is None


def test_an_offline_cache_entry_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(context, "monotonic", lambda: now)
    ctx = OfflineContext()
    ctx.cache_set("key", b"value", 5)
    now = 1004.9
    assert ctx.cache_get("key") == b"value"
    now = 1005.0
    assert ctx.cache_get("key") is None


def test_offline_contexts_are_different_jobs() -> None:
    assert OfflineContext().job_id != OfflineContext().job_id


def test_use_nests_and_restores_even_after_an_error() -> None:
    outer, inner = OfflineContext("outer"), OfflineContext("inner")
    before = context.current()
    with context.use(outer):
        with contextlib.suppress(KeyError), context.use(inner) as entered:
            assert context.current() is entered is inner
            raise KeyError
        assert context.current() is outer
    assert context.current() is before


def test_threads_do_not_see_each_others_context() -> None:
    seen: list[JobContext] = []
    with context.use(OfflineContext("mine")) as mine:
        thread = threading.Thread(target=lambda: seen.append(context.current()))
        thread.start()
        thread.join()
    assert seen[0] is not mine


def test_outside_a_job_there_is_no_producer() -> None:
    with pytest.raises(RuntimeError, match="Outside a worker"):
        OfflineContext().producer()


@pytest.mark.parametrize("percent", [float("nan"), float("inf"), float("-inf")])
def test_a_progress_that_is_no_number_is_unknown(percent: float) -> None:
    ctx = OfflineContext()
    ctx.progress(percent, "reading")
    assert ctx.reported == [{"percent": None, "message": "reading"}]
    ctx.progress(10**400, "done")
    assert ctx.reported[-1]["percent"] == 100


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            b'{"price": NaN, "name": "NaN", "more": [-Infinity, 1.5]}',
            b'{"price": null, "name": "NaN", "more": [null, 1.5]}',
        ),
        (b'{"name": "NaN bread"}', b'{"name": "NaN bread"}'),
        (b"NaN \x80\xff", b"NaN \x80\xff"),
        (b"[" * 100_000 + b"NaN", b"[" * 100_000 + b"NaN"),
    ],
)
def test_null_is_cached_where_json_has_no_number(given: bytes, kept: bytes) -> None:
    ctx = OfflineContext()
    ctx.cache_set("key", given, 60)
    assert ctx.cache_get("key") == kept
