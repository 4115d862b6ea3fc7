"""What a producer's calls return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Enqueued(Generic[T]):
    """The job `id`, which returns a `T`, is in Redis. `created` is False when it was there before.

    `status` is where it is; "expired" when an earlier call with its key made one that has ended and is gone.
    """

    id: str
    created: bool
    status: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A cached value and whether it is stale, and the job that makes a new one (None while the value is fresh)."""

    value: Any
    stale: bool
    job: Enqueued[Any] | None
