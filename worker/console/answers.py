"""What a page function returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from worker.text import text_of


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `data` are what the template ``templates/<template>.html`` gets, and what JSON shows."""

    template: str
    title: str
    data: Mapping[str, Any]
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """Something was done: a sentence, and the path of the page that shows it (without the prefix)."""

    sentence: str
    then: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file."""

    name: str
    kind: str
    body: bytes


class Problem(Exception):
    """What was asked for cannot be shown or done; the sentence is shown."""

    def __init__(self, sentence: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        self.status = status
        super().__init__(sentence)


def plain(value: Any) -> Any:
    """Return what JSON has of a value: dataclasses as objects."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {text_of(name): plain(held) for name, held in value.items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(held) for held in value]
    return text_of(value)
