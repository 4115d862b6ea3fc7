"""What a job may use of the worker, outside a worker."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading

import pytest

from worker import context
from worker.context import JobContext, OfflineContext, ShutdownRequested, StepError


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


# -- steps and cursors -----------------------------------------------------------------------------------------------


def test_a_step_is_called_once_in_all_runs_and_returns_what_json_has() -> None:
    ctx, calls = OfflineContext(), []

    def work(*args: int, **named: int) -> tuple[object, ...]:
        calls.append(args)
        return (*args, named)

    for _run in range(2):
        assert ctx.step("a", work, 1, 2, c=3) == [1, 2, {"c": 3}]
        assert ctx.step("a", work, 7) == [1, 2, {"c": 3}], "a name stands for one result"
        assert ctx.step("b", work, 4) == [4, {}]
    assert calls == [(1, 2), (4,)]


def test_outside_of_jobs_every_step_is_called() -> None:
    calls: list[int] = []
    for _ in range(2):
        context.current().step("a", calls.append, 1)
        cursor = context.current().cursor("pages")
        assert cursor.value is None
        cursor.advance(3)
        assert cursor.value == 3
    assert calls == [1, 1]


def test_a_step_that_raises_is_called_again() -> None:
    ctx = OfflineContext()
    with pytest.raises(ZeroDivisionError):
        ctx.step("a", lambda: 1 / 0)
    assert ctx.step("a", lambda: 2) == 2


def test_a_coroutine_function_is_awaited_as_a_step_in_each_run() -> None:
    ctx, calls = OfflineContext(), []

    async def work(value: int) -> int:
        calls.append(value)
        return value

    async def job() -> list[int]:
        return [await ctx.step("a", work, 1), *await asyncio.gather(ctx.step("b", work, 2), ctx.step("c", work, 3))]

    assert asyncio.run(job()) == asyncio.run(job()) == [1, 2, 3]
    assert calls == [1, 2, 3]


def test_a_function_that_returns_a_coroutine_is_refused_in_a_sentence() -> None:
    with pytest.raises(StepError, match="give it the coroutine function itself"):
        OfflineContext().step("a", lambda: asyncio.sleep(0))


def test_an_iterable_goes_on_after_what_was_done() -> None:
    ctx, seen = OfflineContext(), []
    with contextlib.suppress(ValueError):
        for item in ctx.resume("pages", ["a", "b", "c", "d"]):
            seen.append(item)
            if item == "c":
                raise ValueError
    seen += ctx.resume("pages", iter("abcd"))
    assert seen == ["a", "b", "c", "c", "d"], "the item that was not done comes again"
    assert list(ctx.resume("pages", "abcd")) == []
    assert ctx.cursor("pages").value == 4


def test_a_function_of_the_cursor_says_what_comes_after_it() -> None:
    ctx, asked, seen = OfflineContext(), [], []
    rows = [{"id": 3}, {"id": 5}, {"id": 9}]

    def rows_after(last: int | None) -> list[dict[str, int]]:
        asked.append(last)
        return [row for row in rows if last is None or row["id"] > last]

    for row in ctx.resume("rows", rows_after, key=lambda row: row["id"]):
        seen.append(row["id"])
        if row["id"] == 5:
            break  # an item that the loop leaves is not done
    seen += [row["id"] for row in ctx.resume("rows", rows_after, key=lambda row: row["id"])]
    assert (asked, seen) == ([None, 3], [3, 5, 5, 9])


def test_an_item_that_is_no_json_is_refused_before_its_work() -> None:
    rows = OfflineContext().resume("rows", lambda _: [{1}])
    with pytest.raises(StepError, match="The cursor 'rows' was moved to a set that is no JSON"):
        next(rows)


def test_a_stop_ends_the_job_at_each_place_where_it_may_be_left() -> None:
    ctx, calls = OfflineContext(), []
    ctx.check()
    assert (ctx.stopping, ctx.deadline) == (False, math.inf)
    items = ctx.resume("pages", [1, 2])
    assert next(items) == 1
    ctx.step("kept", calls.append, 1)
    ctx.stopping, ctx.deadline = True, 5.0
    assert (ctx.stopping, ctx.deadline) == (True, 5.0)
    for place in (
        ctx.check,
        lambda: ctx.step("kept", calls.append, 1),
        lambda: ctx.step("next", calls.append, 2),
        lambda: next(items),
        lambda: ctx.cursor().advance(7),
    ):
        with pytest.raises(ShutdownRequested), contextlib.suppress(Exception):
            place()
    assert calls == [1]
    assert (ctx.cursor("pages").value, ctx.cursor().value) == (1, 7), "what was done is kept before the job is left"
