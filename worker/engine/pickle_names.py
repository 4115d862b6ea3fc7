"""What a pickle may name besides the job packages: Python's own plain data, and classes of WORKER_PICKLE_CLASSES.

Only what holds data and runs nothing when it is built stands here. Nothing is imported because a pickle names it: the
modules below are known, and those of the setting are the operator's.
"""

from __future__ import annotations

import _compat_pickle
import sys
from collections.abc import Sequence
from enum import Enum
from importlib import import_module
from typing import Any, Final

from worker.settings.shapes import holds_data

_NAMES: Final = {
    "builtins": "Ellipsis NotImplemented bool bytearray bytes complex dict float frozenset int list object range set "
    "slice str tuple",
    "_io": "BytesIO StringIO",
    "argparse": "Namespace",
    "array": "_array_reconstructor array",
    "collections": "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict deque",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Context Decimal DecimalTuple",
    "difflib": "Match",
    "fractions": "Fraction",
    "ipaddress": "IPv4Address IPv4Interface IPv4Network IPv6Address IPv6Interface IPv6Network",
    "os": "stat_result terminal_size",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "random": "Random",
    "re": "_compile",
    "statistics": "NormalDist",
    "string": "Template",
    "time": "struct_time",
    "types": "SimpleNamespace",
    "urllib.error": "ContentTooShortError URLError",
    "urllib.parse": "DefragResult DefragResultBytes ParseResult ParseResultBytes SplitResult SplitResultBytes",
    "uuid": "UUID",
    "zoneinfo": "ZoneInfo",
    # RQ's own values that a payload or a result may carry.
    "rq.job": "Retry",
    "rq.repeat": "Repeat",
}
SAFE_GLOBALS: Final = frozenset((module, name) for module, names in _NAMES.items() for name in names.split())

#: Modules of Python's own whose exceptions and enumerations pass; importing them does nothing else.
_DATA_MODULES: Final = """
builtins _csv _lzma _pickle _queue asyncio.exceptions asyncio.queues binascii calendar concurrent.futures._base
concurrent.futures.process configparser copy csv dataclasses decimal email.errors ftplib getopt graphlib gzip
http http.client http.cookiejar http.cookies imaplib importlib.metadata inspect io ipaddress json.decoder locale
lzma multiprocessing.context netrc optparse pickle plistlib poplib queue re selectors shutil signal smtplib socket
sqlite3 ssl statistics struct subprocess tarfile threading tokenize uuid wave xml.dom xml.etree.ElementTree
xml.parsers.expat xml.sax._exceptions xmlrpc.client zipfile zlib zoneinfo._common
"""
DATA_MODULES: Final = frozenset(_DATA_MODULES.split())

#: Where newer releases of Python say that a class lives, and where it is found in all of them.
_MOVED: Final = {"pathlib._local": "pathlib"}


def today(module: str, name: str) -> tuple[str, str]:
    """Return a name of a pickle of protocol 2, which are Python 2's, as it is now."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[module, name]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def at_home(module: str, name: str) -> tuple[str, str]:
    """Return where a class that another release of Python has pickled is found here."""
    return _MOVED.get(module, module), name


def is_data(found: Any, module: str) -> bool:
    """Whether what one of the `DATA_MODULES` calls so is an exception, an enumeration or a member of one."""
    kind = found if isinstance(found, type) else type(found)
    if kind.__module__ != module:  # an import of that module's own: enum.IntEnum could make classes
        return False
    return issubclass(kind, Enum) or (found is kind and issubclass(kind, BaseException))


def problem(name: str) -> str:
    """Say what is wrong with one name of WORKER_PICKLE_CLASSES, "" if it is a class that can be imported."""
    found, trouble = _find(name)
    if trouble:
        return f"{name} cannot be imported ({trouble})."
    return "" if isinstance(found, type) else f"{name} is not a class, and only classes may be allowed."


def home_of(name: str) -> str:
    """Return the name by which pickles know a class of WORKER_PICKLE_CLASSES, "" if there is no such class."""
    found, _trouble = _find(name)
    return f"{found.__module__}.{found.__qualname__}" if isinstance(found, type) else ""


def advice(module: str, name: str) -> str:
    """Say what helps who needs a name that was refused; whatever is said works when it is followed."""
    if module == "__main__":
        return (
            "That stood in the script that enqueued the job: define it in a module that the worker has, too, or send "
            "plain values."
        )
    plain = "Send plain values (or use RQ's json serializer)"
    dotted = f"{module}.{name}"
    package = module.partition(".")[0]
    own = package in sys.stdlib_module_names
    found = _loaded(module, name.split("."))
    if holds_data(dotted) and (found is None or isinstance(found, type)):
        if own or found is not None:
            return f"{plain}, or add {dotted} to WORKER_PICKLE_CLASSES if it is a class that you trust."
        return (
            f"{plain}, or add {dotted} to WORKER_PICKLE_CLASSES if it is a class that you trust; if it is a function, "
            f"add {module} to WORKER_JOB_MODULES if you trust all of that."
        )
    if own or getattr(found, "__module__", None) != module:
        return f"{plain}: it cannot be allowed."
    return f"{plain}, or add {module} to WORKER_JOB_MODULES if you trust all of that."


def _find(name: str) -> tuple[Any, str]:
    """Import what a dotted name names; returns it, and why that failed."""
    parts = name.split(".")
    trouble = ""
    for cut in range(len(parts) - 1, 0, -1):
        path = ".".join(parts[:cut])
        try:
            found: Any = import_module(path)
        except ModuleNotFoundError as error:
            trouble = trouble or f"{type(error).__name__}: {error}"
            if not f"{path}.".startswith(f"{error.name}."):
                return None, trouble  # it is there: what it imports is not
            continue
        except Exception as error:  # noqa: BLE001 — a module may raise anything when it is imported
            return None, f"{type(error).__name__}: {error}"
        try:
            return _walk(found, parts[cut:]), ""
        except AttributeError as error:
            return None, str(error)
    return None, trouble


def _loaded(module: str, path: Sequence[str]) -> Any:
    """Return what a name names if its module is loaded, None if that cannot be known without importing it."""
    try:
        return _walk(sys.modules[module], path) if module in sys.modules else None
    except AttributeError:
        return None


def _walk(found: Any, path: Sequence[str]) -> Any:
    for part in path:
        found = getattr(found, part)
    return found
