"""Read pickles that strangers wrote: plain data fast, what names anything by rules that no pickle can bend.

A pickle is a program. Most name nothing and only build lists, texts and numbers: Python's reader in C takes those. One
that names anything is taken by Python's reader in Python, whose steps are checked here:

* It may *name* what the allow-list has, and of the job packages classes and functions; nothing that stands in a module
  ready made, because that could be changed.
* It may *call* (REDUCE, OBJ, INST) data alone: what the allow-list has, dataclasses, named tuples, exceptions,
  enumerations. Never a function of the job packages, never another class's constructor.
* It may *make* (NEWOBJ) an empty instance of any class of the job packages that leaves this to Python.
* It may *fill* (BUILD, APPENDS, SETITEMS, ADDITEMS) only what it has made itself: BUILD is `setattr`, and on a class or
  a function it would change the process for every later job. `__setstate__` is the class's, never one that was put on
  the instance.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from dataclasses import is_dataclass
from enum import Enum, EnumType, Flag
from types import BuiltinFunctionType, FunctionType
from typing import Any, ClassVar, Final
from zoneinfo import ZoneInfo

from worker.engine import pickle_names
from worker.engine.serializers import Encoded, Refused

#: What a pickle fills with its own opcodes and has always made itself: it cannot name one.
_CONTAINERS: Final = (list, dict, set, bytearray)


class AllowListedPickle:
    """RQ's `pickle` serializer, reading only what the allow-list names.

    `packages` are the job packages, whose own classes may be loaded; `classes` are dotted names of others' classes that
    may, those of WORKER_PICKLE_CLASSES.
    """

    def __init__(self, packages: Iterable[str], classes: Iterable[str] = ()) -> None:
        self._packages = frozenset(packages)
        self._classes = Classes(classes)

    def dumps(self, value: Any, /) -> bytes:
        """Turn a value into a pickle."""
        if isinstance(value, Encoded):
            return value.data
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    def loads(self, data: bytes, /) -> Any:
        """Turn a pickle into a value; raises `Refused` when it names something that is not allowed."""
        return loads(data, self._packages, self._classes)


def loads(data: bytes, packages: frozenset[str], classes: Classes) -> Any:
    """Turn a pickle into a value; raises `Refused` when it names or does what is not allowed."""
    try:
        return _Plain(io.BytesIO(data)).load()
    except _NamesSomething:
        return _Checked(data, packages, classes).load()


def belongs(module: str, packages: frozenset[str]) -> bool:
    """Whether a dotted module name is one of `packages` or inside one."""
    while module:
        if module in packages:
            return True
        module = module.rpartition(".")[0]
    return False


class Classes:
    """The classes of WORKER_PICKLE_CLASSES, by the names that an operator or a pickle may use for them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._homes: frozenset[str] | None = None

    def __contains__(self, name: str) -> bool:
        if name in self._names or not self._names:
            return name in self._names
        if self._homes is None:  # a pickle names a class by where it is defined, people by where they import it from
            self._homes = frozenset(filter(None, map(pickle_names.home_of, self._names)))
        return name in self._homes


class _NamesSomething(Exception):
    pass


class _Plain(pickle.Unpickler):
    def find_class(self, _module: str, _name: str, /) -> Any:
        raise _NamesSomething


#: The reader in Python, whose steps can be checked.
_Reader: Any = pickle._Unpickler


