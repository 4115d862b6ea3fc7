"""What `python -m worker types` writes, in TypeScript and in Python."""

from __future__ import annotations

import json
import re
import typing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from inspect import Parameter
from keyword import iskeyword
from typing import Any, ClassVar

from worker.cli.types.functions import ANY, DICTS, LISTS, Argument, Function, fields, is_union, plain


class Writer(ABC):
    """Writes types. Records (TypedDicts) are written once, under their own names."""

    names: ClassVar[dict[Any, str]]
    union = " | "

    def __init__(self) -> None:
        self._records: dict[Any, str] = {}
        self._bodies: dict[str, str] = {}

    @abstractmethod
    def written(self, functions: Sequence[Function]) -> str:
        """Return the whole file."""

    def type(self, annotation: Any) -> str:
        """Write one type; it has been checked to be JSON's."""
        annotation = plain(annotation)
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation in ANY:
            return self.names[Any]
        if typing.is_typeddict(annotation):
            return self._record(annotation)
        if annotation in self.names:
            return self.names[annotation]
        if origin is typing.Literal:
            return self.literal(arguments)
        if is_union(annotation):
            return self.union.join(dict.fromkeys(map(self.type, arguments)))
        if annotation is tuple or annotation in LISTS:
            return self.list_of(self.names[Any])
        if origin is tuple:
            if len(arguments) == 2 and arguments[1] is Ellipsis:
                return self.list_of(self.type(arguments[0]))
            return self.tuple_of([self.type(one) for one in arguments])
        if origin in LISTS:
            return self.list_of(self.type(arguments[0]))
        return self.dict_of(self.type(arguments[1]) if origin in DICTS else self.names[Any])

    def _record(self, annotation: Any) -> str:
        if annotation not in self._records:
            name = annotation.__name__
            while name in self._records.values():
                name += "_"
            self._records[annotation] = name
            body = [(field, self.type(hint), required) for field, hint, required in fields(annotation)]
            self._bodies[name] = self.record(name, body)
        return self._records[annotation]

    @abstractmethod
    def literal(self, values: tuple[Any, ...]) -> str: ...

    @abstractmethod
    def list_of(self, item: str) -> str: ...

    @abstractmethod
    def tuple_of(self, items: list[str]) -> str: ...

    @abstractmethod
    def dict_of(self, item: str) -> str: ...

    @abstractmethod
    def record(self, name: str, body: list[tuple[str, str, bool]]) -> str: ...


class TypeScriptWriter(Writer):
    """Declares `Jobs` of the package @worthit/producer."""

    names: ClassVar[dict[Any, str]] = {
        Any: "Json",
        str: "string",
        int: "number",
        float: "number",
        bool: "boolean",
        None: "null",
        type(None): "null",
    }

    def written(self, functions: Sequence[Function]) -> str:
        """Return the declaration file."""
        lines = []
        for function in functions:
            if function.summary:
                lines.append(f"    /** {function.summary.replace('*/', '* /')} */")
            lines += [
                f"    {json.dumps(function.name)}: {{",
                f"      args: {self._arguments(function)};",
                f"      kwargs: {self._keywords(function)};",
                f"      result: {self.type(function.result)};",
                "    };",
            ]
        jobs = "\n".join(lines)
        head = "// Written by `python -m worker types`: what the worker's functions take and return.\n"
        head += 'import type { Json } from "@worthit/producer";\n\n'
        records = "".join(f"{body}\n\n" for body in self._bodies.values())
        head += 'declare module "@worthit/producer" {\n'
        return f"{head}  interface Jobs {{\n{jobs}\n  }}\n}}\n\n{records}".rstrip() + "\n"

    def _arguments(self, function: Function) -> str:
        items = [
            f"{one.name}{'' if one.required else '?'}: {self.type(one.annotation)}" for one in function.positional()
        ]
        if rest := function.rest():
            items.append(f"...{rest.name}: {self.list_of(self.type(rest.annotation))}")
        return f"[{', '.join(items)}]"

    def _keywords(self, function: Function) -> str:
        items = []
        for one in function.arguments:
            if one.kind == Parameter.POSITIONAL_OR_KEYWORD:
                items.append(f"{_key(one.name)}?: {self.type(one.annotation)}")
            elif one.kind == Parameter.KEYWORD_ONLY:
                items.append(f"{_key(one.name)}{'' if one.required else '?'}: {self.type(one.annotation)}")
        return f"{{ {'; '.join(items)} }}" if items else "Record<string, never>"

    def literal(self, values: tuple[Any, ...]) -> str:
        return self.union.join(json.dumps(value, ensure_ascii=False) for value in values)

    def list_of(self, item: str) -> str:
        return f"({item})[]" if self.union in item else f"{item}[]"

    def tuple_of(self, items: list[str]) -> str:
        return f"[{', '.join(items)}]"

    def dict_of(self, item: str) -> str:
        return f"{{ [key: string]: {item} }}"

    def record(self, name: str, body: list[tuple[str, str, bool]]) -> str:
        # A type, not an interface: only that is assignable to Json.
        lines = "".join(f"  {_key(field)}{'' if required else '?'}: {kind};\n" for field, kind, required in body)
        return f"export type {name} = {{\n{lines}}};"


