"""Jobs that leave something in their context, and jobs that look for it; each says what it found there."""

from __future__ import annotations

import asyncio
import contextvars
import warnings
from collections.abc import AsyncIterator
from decimal import getcontext
from typing import Any

import structlog
from rq.job import Job

from worker import context

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")


def seen() -> list[Any]:
    return [TENANT.get(), structlog.contextvars.get_contextvars().get("user"), getcontext().prec]


def bind() -> list[Any]:
    structlog.contextvars.bind_contextvars(user="ann")
    TENANT.set("tenant-a")
    getcontext().prec = 3
    return seen()


def look() -> list[Any]:
    structlog.get_logger().info("look.line")
    return seen()


async def look_async() -> list[Any]:
    return seen()


def tell(job: Job, connection: Any, *_rest: Any) -> None:
    """A callback: write down whose context it runs in."""
    connection.set(f"seen:{job.id}", f"{TENANT.get()} {context.current().job_id}")


def set_scope(fail: bool = False) -> None:
    import sentry_sdk

    sentry_sdk.set_user({"email": "first@shop.example"})
    sentry_sdk.set_tag("tenant", "first")
    sentry_sdk.set_context("cart", {"id": 7})
    sentry_sdk.add_breadcrumb(message="looked at its cart")
    sentry_sdk.get_current_scope().set_transaction_name("first's")
    if fail:
        raise ValueError("the first one is broken")


def fail() -> None:
    raise ValueError("the second one is broken")


# -- coroutines --------------------------------------------------------------------------------------------------------

#: What a client of an asynchronous library keeps: it is bound to the loop in which it was first used.
_client: list[asyncio.Lock] = []
_left: list[str] = []
_kept: list[AsyncIterator[int] | asyncio.Task[None]] = []


def forget() -> None:
    """Start anew, for a test in a process that has run others."""
    _client.clear()
    _left.clear()
    _kept.clear()


async def use_client() -> int:
    """Use what the module keeps as two tasks of a client would; in the loop of another job it would raise."""
    lock = _client[0] if _client else asyncio.Lock()
    _client[:] = [lock]
    async with lock:
        waiter = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0)
    await waiter
    lock.release()
    return id(asyncio.get_running_loop())


async def leave_tasks() -> str:
    """Return while a task, a task that fails at its end, and an asynchronous generator are left."""
    _kept.append(asyncio.create_task(_until_cancelled("task")))
    _kept.append(asyncio.create_task(_fail_when_cancelled()))
    generator = _numbers()
    _left.append(f"first {await anext(generator)}")
    _kept.append(generator)
    await asyncio.sleep(0)
    return "returned"


async def _numbers() -> AsyncIterator[int]:
    try:
        yield 1
        yield 2
    finally:
        _left.append("generator closed")


async def _until_cancelled(name: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        _left.append(f"{name} cancelled")


async def _fail_when_cancelled() -> None:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise LookupError("the task failed at its end") from None


async def use_generators() -> list[int]:
    """Make an asynchronous generator, which warns in a loop whose generators were shut down for good."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [number async for number in _numbers()]


def what_was_left() -> list[str]:
    return sorted(_left)


def current_loop() -> str:
    """Do what code from before `asyncio.run` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loop = asyncio.get_event_loop()
    return str(loop.run_until_complete(asyncio.sleep(0, "ran")))


async def sleep_async(seconds: float) -> None:
    await asyncio.sleep(seconds)