class _Checked(_Reader):  # type: ignore[misc]
    def __init__(self, data: bytes, packages: frozenset[str], classes: Classes) -> None:
        super().__init__(io.BytesIO(data), fix_imports=False)  # done here, before the name is judged
        self._old_names = data[1:2] < b"\x03"
        self._packages = packages
        self._classes = classes
        #: By identity, and kept alive for that: what may be called, what may be made, what this pickle has made.
        self._callable: dict[int, Any] = {}
        self._makeable: dict[int, Any] = {}
        self._made: dict[int, Any] = {}

    # -- names -----------------------------------------------------------------------------------------------------

    def find_class(self, module: str, name: str, /) -> Any:
        if self._old_names:
            module, name = pickle_names.today(module, name)
        module, name = pickle_names.at_home(module, name)
        if (module, name) in pickle_names.SAFE_GLOBALS:
            return self._may_be_called(super().find_class(module, name))
        stand_in = {
            ("builtins", "getattr"): self._attribute,
            ("_operator", "or_"): self._union,
            ("_codecs", "encode"): self._bytes,
        }.get((module, name))
        if stand_in is not None:
            return self._may_be_called(stand_in)
        if module in pickle_names.DATA_MODULES:
            found = self._known(module, name)
            if pickle_names.is_data(found, module):
                return self._may_be_called(found)
        if f"{module}.{name}" in self._classes:
            found = self._own(module, name)
            if isinstance(found, type):
                return self._may_be_called(found)
        if belongs(module, self._packages):
            found = self._own(module, name)
            # A name like "jobs.invoices.os.system" reaches through the module: what it finds must belong there too.
            if belongs(getattr(found, "__module__", ""), self._packages):
                if isinstance(found, type):
                    return self._may_be_called(found) if _is_data(found) else self._may_be_made(found)
                if isinstance(found, FunctionType | Enum):
                    return found
        raise self._refused(module, name)

    def _known(self, module: str, name: str) -> Any:
        """Return what one of Python's own modules calls so, None if this release of Python has none."""
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return None

    def _own(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError as error:
            if not f"{module}.".startswith(f"{error.name}."):
                raise  # the module is there: what it imports is not
        except AttributeError:
            pass
        raise Refused(
            "unknown_function",
            f"There is no {module}.{name} in this release, which the pickle names. Deploy the release that has it and "
            f"replay the job, or correct the name where it is enqueued.",
            f"{module}.{name}",
        ) from None

    def _may_be_called(self, found: Any) -> Any:
        self._callable[id(found)] = found
        return found

    def _may_be_made(self, found: type) -> type:
        if isinstance(found.__new__, BuiltinFunctionType):  # Python's own: no code of the class runs
            self._makeable[id(found)] = found
        return found

    # -- what stands in for functions by which pickles carry data -----------------------------------------------------

    def _attribute(self, owner: Any, name: str) -> Any:
        """Stand in for `getattr`, by which pickles name members of enumerations, and how a time zone is restored."""
        if owner is ZoneInfo and name == "_unpickle":
            return self._may_be_called(getattr(owner, name))
        if isinstance(owner, EnumType) and name in owner.__members__:
            return owner.__members__[name]
        if isinstance(owner, type):
            what = f"{owner.__module__}.{owner.__qualname__}"
            why = "it has no such member" if isinstance(owner, EnumType) else "only members of enumerations are read so"
            raise Refused(
                "refused_class",
                f"The pickle names {name!r} of {what}: {why}. Send plain values, or members of the enumerations of the "
                f"packages in WORKER_JOB_MODULES ({', '.join(sorted(self._packages))}).",
                what,
            )
        raise self._refused("builtins", "getattr")

    def _union(self, left: Any, right: Any) -> Any:
        """Stand in for `operator.or_`, by which Python 3.11.0 to 3.11.3 pickle flags."""
        if isinstance(left, Flag) and isinstance(right, type(left)):
            return left | right
        raise self._refused("_operator", "or_")

    def _bytes(self, text: Any, encoding: Any) -> bytes:
        """Stand in for `codecs.encode`, by which protocol 2 carries bytes."""
        if isinstance(text, str) and encoding == "latin1":
            return text.encode("latin1")
        raise self._refused("_codecs", "encode")

    # -- opcodes ---------------------------------------------------------------------------------------------------

    #: Opcode → the method that does it.
    dispatch: ClassVar[dict[int, Any]] = {**_Reader.dispatch}

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], arguments)

    def _instantiate(self, klass: Any, arguments: Any) -> None:
        """OBJ and INST, protocol 0's ways of REDUCE."""
        self.append(self._call(klass, arguments))

    def _call(self, function: Any, arguments: Any) -> Any:
        if id(function) not in self._callable:
            raise self._forbidden("calls", function)
        return self._note_made(function(*arguments))

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        self.stack[-1] = self._make(self.stack[-1], arguments, {})

    def load_newobj_ex(self) -> None:
        named = self.stack.pop()
        arguments = self.stack.pop()
        self.stack[-1] = self._make(self.stack[-1], arguments, named)

    def _make(self, klass: Any, arguments: Any, named: Any) -> Any:
        if not isinstance(klass, type) or not (id(klass) in self._callable or id(klass) in self._makeable):
            raise self._forbidden("makes", klass)
        return self._note_made(klass.__new__(klass, *arguments, **named))

    def _note_made(self, value: Any) -> Any:
        if not isinstance(value, Enum | type):  # a member of an enumeration is one for all
            self._made[id(value)] = value
        return value

    def load_build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if id(made) not in self._made:
            raise self._forbidden("changes", made)
        restore = getattr(type(made), "__setstate__", None)
        if restore is not None:
            restore(made, state)
            return
        attributes, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
        if attributes:
            vars(made).update(attributes)
        for name, value in (slots or {}).items():
            if name.startswith("__"):
                raise self._forbidden("changes", type(made))
            setattr(made, name, value)

    def load_append(self) -> None:
        self._may_fill(self.stack[-2])
        super().load_append()

    def load_setitem(self) -> None:
        self._may_fill(self.stack[-3])
        super().load_setitem()

    def load_appends(self) -> None:
        self._may_fill(self.metastack[-1][-1])
        super().load_appends()

    def load_setitems(self) -> None:
        self._may_fill(self.metastack[-1][-1])
        super().load_setitems()

    def load_additems(self) -> None:
        self._may_fill(self.metastack[-1][-1])
        super().load_additems()

    def _may_fill(self, container: Any) -> None:
        if type(container) not in _CONTAINERS and id(container) not in self._made:
            raise self._forbidden("changes", container)

    for _opcode, _method in (
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_newobj),
        (pickle.NEWOBJ_EX, load_newobj_ex),
        (pickle.BUILD, load_build),
        (pickle.APPEND, load_append),
        (pickle.APPENDS, load_appends),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.ADDITEMS, load_additems),
    ):
        dispatch[_opcode[0]] = _method

    # -- refusals --------------------------------------------------------------------------------------------------

    def _refused(self, module: str, name: str) -> Refused:
        return Refused(
            "refused_class",
            f"The pickle names {module}.{name}, which is neither plain data nor part of the packages in "
            f"WORKER_JOB_MODULES ({', '.join(sorted(self._packages))}). {pickle_names.advice(module, name)}",
            f"{module}.{name}",
        )

    def _forbidden(self, does: str, what: Any) -> Refused:
        named = what if isinstance(what, type | FunctionType) else type(what)
        name = f"{named.__module__}.{named.__qualname__}"
        if does == "changes":
            return Refused(
                "refused_class",
                f"The pickle changes {name}, which it has not made itself: every later job would see that. No pickler "
                f"writes such a thing.",
                name,
            )
        advice = (
            f"Send plain values, or add {name} to WORKER_PICKLE_CLASSES if you trust it."
            if isinstance(what, type)
            else "Send plain values: no function may be called by a pickle."
        )
        return Refused(
            "refused_class",
            f"The pickle {does} {name}. Of the job packages it may build dataclasses, named tuples, exceptions, "
            f"members of enumerations, and instances whose class leaves `__new__` to Python. {advice}",
            name,
        )


def _is_data(found: type) -> bool:
    """Whether building one runs no more than its class's own code for data."""
    named_tuple = issubclass(found, tuple) and hasattr(found, "_fields")
    return is_dataclass(found) or named_tuple or issubclass(found, BaseException | Enum)
