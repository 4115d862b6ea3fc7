"""The shapes that settings take, from the text of an environment variable to the value.

A validator only accepts or refuses: the sentence about what is wanted stands beside the setting (``model.py``).
"""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr

from worker.logs import FORMATS, LEVELS
from worker.retry import ISOLATIONS
from worker.settings import secrets
from worker.text import UNIT_SECONDS

#: When job modules are imported (WORKER_PRELOAD): `auto` is before the fork if that opens nothing.
PRELOADS: Final = ("auto", "true", "false")
_QUEUE: Final = re.compile(r"[^\s,]+")
_MODULE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_CLASS: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
#: Python's own modules whose classes do something when they are built or filled: start programs, run texts, open files.
_DOING: Final = """
_io _posixsubprocess _thread asyncio bdb builtins bz2 cProfile code codeop concurrent copyreg ctypes dbm doctest
ftplib functools gzip imaplib importlib io logging lzma mailbox mmap multiprocessing nntplib operator os pdb pickle
poplib posix profile pty runpy shelve shutil site smtplib socket socketserver sqlite3 subprocess sys tarfile
telnetlib tempfile threading timeit trace types unittest venv weakref webbrowser xmlrpc zipapp zipfile zipimport
"""
_ORIGIN: Final = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
#: RQ's own rule for its key prefix (rq/defaults.py).
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:{}-]+")


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _with_unit(value: Any) -> Any:
    found = re.fullmatch(r"(\d+)([smhd])", value.strip().lower()) if isinstance(value, str) else None
    return int(found[1]) * UNIT_SECONDS[found[2]] if found else value


def _rate(value: Any) -> Any:
    found = re.fullmatch(r"(\d+)/(\d*)([smhd])", value.strip().lower()) if isinstance(value, str) else None
    return (int(found[1]), int(found[2] or 1) * UNIT_SECONDS[found[3]]) if found else value


def _positive(rate: tuple[int, int]) -> tuple[int, int]:
    _require(min(rate) >= 1)
    return rate


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _queues(names: tuple[str, ...]) -> tuple[str, ...]:
    _require(bool(names) and len(set(names)) == len(names) and all(map(_QUEUE.fullmatch, names)))
    return names


def _modules(names: tuple[str, ...]) -> tuple[str, ...]:
    # With os or subprocess here, whoever can write to Redis could run any command.
    own = not any(name.partition(".")[0] in sys.stdlib_module_names for name in names)
    _require(bool(names) and own and all(map(_MODULE.fullmatch, names)))
    return names


def holds_data(name: str) -> bool:
    """Whether WORKER_PICKLE_CLASSES may name a class; with subprocess.Popen, a payload could run any command."""
    package = name.partition(".")[0]
    return package not in {*_DOING.split(), "__main__"} and bool(_CLASS.fullmatch(name))


def _classes(names: tuple[str, ...]) -> tuple[str, ...]:
    _require(all(map(holds_data, names)))
    return names


def _origins(names: tuple[str, ...]) -> tuple[str, ...]:
    _require(all(map(_ORIGIN.fullmatch, names)))
    return names


def _serializers(names: tuple[str, ...]) -> tuple[str, ...]:
    _require(bool(names) and set(names) <= {"json", "pickle"})
    return names


def _secrets(names: tuple[str, ...]) -> tuple[str, ...]:
    _require(set(names) <= set(secrets.NAMES))
    return names


def _queue(name: str) -> str:
    _require(bool(_QUEUE.fullmatch(name)))
    return name


def _level(level: str) -> str:
    _require(level in LEVELS)
    return level


def _format(name: str) -> str:
    _require(name in FORMATS)
    return name


def _isolation(degree: str) -> str:
    _require(degree in ISOLATIONS)
    return degree


def _preload(choice: str) -> str:
    _require(choice in PRELOADS)
    return choice


def _instance(name: str) -> str:
    _require(bool(re.fullmatch(r"[A-Za-z0-9._-]*", name)))
    return name


def _dsn(dsn: SecretStr) -> SecretStr:
    _require(bool(re.match(r"https?://[^@/\s]+@[^/\s]+/", dsn.get_secret_value())))
    return dsn


def _token(token: SecretStr) -> SecretStr:
    _require(bool(re.fullmatch(r"[!-~]{16,}", token.get_secret_value())))
    return token


def _prefix(prefix: str) -> str:
    _require(bool(_PREFIX.fullmatch(prefix)))
    return prefix


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


QueueNames = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_queues)]
ModuleNames = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_modules)]
ClassNames = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_classes)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_origins)]
SerializerNames = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_serializers)]
SecretNames = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_secrets)]
QueueName = Annotated[str, AfterValidator(_queue)]
Age = Annotated[int, BeforeValidator(_with_unit)]  #: seconds
Rate = Annotated[tuple[int, int], BeforeValidator(_rate), AfterValidator(_positive)]  #: how many in how many seconds
Level = Annotated[str, BeforeValidator(_upper), AfterValidator(_level)]
Format = Annotated[str, AfterValidator(_format)]
Isolation = Annotated[str, AfterValidator(_isolation)]


Preload = Annotated[str, BeforeValidator(_lower), AfterValidator(_preload)]
InstanceName = Annotated[str, AfterValidator(_instance)]
Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Prefix = Annotated[str, AfterValidator(_prefix)]