class PythonWriter(Writer):
    """Writes a subclass of worthit-producer's `Producer` whose `enqueue` knows the functions."""

    names: ClassVar[dict[Any, str]] = {
        Any: "Any",
        str: "str",
        int: "int",
        float: "float",
        bool: "bool",
        None: "None",
        type(None): "None",
    }

    def written(self, functions: Sequence[Function]) -> str:
        """Return the module."""
        lines: list[str] = []
        many = len(functions) > 1
        for function in functions:
            mark = "" if lines else "  # type: ignore[override]"
            lines += [
                *([f"        @overload{mark}"] if many else []),
                f"        def enqueue({'' if many else mark}",
                "            self,",
                f"            function: Literal[{json.dumps(function.name)}],",
                *(f"            {self._argument(one)}," for one in function.positional()),
                "            /,",
                *([f"            *{rest.name}: {self.type(rest.annotation)},"] if (rest := function.rest()) else []),
                "            **options: Unpack[Options],",
                f"        ) -> Enqueued[{self.type(function.result)}]: ...",
            ]
        if many:
            lines.append("        def enqueue(self, function: str, *args: Any, **options: Any) -> Enqueued[Any]: ...")
        head = '''"""Written by `python -m worker types --python`: what the worker's functions take and return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, Unpack, overload

from worthit_producer import Enqueued, Options, Producer


'''
        records = "".join(f"{body}\n\n" for body in self._bodies.values())
        methods = "\n".join(lines)
        about = '    """A producer that knows the functions of the worker."""'
        return f"{head}{records}class Jobs(Producer):\n{about}\n\n    if TYPE_CHECKING:\n\n{methods}\n"

    def _argument(self, one: Argument) -> str:
        return f"{one.name}: {self.type(one.annotation)}{'' if one.required else ' = ...'}"

    def literal(self, values: tuple[Any, ...]) -> str:
        return f"Literal[{', '.join(map(repr, values))}]"

    def list_of(self, item: str) -> str:
        return f"list[{item}]"

    def tuple_of(self, items: list[str]) -> str:
        return f"tuple[{', '.join(items)}]"

    def dict_of(self, item: str) -> str:
        return f"dict[str, {item}]"

    def record(self, name: str, body: list[tuple[str, str, bool]]) -> str:
        pairs = [f"{field!r}: {kind if required else f'NotRequired[{kind}]'}" for field, kind, required in body]
        if all(field.isidentifier() and not iskeyword(field) for field, _, _ in body):
            lines = "".join(f"    {pair.replace(chr(39), '', 2)}\n" for pair in pairs) or "    pass\n"
            return f"class {name}(TypedDict):\n{lines}"
        return f"{name} = TypedDict({name!r}, {{{', '.join(pairs)}}})\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name) else json.dumps(name)
