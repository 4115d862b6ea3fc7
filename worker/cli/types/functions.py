"""The functions that producers may call, with their annotations."""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, Final

from worker.engine.job_modules import import_all

#: What stands for any JSON.
ANY: Final = (Any, object, Parameter.empty)
LISTS: Final = (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
DICTS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_PLAIN: Final = (str, int, float, bool, type(None))


class NotJson(Exception):
    """JSON has no such type; the message names it."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a function; `kind` is that of `inspect.Parameter`."""

    name: str
    kind: Any
    annotation: Any
    required: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One function, by its dotted name."""

    name: str
    arguments: tuple[Argument, ...]
    result: Any
    summary: str

    def positional(self) -> Iterator[Argument]:
        """Those that may be given by position, but for ``*args``."""
        return (
            one for one in self.arguments if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        )

    def rest(self) -> Argument | None:
        """``*args``."""
        return next((one for one in self.arguments if one.kind == Parameter.VAR_POSITIONAL), None)


def functions_of(packages: Sequence[str]) -> tuple[list[Function], dict[str, str]]:
    """Return the functions, by name, and those that were left out: name → why. Raises `BadJobModule`."""
    import_all(packages)
    found: list[Function] = []
    left_out: dict[str, str] = {}
    for module in sorted(
        name for name in sys.modules if any(name == one or name.startswith(f"{one}.") for one in packages)
    ):
        for name, value in sorted(vars(sys.modules[module]).items()):
            if inspect.isfunction(value) and value.__module__ == module and _is_public(module, name):
                try:
                    found.append(_function(f"{module}.{name}", value))
                except NotJson as problem:
                    left_out[f"{module}.{name}"] = str(problem)
    return found, left_out


def plain(annotation: Any) -> Any:
    """Return what an annotation means, without `Annotated`, `Required`, `Final` and a `NewType`'s name."""
    while True:
        origin = typing.get_origin(annotation)
        if origin in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        else:
            return annotation


def is_union(annotation: Any) -> bool:
    """Tell whether it is ``A | B``."""
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def fields(record: Any) -> list[tuple[str, Any, bool]]:
    """Return the fields of a TypedDict: name, annotation, whether it is required."""
    hints = typing.get_type_hints(record, include_extras=True)
    return [(name, hint, name in record.__required_keys__) for name, hint in hints.items()]


def check(annotation: Any, seen: frozenset[Any] = frozenset()) -> None:
    """Raise `NotJson` unless JSON carries every value of the type."""
    annotation = plain(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in ANY or annotation in _PLAIN or annotation is None or annotation in (*LISTS, tuple, *DICTS):
        return
    if typing.is_typeddict(annotation):
        if annotation not in seen:
            for _, hint, _ in fields(annotation):
                check(hint, seen | {annotation})
    elif origin is typing.Literal:
        if not all(isinstance(value, str | int | bool | None) for value in arguments):
            raise NotJson(f"JSON has no {annotation}")
    elif is_union(annotation) or origin in LISTS or origin is tuple:
        for one in arguments:
            if one is not Ellipsis:
                check(one, seen)
    elif origin in DICTS:
        if plain(arguments[0]) is not str:
            raise NotJson(f"JSON's objects have texts as keys, not {_named(arguments[0])}")
        check(arguments[1], seen)
    else:
        raise NotJson(f"JSON has no {_named(annotation)}")


def _function(name: str, function: Any) -> Function:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # noqa: BLE001 — annotations are any code
        raise NotJson(f"its annotations cannot be read ({type(error).__name__}: {error})") from None
    if "return" not in hints:
        raise NotJson("its result is not annotated")
    arguments = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind == Parameter.VAR_KEYWORD:
            raise NotJson("it takes any keyword")
        if parameter.name not in hints:
            raise NotJson(f"its argument {parameter.name} is not annotated")
        arguments.append(
            Argument(parameter.name, parameter.kind, hints[parameter.name], parameter.default is Parameter.empty)
        )
    for annotation in (*(one.annotation for one in arguments), hints["return"]):
        check(annotation)
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    return Function(name, tuple(arguments), hints["return"], summary)


def _is_public(module: str, name: str) -> bool:
    return not any(part.startswith("_") for part in f"{module}.{name}".split("."))


def _named(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
