"""Producing with asyncio libraries from synchronous code, over connections that stay open between calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

#: Calls in flight at once: enough to be quick, below the libraries' connection limits.
AT_ONCE = 50

_runner = asyncio.Runner()


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end on the one lasting event loop."""
    return _runner.run(coroutine)


def send_all(send: Callable[[int], Coroutine[Any, Any, object]], arguments: Sequence[int]) -> None:
    """Await `send(argument)` for every argument, `AT_ONCE` at a time."""

    async def send_chunks() -> None:
        for first in range(0, len(arguments), AT_ONCE):
            await asyncio.gather(*map(send, arguments[first : first + AT_ONCE]))

    wait_for(send_chunks())
