"""The job bodies that every queue runs: each ends in one 16-byte append to the file of records.

The records are how the harness counts finished jobs, alike for all peers and without asking Redis. Every body
takes one integer and returns the number of bytes written, so that there is a result to keep. Peers built on
asyncio run the coroutine twins, as their users would.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import cache

#: Bytes that one finished job adds to the file of records.
RECORD_SIZE = 16


@cache
def _records() -> int:
    return os.open(os.environ["BENCH_RECORDS"], os.O_WRONLY | os.O_APPEND)


def append(number: int) -> int:
    """Write `number` and nothing else: the no-op job."""
    return os.write(_records(), b"%015d\n" % number)


def stamp(sent_ns: int) -> int:
    """Write how long ago `sent_ns` was, in ns of the monotonic clock that all processes share."""
    return append(time.monotonic_ns() - sent_ns)


def late(due_us: int) -> int:
    """Write how long ago the moment `due_us` was, in µs of Unix time."""
    return append(time.time_ns() // 1000 - due_us)


def nap(milliseconds: int) -> int:
    """Wait like a job that waits for a network, then write."""
    time.sleep(milliseconds / 1000)
    return append(milliseconds)


async def append_async(number: int) -> int:
    """Write `number`, as a coroutine."""
    return append(number)


async def stamp_async(sent_ns: int) -> int:
    """Write how long ago `sent_ns` was, as a coroutine."""
    return stamp(sent_ns)


async def nap_async(milliseconds: int) -> int:
    """Wait without blocking the event loop, then write."""
    await asyncio.sleep(milliseconds / 1000)
    return append(milliseconds)


BODIES: dict[str, Callable[[int], int]] = {"append": append, "stamp": stamp, "nap": nap}
ASYNC_BODIES: dict[str, Callable[[int], Awaitable[int]]] = {
    "append": append_async,
    "stamp": stamp_async,
    "nap": nap_async,
}
